"""A candidate or a release, opened to be measured: its index, its documents, and the vectors that it was made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slipway.index import artifact, payload
from slipway.index.exact import exact_neighbours, recalls
from slipway.manifest import Manifest, fetch
from slipway.run import Run
from slipway.serving.searcher import Searcher

DEPTH = 100  # exact neighbours computed per query

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Opened:
    """An index with its live vectors, (live rows, dimension) float32 and mapped, and the row number of each."""

    searcher: Searcher
    vectors: Vectors
    numbers: npt.NDArray[np.int64]
    metric: str

    def exact(self, queries: Vectors, depth: int = DEPTH) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """Scores and row numbers of the exact neighbours among the live rows, best first, two (queries, depth)."""
        scores, places = exact_neighbours(self.vectors, queries, depth, self.metric)
        return scores, self.numbers[places]

    def recalls(self, queries: Vectors, truth: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
        """recall@k of each query, as a search for k documents asks: the more rows are asked, the harder it looks."""
        return recalls(self.searcher.nearest_rows(queries, self.searcher.rows_asked(k))[1], truth, k)

    def found(self, queries: Vectors, k: int = 10) -> list[list[str]]:
        """Ids of the k nearest documents that the index finds for each query, best first."""
        return found_by(self.searcher, queries, k)


def fetch_files(run: Run, made: Manifest) -> dict[str, Path]:
    """The objects of a candidate or a release as local files, by name."""
    return {one.name: fetch(run.store, one, run.scratch) for one in made.objects}


def with_vectors(run: Run, made: Manifest, files: Mapping[str, Path], searcher: Searcher, folder: Path) -> Opened:
    """A candidate or a release with its vectors, which are gathered in `folder`.

    Raises `IndexRefused` when the vector store has no vector of a row, and `CorruptObject`.
    """
    encoder, rows = made.facts["encoder"], files[artifact.ROWS]
    vectors = payload.gather(run.store, encoder, rows, folder / "vectors.npy", run.scratch)
    live = artifact.live_rows(artifact.open_arrow(rows, artifact.ROWS_SCHEMA))
    return Opened(searcher, vectors, np.flatnonzero(live), made.facts["spec"]["metric"])


def found_by(searcher: Searcher, queries: Vectors, k: int = 10) -> list[list[str]]:
    """Ids of the k nearest documents that the index finds for each query, best first."""
    return [document_ids(searcher, ranked) for ranked in searcher.nearest_documents(queries, k)]


def found_without(searcher: Searcher, queries: Vectors, left_out: Collection[str], k: int = 10) -> list[list[str]]:
    """As `found_by`, but these documents are left out and those behind them move up."""
    made, depth = found_by(searcher, queries, k), k
    short = [place for place, found in enumerate(made) if not set(left_out).isdisjoint(found)]
    while short:
        depth *= 2
        deeper = found_by(searcher, queries[short], depth)
        for place, found in zip(short, deeper, strict=True):
            made[place] = [name for name in found if name not in left_out][:k]
        short = [
            place for place, found in zip(short, deeper, strict=True) if len(made[place]) < k and len(found) == depth
        ]
    return made


def document_ids(searcher: Searcher, ranked: Sequence[tuple[int, float, int]]) -> list[str]:
    """Document ids of what `Searcher.nearest_documents` gives for one query."""
    return searcher.document_ids([ordinal for ordinal, _, _ in ranked])
