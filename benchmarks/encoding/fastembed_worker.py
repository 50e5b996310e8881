"""The process in which fastembed encodes: python fastembed_worker.py MODEL_FOLDER THREADS BATCH.

Runs in an environment of its own, which has fastembed and not Slipway. A line on standard input names a file of texts
and one for the vectors; a line on standard output says the seconds.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType


def main(folder: str, threads: str, batch: str) -> None:
    """Answer until standard input ends."""
    TextEmbedding.add_custom_model(
        model="the-same-weights",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="none"),
        dim=384,
        model_file="model.onnx",
    )
    model = TextEmbedding("the-same-weights", specific_model_path=folder, threads=int(threads))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        texts = json.loads(Path(asked["texts"]).read_text(encoding="utf-8"))
        began = time.perf_counter()
        made = list(model.embed(texts, batch_size=int(batch)))
        seconds = time.perf_counter() - began
        np.save(asked["vectors"], np.asarray(made, dtype=np.float32), allow_pickle=False)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
