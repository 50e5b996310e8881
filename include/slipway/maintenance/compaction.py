"""Compaction: many small vector parts become few large ones, without the vectors that nobody wants.

A part is rewritten when it is small, or when a good share of its rows goes: rows whose hash another part holds too, and
rows that were written long ago and whose hash nobody wants. Large parts with few such rows stay as they are, since
moving 256 MiB to save a few vectors costs more than it gives.

A new part is sealed before the parts it was made of go, and of those the manifest goes first. So a kill at any moment
leaves each wanted hash in at least one sealed part, at times in two, which readers do not mind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from slipway import layout, tables, vectors
from slipway.errors import CorruptObject
from slipway.maintenance.merging import MergedPart, Written
from slipway.maintenance.places import Check, Place, delete_place, list_places
from slipway.manifest import Manifest, SealedObject, load
from slipway.parts import read_batches
from slipway.storage.base import ObjectStore
from slipway.throughput import together, told

SMALL_BYTES = 64 << 20  # of vectors: smaller parts are merged
TARGET_BYTES = 256 << 20  # of vectors, at most, in a merged part
OBJECTS = 3  # of a part: hashes, vectors and manifest
DROPPED_SHARE = 0.1  # of a large part's rows, from which on it is rewritten

HASH = pa.schema([pa.field("chunk_hash", pa.string(), nullable=False)])
_TURNS = pa.schema([(name, pa.int32()) for name in ("part", "merge", "turn")])

_HELD = "CREATE TABLE held (part INTEGER, offset_in_part BIGINT, chunk_hash VARCHAR, written BIGINT)"
# Of equal hashes the youngest stays, as its age is the hash's; of equally young ones the one in the largest part.
_JUDGED = """
CREATE TABLE judged AS
SELECT part, offset_in_part, chunk_hash,
       row_number() OVER (PARTITION BY chunk_hash ORDER BY written DESC, part, offset_in_part) > 1 AS repeated,
       max(written) OVER (PARTITION BY chunk_hash) < {before}
       AND chunk_hash NOT IN (SELECT chunk_hash FROM wanted) AS unwanted
