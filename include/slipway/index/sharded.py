"""Several indexes that are searched as one: scatter and gather.

Each shard holds the rows from `first` on under numbers of its own, from 0. A search asks every shard for its nearest
and keeps the best of all, under the rows' numbers in rows.arrow. So the answer is at least as good as the shards'
own: a row that is missing was missed by its shard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import faiss
import numpy as np
import numpy.typing as npt

from slipway.errors import CorruptObject
from slipway.index import artifact

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Found = tuple[Vectors, Numbers]
Answer = TypeVar("Answer")

_pool: ThreadPoolExecutor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """One index of several: the FAISS `index`, whose row 0 is row `first` of rows.arrow, and how many `rows` it has."""

    index: Any
    first: int
    rows: int

    def numbered(self, found: Found) -> Found:
        """What the shard found, (scores, rows), under the numbers in rows.arrow; -1 stays."""
        scores, rows = found
        return scores, np.where(rows < 0, -1, rows + self.first)

    def of(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """The shard's piece of a mask over all rows."""
        return mask[self.first : self.first + self.rows]


class Shards:
    """Indexes of one kind that together hold all rows, in order; searched as one FAISS index is."""

    def __init__(self, indexes: Sequence[Any], rows: Sequence[int]) -> None:
        """Raises `CorruptObject` when the indexes cannot answer together."""
        kinds = {(int(one.d), int(one.metric_type), type(one).__name__) for one in indexes}
        if len(kinds) != 1 or len(indexes) != len(rows):
            raise CorruptObject(f"the shards of the index are not of one kind: {sorted(kinds)}")
        firsts = np.cumsum([0, *rows]).tolist()
        self.shards = tuple(
            Shard(index, first, count) for index, first, count in zip(indexes, firsts, rows, strict=False)
        )
        self.d, self.metric_type = int(indexes[0].d), int(indexes[0].metric_type)
        self.ntotal = sum(int(one.ntotal) for one in indexes)

    def search(self, queries: Vectors, count: int) -> Found:
        """Scores and rows of the `count` nearest of each query, best first; -1 where there are no more."""
        return self.gathered(lambda shard: shard.index.search(queries, min(count, shard.rows)), len(queries), count)

    def gathered(self, ask: Callable[[Shard], Found], queries: int, count: int) -> Found:
        """What `ask` finds in each shard, merged: the best `count` of each query."""
        found = [shard.numbered(answer) for shard, answer in zip(self.shards, self._scatter(ask, queries), strict=True)]
        scores, rows = np.hstack([one[0] for one in found]), np.hstack([one[1] for one in found])
        return merged(scores, rows, count, higher_is_nearer=self.metric_type == faiss.METRIC_INNER_PRODUCT)

    def _scatter(self, ask: Callable[[Shard], Answer], queries: int) -> list[Answer]:
        """The answer of each shard. One query at a time keeps one core busy, so shards are asked side by side then;
        FAISS spreads many queries over the cores by itself. A caller that keeps FAISS to one thread, as one that
        measures latency does, has one shard asked after another on its own.
        """
        if queries > 1 or _cores() == 1 or faiss.omp_get_max_threads() == 1:
            return [ask(shard) for shard in self.shards]
        return list(_shared_pool().map(ask, self.shards))


def merged(scores: Vectors, rows: Numbers, count: int, *, higher_is_nearer: bool) -> Found:
    """The best `count` of each query's answers, best first, equal scores by row; -1 (score 0) where there are no more.

    `scores` and `rows` are (queries, answers); a row of -1 is no answer.
    """
    worst = -np.inf if higher_is_nearer else np.inf
    keys = np.where(rows < 0, worst, scores)
    order = np.lexsort((rows, -keys if higher_is_nearer else keys), axis=1)[:, :count]
    kept = np.take_along_axis(rows, order, 1)
    best = np.where(kept < 0, np.float32(0), np.take_along_axis(scores, order, 1))
    missing = ((0, 0), (0, count - kept.shape[1]))
    return np.pad(best, missing), np.pad(kept, missing, constant_values=-1)


def parts(index: Any) -> tuple[Any, ...]:
    """The FAISS indexes that hold an index's rows: itself, or those of its shards."""
    return tuple(shard.index for shard in index.shards) if isinstance(index, Shards) else (index,)


def pieces(index: Any, rows: int) -> tuple[Shard, ...]:
    """The shards of an index; a single index of that many rows is one shard."""
    return index.shards if isinstance(index, Shards) else (Shard(index, 0, rows),)


def write_counts(path: Path, rows: Sequence[int]) -> None:
    """Write shards.json: the name and the number of rows of each index, in order."""
    named = [{"name": artifact.shard_index(number), "rows": count} for number, count in enumerate(rows)]
    path.write_text(json.dumps(named, indent=1))


def read_counts(path: Path) -> dict[str, int]:
    """The number of rows of each index by its name, in order. Raises `CorruptObject`."""
    try:
        named = [(one["name"], one["rows"]) for one in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CorruptObject(f"{path.name} does not list the shards of the index: {error!r}") from error
    for number, (name, rows) in enumerate(named):
        if name != artifact.shard_index(number) or type(rows) is not int or rows < 1:
            raise CorruptObject(f"{path.name} has {name!r} with {rows!r} rows as shard {number} of the index")
    if not named:
        raise CorruptObject(f"{path.name} lists no shard of the index")
    return dict(named)


def opened(files: Mapping[str, Path], load: Callable[[Path], Any]) -> Any:
    """The index of a candidate or a release, whose files are given by name: a FAISS index, or `Shards`.

    `load` reads one file. Raises `CorruptObject` for files that FAISS cannot read or that do not belong together.
    """
    if artifact.SHARDS not in files:
        return _loaded(files, artifact.INDEX, load)
    counts = read_counts(files[artifact.SHARDS])
    return Shards([_loaded(files, name, load) for name in counts], list(counts.values()))


def _loaded(files: Mapping[str, Path], name: str, load: Callable[[Path], Any]) -> Any:
    if name not in files:
        raise CorruptObject(f"there is no {name}, of which the index consists")
    try:
        return load(files[name])
    except (RuntimeError, MemoryError) as error:
        raise CorruptObject(f"{name} cannot be read by FAISS: {str(error)[-200:]}") from error


def _shared_pool() -> ThreadPoolExecutor:
    """One pool for all searches of the process: as many threads as cores, in which FAISS makes none of its own."""
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_cores(), "slipway-shard", initializer=faiss.omp_set_num_threads, initargs=(1,))
    return _pool


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _forget_pool() -> None:
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_forget_pool)  # threads stay with the parent
