"""An index that is built once and then follows a changing set of chunks, as the nights of a collection make it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slipway.config.index import IndexUpdate
from slipway.index import drift
from slipway.index.artifact import ROWS_SCHEMA, live_rows, open_arrow
from slipway.index.build import build, read, write
from slipway.index.drift import Built
from slipway.index.live import Live, findable, nearest
from slipway.index.spec import Spec
from slipway.index.update import Attempt, Base, update
from tests.support.releases import Vectors, write_arrow

NEVER = IndexUpdate(tombstone_share=1, imbalance=1e9, error_growth=1e9, recall_loss=1)
PATIENT = 1e6  # seconds that building anew is said to take, so that it never looks cheaper


class Following:
    """An index over the chunks of a universe that are wanted now; chunk n is called "0…n" and has vector n."""

    def __init__(self, folder: Path, universe: Vectors, spec: Spec, wanted: Collection[int]) -> None:
        self.folder, self.universe, self.spec = folder, universe, spec
        folder.mkdir(parents=True, exist_ok=True)
        self._nights = 0
        numbers = sorted(wanted)
        self.index_file, self.rows_file = folder / "index-0.faiss", self._fresh(numbers)
        index = build(universe[numbers], spec, 100_000, 100)
        self.built = measured(index, spec, universe[numbers], [name(number) for number in numbers])
        write(index, self.index_file)

    def _fresh(self, numbers: list[int]) -> Path:
        path = self.folder / f"fresh-{self._nights}.arrow"
        lists = [[place] for place in range(len(numbers))]
        rows = {"chunk_hash": [name(number) for number in numbers], "documents": lists, "starts": lists, "ends": lists}
        write_arrow(path, pa.table(rows, ROWS_SCHEMA))
        return path

    def follow(self, wanted: Collection[int], settings: IndexUpdate = NEVER) -> Attempt:
        """Update to what is wanted now; the files stay what they were when a trigger fires."""
        self._nights += 1
        numbers = sorted(wanted)
        rows = self.folder / f"rows-{self._nights}.arrow"
        base = Base(self.index_file, self.rows_file, self.built)
        attempt = update(base, self._fresh(numbers), self.universe[numbers], self.spec, settings, rows, self.folder)
        if attempt.index is not None:
            self.rows_file, self.index_file = rows, self.folder / f"index-{self._nights}.faiss"
            write(attempt.index, self.index_file)
        return attempt

    @property
    def rows(self) -> pa.Table:
        return open_arrow(self.rows_file, ROWS_SCHEMA)

    @property
    def index(self) -> Any:
        return read(self.index_file)

    def live(self) -> dict[int, int]:
        """Row → chunk, of the rows that stand for a passage."""
        hashes = self.rows["chunk_hash"].to_pylist()
        return {int(row): int(hashes[row]) for row in np.flatnonzero(live_rows(self.rows))}

    def found(self, queries: Vectors, count: int, parameters: dict[str, int] | None = None) -> list[list[int]]:
        """Chunks found for each query, best first."""
        from slipway.index.build import set_parameters

        index, live = self.index, self.live()
        set_parameters(index, parameters or {})
        mask = findable(index, live_rows(self.rows))
        rows = nearest(index, mask, queries, count)[1]
        return [[live[row] for row in ranked if row >= 0] for ranked in rows.tolist()]


def name(number: int) -> str:
    return f"{number:032d}"


def measured(index: Any, spec: Spec, vectors: Vectors, hashes: list[str]) -> Built:
    """What a build records, with a time that never makes building anew look cheaper."""
    everything = Live.of(np.ones(len(vectors), dtype=bool))
    return Built(
        vectors=len(vectors),
        seconds=PATIENT,
        seconds_per_vector=0.001,
        imbalance=drift.imbalance(index),
        error=drift.error_of(index, vectors, spec.seed),
        probe_recall=drift.probe_recall(index, spec, vectors, hashes, everything, np.arange(len(vectors))),
        created_at="2026-01-31T02:15:00+00:00",
        ef_construction=100,
        train_vectors=100_000,
    )
