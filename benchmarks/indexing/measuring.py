"""Measuring systems side by side: all built first, then searched in turns, round by round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from benchmarks.indexing.corpus import Corpus, Vectors
from benchmarks.indexing.sweep import Point, worth_timing
from benchmarks.indexing.systems import Rows, System
from slipway.index.exact import exact_neighbours, recall

AIMS = (0.95, 0.99)
K = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """A system's seconds of building with all cores, and its points with one thread and with all."""

    name: str
    build_seconds: float
    one: list[Point]
    all_cores: list[Point]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it took, and what it gave; without the collection of garbage in between."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        result = work()
        return time.perf_counter() - started, result
    finally:
        gc.enable()


def measure(systems: Sequence[System], corpus: Corpus, truth: Rows, rounds: int, cores: int) -> list[Measured]:
    """Every system built once, tried once at every setting, and timed in every round where it may matter."""
    built: list[tuple[System, Any, Measured]] = []
    for system in systems:
        faiss.omp_set_num_threads(cores)
        seconds, index = timed(lambda one=system: one.build(corpus.vectors, cores))  # type: ignore[misc]
        tried = [_tried(system, index, setting, corpus.queries, truth) for setting in system.settings]
        one = [Point(point.setting, point.recall) for point in worth_timing(tried, AIMS)]
        every = [Point(point.setting, point.recall) for point in one]
        built.append((system, index, Measured(system.name, seconds, one, every)))
        print(f"built {system.name} in {seconds:.1f} s; {len(one)} settings to time", flush=True)
    for number in range(rounds):
        for system, index, measured in built if number % 2 == 0 else reversed(built):
            for threads, points in ((1, measured.one), (cores, measured.all_cores)):
                for point in points:
                    point.speeds.append(_speed(system, index, point, threads, corpus.queries))
    return [measured for _, _, measured in built]


def _tried(system: System, index: Any, setting: tuple[int, ...], queries: Vectors, truth: Rows) -> Point:
    seconds, rows = timed(lambda: system.search(index, setting, 1, queries, K))
    return Point(setting, recall(rows, truth, K), [len(queries) / seconds])


def _speed(system: System, index: Any, point: Point, threads: int, queries: Vectors) -> float:
    seconds, _ = timed(lambda: system.search(index, point.setting, threads, queries, K))
    return len(queries) / seconds


def truth_ratios(vectors: Vectors, queries: Vectors, rounds: int, cores: int) -> list[float]:
    """Seconds of exact search over those of the bare matrix product of the same shapes, one number a round.

    The product is made in one piece where it fits into memory: queries times vectors transposed, by NumPy's BLAS.
    """
    faiss.omp_set_num_threads(cores)
    product = np.zeros((len(queries), len(vectors)), np.float32)
    product += 1  # so that its pages are there
    ratios = []
    for number in range(rounds):
        works: list[Callable[[], Any]] = [
            lambda: exact_neighbours(vectors, queries, K),
            lambda: np.matmul(queries, vectors.T, out=product),
        ]
        order = (0, 1) if number % 2 == 0 else (1, 0)
        seconds = {which: timed(works[which])[0] for which in order}
        ratios.append(seconds[0] / seconds[1])
    return ratios
