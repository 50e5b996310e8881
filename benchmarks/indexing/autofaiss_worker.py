"""Runs in autofaiss's own environment: python autofaiss_worker.py FOLDER BYTES THREADS; prints one JSON object last."""

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np
from autofaiss import build_index


def main() -> None:
    """Tune and build with that memory, then ask."""
    work, most, cores = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    faiss.omp_set_num_threads(cores)
    started = time.perf_counter()
    index, facts = build_index(
        str(work / "vectors"),
        save_on_disk=False,
        max_index_memory_usage=f"{most // 1000}KB",
        current_memory_available="4GB",
        metric_type="ip",
        min_nearest_neighbors_to_retrieve=10,
        nb_cores=cores,
    )
    seconds = time.perf_counter() - started
    rows = index.search(np.load(work / "queries/part.npy"), 10)[1]
    truth = np.load(work / "truth/part.npy")[:, :10]
    found = np.mean([np.isin(exact, mine).mean() for mine, exact in zip(rows, truth, strict=True)])
    size = int(faiss.serialize_index(index).size)
    print(
        json.dumps(
            {"bytes": size, "seconds": seconds, "recall": float(found), "index": str(facts.get("index_key", ""))}
        )
    )


if __name__ == "__main__":
    main()
