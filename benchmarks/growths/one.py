"""Builds one index in a process of its own and tells what it took: python one.py QUESTION, a JSON object."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from slipway.config.index import SearchParameters
from slipway.evaluation.latency import latency
from slipway.index.build import build, write
from slipway.index.exact import exact_neighbours, recall
from slipway.index.spec import Spec
from slipway.index.tune import tune

TRAIN_VECTORS, EF_CONSTRUCTION, RECALL = 100_000, 40, 0.95


def measure(vectors_file: Path, queries_file: Path, count: int, factory: str) -> dict[str, Any]:
    """Seconds, bytes and milliseconds of an index of the first `count` vectors, tuned to a recall@10 of 0.95.

    `peak_bytes` is what the process needed beyond what it held before, vectors that it read included.
    """
    vectors = np.load(vectors_file, mmap_mode="r")[:count]
    queries = np.load(queries_file)
    tuning, asked = queries[::2], queries[1::2]
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    spec = Spec(factory, "inner_product", 1, "measured")
    started = time.perf_counter()
    index = build(vectors, spec, TRAIN_VECTORS, EF_CONSTRUCTION)
    seconds = time.perf_counter() - started
    peak = _high_water() - before
    with tempfile.TemporaryDirectory() as folder:
        write(index, Path(folder) / "index")
        size = (Path(folder) / "index").stat().st_size
    truth = exact_neighbours(vectors, queries, 10)[1]
    parameters, _ = tune(index, spec, SearchParameters(), tuning, truth[::2], RECALL)
    found = recall(index.search(asked, 10)[1], truth[1::2], 10)
    times = latency(lambda query: index.search(query, 10), asked)
    told = {"vectors": count, "spec": factory, "build_seconds": seconds, "file_bytes": size, "peak_bytes": peak}
    return told | {"parameters": parameters, "recall": found, "p50_ms": times["p50_ms"], "p95_ms": times["p95_ms"]}


def _high_water() -> int:
    """Peak resident bytes; not ru_maxrss, which a process inherits from the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def main() -> None:
    """Answer the question."""
    asked = json.loads(sys.argv[1])
    faiss.omp_set_num_threads(asked["cores"])
    answer = measure(Path(asked["vectors"]), Path(asked["queries"]), asked["count"], asked["spec"])
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