FROM held
"""
_COUNTS = """
SELECT part, count(*) FILTER (WHERE NOT repeated AND NOT unwanted), count(*) FILTER (WHERE unwanted)
FROM judged GROUP BY part
"""
_MOVED = """
SELECT merge, part, offset_in_part, chunk_hash FROM judged JOIN merges USING (part)
WHERE NOT repeated AND NOT unwanted ORDER BY merge, turn, offset_in_part
"""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What became of one encoder's parts.

    `merged` parts became fewer. Of the rows, some were `unwanted` and some `repeated`. `objects` is how many fewer
    there are, `bytes_freed` the bytes of what is there no more.
    """

    encoder: str
    parts_before: int
    parts_after: int
    merged: int
    unwanted: int
    repeated: int
    objects: int
    bytes_freed: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A sealed part, and when its rows were written, in row order."""

    place: Place
    manifest: Manifest
    written: Written

    @property
    def rows(self) -> int:
        return self.manifest.counts["vectors"]

    @property
    def row_bytes(self) -> int:
        return 4 * int(self.manifest.facts["dimension"])


@dataclass(frozen=True, slots=True)
class _Judged:
    """A part with its number in this compaction, and how many of its rows stay, and go because nobody wants them."""

    number: int
    part: _Part
    kept: int
    unwanted: int

    @property
    def dropped(self) -> int:
        return self.part.rows - self.kept

    @property
    def is_rewritten(self) -> bool:
        small = self.part.rows * self.part.row_bytes < SMALL_BYTES
        return self.kept > 0 and (small or self.dropped >= DROPPED_SHARE * self.part.rows)


@dataclass(frozen=True, slots=True)
class Compaction:
    """One encoder's compaction. `wanted` is a Parquet file of the chunk hashes that are needed; None: all are.

    Rows written before `before` (UTC) go when nobody wants them.
    """

    store: ObjectStore
    encoder: str
    wanted: Path | None
    before: datetime
    scratch: Path
    check: Check

    def run(self, *, dry_run: bool = False) -> Compacted:
        """Compact the encoder's parts, or only say what would become of them. Raises `CorruptObject`."""
        parts = self._parts()
        with tables.duck(self.scratch) as session:
            judged = self._judge(session, parts)
            emptied = [one for one in judged if one.kept == 0]
            merges = _merges([one for one in judged if one.is_rewritten])
            if not dry_run:
                self._merge(session, merges)
                for one in emptied:
                    delete_place(self.store, one.part.place, self.check)
        rewritten = [one for sources in merges for one in sources]
        gone = emptied + rewritten
        unwanted = sum(one.unwanted for one in gone)
        return Compacted(
            encoder=self.encoder,
            parts_before=len(parts),
            parts_after=len(parts) - len(gone) + len(merges),
            merged=len(rewritten),
            unwanted=unwanted,
            repeated=sum(one.dropped for one in gone) - unwanted,
            objects=sum(len(one.part.place.objects) for one in gone) - OBJECTS * len(merges),
            bytes_freed=sum(one.part.place.size_bytes for one in emptied)
            + sum(one.dropped * one.part.row_bytes for one in rewritten),
        )

    def _parts(self) -> list[_Part]:
        """All sealed parts, largest first."""
        found = []
        for place in list_places(self.store, layout.vectors(self.encoder)):
            if place.manifest is not None:
                manifest = load(self.store, place.path)
                found.append(_Part(place, manifest, _written(manifest, place.manifest.modified_at)))
        return sorted(found, key=lambda part: (-part.rows, part.place.path))

    def _judge(self, session: duckdb.DuckDBPyConnection, parts: Sequence[_Part]) -> list[_Judged]:
        """Which rows stay is left in the table `judged`."""
        session.execute(_HELD)
        for number, part in enumerate(parts):
            self._read_hashes(session, number, part)
        if self.wanted is None:
            session.execute("CREATE VIEW wanted AS SELECT DISTINCT chunk_hash FROM held")
        else:
            tables.view(session, "wanted", [self.wanted], HASH)
        session.execute(_JUDGED.format(before=_microseconds(self.before)))
        counts = {number: (kept, unwanted) for number, kept, unwanted in session.execute(_COUNTS).fetchall()}
        return [_Judged(number, part, *counts.get(number, (0, 0))) for number, part in enumerate(parts)]

    def _read_hashes(self, session: duckdb.DuckDBPyConnection, number: int, part: _Part) -> None:
        path = vectors.fetch_hashes(self.store, part.manifest, self.scratch)
        written = np.repeat([_microseconds(at) for at, _ in part.written], [rows for _, rows in part.written])
        offset = 0
        for batch in read_batches([path], ["chunk_hash"]):
            end = offset + batch.num_rows
            rows = pa.table(
                {
                    "part": np.full(batch.num_rows, number, np.int32),
                    "offset_in_part": np.arange(offset, end),
                    "chunk_hash": batch["chunk_hash"],
                    "written": written[offset:end],
                }
            )
            session.register("some_rows", rows)
            session.execute("INSERT INTO held SELECT * FROM some_rows").fetchall()
            session.unregister("some_rows")
            offset = end
        if offset != part.rows:
            raise CorruptObject(
                f"{part.place.path}: {offset} hashes for {part.rows} vectors; restore it, or remove its manifest so "
                "that its chunks are embedded again"
            )
        self._drop_copy(part.manifest.one(vectors.HASHES))

    def _merge(self, session: duckdb.DuckDBPyConnection, merges: Sequence[Sequence[_Judged]]) -> None:
        """Seal each merge's new part, then remove the parts that it was made of."""
        turns = [
            {"part": one.number, "merge": merge, "turn": turn}
            for merge, sources in enumerate(merges)
            for turn, one in enumerate(sources)
        ]
        session.from_arrow(pa.Table.from_pylist(turns, _TURNS)).create("merges")
        parts = {one.number: one.part for sources in merges for one in sources}
        for merge, moved in groupby(_moved(tables.batches(session, _MOVED)), key=lambda move: move[0]):
            sources = [one.part for one in merges[merge]]
            made = self._write(sources, sum(one.kept for one in merges[merge]), parts, moved)
            for part in sources:
                if part.place.path != made.place:
                    delete_place(self.store, part.place, self.check)

    def _write(
        self,
        sources: Sequence[_Part],
        rows: int,
        parts: dict[int, _Part],
        moved: Iterable[tuple[int, int, pa.RecordBatch]],
    ) -> Manifest:
        dimensions = {int(part.manifest.facts["dimension"]) for part in sources}
        if len(dimensions) != 1:
            raise CorruptObject(f"the vector parts of encoder {self.encoder} have the dimensions {sorted(dimensions)}")
        with MergedPart(self.scratch, rows, dimensions.pop()) as made:
            for number, moves in groupby(moved, key=lambda move: move[1]):
                part = parts[number].manifest
                block = vectors.open_vectors(self.store, part, self.scratch)
                for _, _, batch in moves:
                    made.append(batch["chunk_hash"], block, batch["offset_in_part"].to_numpy(), parts[number].written)
                del block
                self._drop_copy(part.one(vectors.VECTORS))
            self.check()
            return made.seal(self.store, self.encoder, _speed(sources))

    def _drop_copy(self, sealed: SealedObject) -> None:
        """Remove what was downloaded, so that scratch does not fill with the whole vector store."""
        if self.store.local_path(sealed.key) is None:
            (self.scratch / sealed.key).unlink(missing_ok=True)


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def _written(manifest: Manifest, sealed_at: datetime) -> Written:
    """When the part's rows were written. Raises `CorruptObject` when a merged part does not say so of each row."""
    if "written" not in manifest.facts:
        return [(sealed_at, manifest.counts["vectors"])]
    written = [(datetime.fromisoformat(at), rows) for at, rows in manifest.facts["written"]]
    if sum(rows for _, rows in written) != manifest.counts["vectors"]:
        raise CorruptObject(f"{manifest.place}: the manifest does not say when each of its vectors was written")
    return written


def _merges(rewritten: Sequence[_Judged]) -> list[list[_Judged]]:
    """The parts that become one, oldest first, so that rows of about one age stay together."""
    merges: list[list[_Judged]] = []
    size = 0
    for one in sorted(rewritten, key=lambda one: (min(at for at, _ in one.part.written), one.part.place.path)):
        more = one.kept * one.part.row_bytes
        if not merges or size + more > TARGET_BYTES:
            merges.append([])
            size = 0
        merges[-1].append(one)
        size += more
    return [sources for sources in merges if len(sources) > 1 or sources[0].dropped]


def _moved(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, int, pa.RecordBatch]]:
    """Slices of the batches that belong to one merge and one part, with the numbers of these two."""
    for batch in batches:
        part = batch["part"].to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), batch.num_rows]
        for start, end in pairwise(starts):
            if end > start:
                yield batch["merge"][start].as_py(), int(part[start]), batch.slice(start, end - start)


def _speed(sources: Sequence[_Part]) -> dict[str, Any]:
    """What embedding took, summed over the parts that say so and were made as the newest of them was."""
    manifests = sorted((part.manifest for part in sources), key=lambda manifest: manifest.created_at)
    took = together(one for manifest in manifests if (one := told(manifest.facts)))
    return took.facts() if took else {}
