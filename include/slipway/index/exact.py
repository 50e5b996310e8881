"""Exact nearest neighbours by blocked matrix products: the ground truth that indexes are measured against."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from slipway.index.build import METRICS

BLOCK = 65_536  # vectors compared at once: 100 MB at dimension 384


def exact_neighbours(
    vectors: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], k: int, metric: str = "inner_product"
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Scores and row numbers of the k nearest rows of `vectors` for each query, best first: two (q, k) arrays.

    k is cut to the number of vectors. `vectors` may be memory-mapped: it is read forwards, a block at a time.
    Equal scores are ordered by row number; of rows that tie for the last place, any may be the one that is there.
    """
    k = min(k, len(vectors))
    merged: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]] | None = None
    for start in range(0, len(vectors) if len(queries) else 0, BLOCK):
        block = np.ascontiguousarray(vectors[start : start + BLOCK])
        scores, rows = faiss.knn(queries, block, min(k, len(block)), metric=METRICS[metric])
        rows = rows + start
        if merged is not None:
            scores, rows = np.hstack([merged[0], scores]), np.hstack([merged[1], rows])
        merged = _best(scores, rows, k, metric)
    if merged is None:
        empty = (len(queries), k if len(queries) == 0 else 0)
        return np.empty(empty, np.float32), np.empty(empty, np.int64)
    return merged


def _best(
    scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], k: int, metric: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    sign = -1.0 if metric == "inner_product" else 1.0
    order = np.lexsort((rows, sign * scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def recall(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], k: int) -> float:
    """recall@k: the mean share of the exact top k that is among the k found; 1.0 when there is nothing to find."""
    each = recalls(found, truth, k)
    return float(each.mean()) if len(each) else 1.0


def recalls(found: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
    """recall@k of each query, (q,): the share of its exact top k that is among its k found; 1.0 where k is 0.

    Both are row numbers, best first, one row a query; -1 among the found stands for nothing.
    """
    k = min(k, truth.shape[1])
    if k == 0:
        return np.ones(len(truth))
    hits = [len(np.intersect1d(row[:k], exact[:k])) for row, exact in zip(found, truth, strict=True)]
    return np.array(hits, dtype=np.float64) / k
