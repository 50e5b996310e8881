"""Drawing samples: the documents and passages whose hashes are the smallest.

Hashes order ids and texts at random, so these are a fair sample, and of two states that share most of their documents
the two samples do so too. A retry draws the same. Nothing is held in memory but what was drawn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slipway import tables
from slipway.drift.measure import Document
from slipway.index import artifact
from slipway.manifest import Manifest, fetch
from slipway.parts import fetch_parts
from slipway.records import SNAPSHOT
from slipway.run import Run

_DRAWN = """
SELECT document_id, title, text, metadata FROM documents SEMI JOIN
(SELECT position FROM documents ORDER BY md5(document_id), document_id LIMIT {count}) USING (position)
ORDER BY document_id
"""


def documents(run: Run, snapshot: Manifest, count: int) -> list[Document]:
    """At most `count` documents of a snapshot, in the order of their ids."""
    with tables.duck(run.scratch, tables.SMALL_MEMORY) as session:
        tables.view(session, "documents", fetch_parts(run.store, snapshot, "documents", run.scratch), SNAPSHOT)
        rows = [row for batch in tables.batches(session, _DRAWN.format(count=count)) for row in batch.to_pylist()]
    return [Document(**{**row, "metadata": json.loads(row["metadata"])}) for row in rows]


@dataclass(frozen=True, slots=True)
class Rows:
    """rows.arrow of a candidate or a release, and the places of the rows that stand for a passage, (n,) int64."""

    table: pa.Table
    live: npt.NDArray[np.int64]

    @classmethod
    def of(cls, run: Run, made: Manifest) -> Rows:
        """Those of a candidate or a release. Raises `CorruptObject`, `ObjectMissing`."""
        table = artifact.open_rows(fetch(run.store, made.one(artifact.ROWS), run.scratch))
        return cls(table, np.flatnonzero(artifact.live_rows(table)))

    def smallest(self, count: int) -> list[str]:
        """The `count` smallest chunk hashes of passages, or all of them."""
        held = pa.table({"chunk_hash": self.table["chunk_hash"].take(pa.array(self.live))})
        places = pc.select_k_unstable(held, min(count, held.num_rows), sort_keys=[("chunk_hash", "ascending")])
        return sorted(held["chunk_hash"].take(places).to_pylist())

    def missing_in(self, other: Rows) -> npt.NDArray[np.int64]:
        """Places of the rows whose passages the other ones do not hold, (n,) int64."""
        held = other.table["chunk_hash"].take(pa.array(other.live))
        known = pc.is_in(self.table["chunk_hash"].take(pa.array(self.live)), value_set=held)
        return np.asarray(self.live[~known.to_numpy()])

    def drawn(self, count: int, seed: str, first: npt.NDArray[np.int64] | None = None) -> list[int]:
        """Places of `count` rows that stand for a passage, or of all of them, drawn by `seed`; ascending.

        Half of them, or as many as there are, come from `first`, some of the places.
        """
        random = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
        preferred = self.live[:0] if first is None else random.choice(first, min(count // 2, len(first)), replace=False)
        rest = np.setdiff1d(self.live, preferred, assume_unique=True)
        chosen = random.choice(rest, min(count - len(preferred), len(rest)), replace=False)
        return sorted(int(place) for place in (*preferred, *chosen))


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage as readers hold it: its chunk's hash, the title and text of a document it is in, and where."""

    chunk_hash: str
    title: str
    text: str
    start: int
    end: int


def passages(rows: Rows, documents: Path, places: Sequence[int]) -> list[Passage]:
    """The passages of these rows, each from the first document that holds it. `documents` is documents.arrow."""
    held = artifact.open_arrow(documents, artifact.DOCUMENTS_SCHEMA)
    found = []
    for row in rows.table.take(pa.array(places)).to_pylist():
        ordinal = row["documents"][0]
        title, text = (held[name][ordinal].as_py() for name in ("title", "text"))
        found.append(Passage(row["chunk_hash"], title, text, row["starts"][0], row["ends"][0]))
    return found
