"""The queries of a contract: some to tune on, others to confirm by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slipway.index.exact import exact_neighbours

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Search = Callable[[Vectors, int], tuple[Vectors, Rows]]


@dataclass(frozen=True, slots=True)
class Part:
    """Query vectors, (q, dimension) float32; `own` is the place of each among the collection's, where it is of it."""

    vectors: Vectors
    own: Rows | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def exact(self, vectors: Vectors, k: int, metric: str) -> Rows:
        """Places of the k exact neighbours among `vectors`, best first, (q, k); a query does not find itself."""
        found = exact_neighbours(vectors, self.vectors, k + (self.own is not None), metric)[1]
        return found if self.own is None else without_own(found, self.own)

    def asking(self, search: Search, numbers: Rows) -> Search:
        """`search` as a query that does not find itself asks it. `numbers` is the row of each of the vectors."""
        if self.own is None:
            return search
        own = numbers[self.own]

        def found(queries: Vectors, count: int) -> tuple[Vectors, Rows]:
            scores, rows = search(queries, count + 1)
            return scores[:, :count], without_own(rows, own)

        return found


@dataclass(frozen=True, slots=True)
class Queries:
    """`tuning` queries that parameters are chosen on, and `held_out` ones that nothing was chosen on.

    `source` says in words where they are from.
    """

    tuning: Part
    held_out: Part
    source: str

    @property
    def own(self) -> Rows:
        """Places of the collection's own vectors among them, sorted."""
        held = [part.own for part in (self.tuning, self.held_out) if part.own is not None]
        return np.sort(np.concatenate(held)) if held else np.empty(0, dtype=np.int64)


def of_collection(vectors: Vectors, count: int, seed: int) -> Queries:
    """At most `count` of the collection's own vectors, drawn at random and cut in two halves.

    They are texts and no questions, and lie where the collection is dense, so an index finds their neighbours more
    easily than those of what people ask: recall on them is optimistic.
    """
    count = min(count, len(vectors) // 4) // 2 * 2
    drawn = np.random.default_rng(seed).permutation(len(vectors))[:count]
    halves = [np.sort(half) for half in np.split(drawn, 2)]
    tuning, held_out = (Part(np.ascontiguousarray(vectors[half]), half) for half in halves)
    return Queries(tuning, held_out, "vectors of the collection itself, which is optimistic")


def without_own(rows: Rows, own: Rows) -> Rows:
    """`rows` (q, k + 1) without each query's own row, or without the last where it is not there: (q, k)."""
    if rows.shape[1] == 0:
        return rows
    is_own = rows == own[:, np.newaxis]
    is_own[~is_own.any(axis=1), -1] = True
    left: Rows = rows[~is_own].reshape(len(rows), rows.shape[1] - 1)
    return left
