"""Searching an index of which some rows are tombstones: they take places, and must not be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from slipway.index.anatomy import inverted_file
from slipway.index.sharded import Shards, parts

Found = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Live:
    """Which rows of an index stand for a passage: `mask` (rows,) bool, and how many do."""

    mask: npt.NDArray[np.bool_]
    count: int

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_]) -> Live:
        """From the mask."""
        return cls(mask, int(mask.sum()))

    @property
    def rows(self) -> int:
        """How many rows there are, tombstones included."""
        return len(self.mask)

    def places(self, count: int) -> int:
        """How many rows to ask for to get `count` live ones, if tombstones lie evenly among them."""
        return min(self.rows, -(-count * self.rows // max(self.count, 1)))


def findable(index: Any, mask: npt.NDArray[np.bool_]) -> Live:
    """Which rows an answer may hold, given those that stand for a passage; an inverted file holds no tombstones."""
    return Live.of(mask) if inverted_file(parts(index)[0]) is None else Live(mask, len(mask))


def nearest(index: Any, live: Live, queries: npt.NDArray[np.float32], count: int) -> Found:
    """Scores and rows of the `count` nearest live rows that the index finds, best first; -1 where it finds no more.

    Both arrays are (queries, count). Where tombstones lie thick around a query, it is asked again for more rows.
    """
    if live.count == live.rows:
        return _search(index, queries, count)
    return _nearest(index, live, queries, count, live.places(count))


def _nearest(index: Any, live: Live, queries: npt.NDArray[np.float32], count: int, asked: int) -> Found:
    scores, rows = _search(index, queries, asked)
    has_more = rows[:, -1] >= 0 if asked else np.zeros(len(queries), dtype=bool)
    scores, rows = _only_live(live, scores, rows, count)
    short = np.flatnonzero(has_more & (rows[:, -1] < 0)) if asked < live.rows and count else np.empty(0, np.int64)
    if short.size:
        scores[short], rows[short] = _nearest(index, live, queries[short], count, min(live.rows, asked * 4))
    return scores, rows


def _only_live(live: Live, scores: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], count: int) -> Found:
    """The first `count` live rows of each query, in rank order, filled up with -1."""
    alive = (rows >= 0) & live.mask[rows]
    order = np.argsort(~alive, axis=1, kind="stable")[:, :count]
    kept = np.where(np.take_along_axis(alive, order, 1), np.take_along_axis(rows, order, 1), -1)
    missing = ((0, 0), (0, count - kept.shape[1]))
    return (
        np.pad(np.take_along_axis(scores, order, 1), missing),
        np.pad(kept, missing, constant_values=-1),
    )


def _search(index: Any, queries: npt.NDArray[np.float32], count: int) -> Found:
    """What FAISS finds. A graph that is asked for more than it may visit gives few and poor answers, so it may visit
    that many.
    """
    if isinstance(index, Shards):
        return index.gathered(lambda shard: _search(shard.index, queries, min(count, shard.rows)), len(queries), count)
    if isinstance(index, faiss.IndexHNSW):
        visits = faiss.SearchParametersHNSW(efSearch=max(index.hnsw.efSearch, count))  # type: ignore[attr-defined]
        scores, rows = index.search(queries, count, params=visits)
    else:
        scores, rows = index.search(queries, count)
    return scores, rows
