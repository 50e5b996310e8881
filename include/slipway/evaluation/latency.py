"""Time of single searches by vector, as a reader's user feels them."""

from __future__ import annotations

import time
from collections.abc import Callable

import faiss
import numpy as np
import numpy.typing as npt

WARM_UP = 20
SEARCHES = 500
ROUNDS = 3


def latency(
    search: Callable[[npt.NDArray[np.float32]], object], queries: npt.NDArray[np.float32], searches: int = SEARCHES
) -> dict[str, float]:
    """p50_ms, p95_ms and p99_ms of one search at a time on one thread, the queries taken in turn."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        for turn in range(WARM_UP):
            search(queries[turn % len(queries)][None, :])
        times = [_time(search, queries[turn % len(queries)][None, :]) for turn in range(searches)]
    finally:
        faiss.omp_set_num_threads(threads)
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {"p50_ms": round(float(p50), 4), "p95_ms": round(float(p95), 4), "p99_ms": round(float(p99), 4)}


def undisturbed(
    search: Callable[[npt.NDArray[np.float32]], object], queries: npt.NDArray[np.float32], searches: int = SEARCHES
) -> dict[str, float]:
    """`latency` in the round with the least p95 of `ROUNDS`, each of so many searches.

    What else the machine does makes a round slower, and none faster.
    """
    return min((latency(search, queries, searches) for _ in range(ROUNDS)), key=lambda one: one["p95_ms"])


def _time(search: Callable[[npt.NDArray[np.float32]], object], query: npt.NDArray[np.float32]) -> float:
    """Milliseconds of one search."""
    started = time.perf_counter()
    search(query)
    return (time.perf_counter() - started) * 1_000
