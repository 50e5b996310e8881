"""clean: the raw rows of one source → documents, and every other row with the reason why it is none.

A row that the base snapshot knows, by the hash of its values, was cleaned before and is not cleaned again. So the first
pass over the rows hashes them, DuckDB says which are new, and the second pass cleans those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slipway import layout, manifest, tables
from slipway.cleaning import near
from slipway.cleaning.recipe import recipe
from slipway.cleaning.rows import Document, Rejection, RowCleaner, is_tombstone
from slipway.cleaning.tally import check_balance
from slipway.cleaning.values import python_values
from slipway.config import AnySource
from slipway.config.collection import Clean
from slipway.errors import SourceSchemaError
from slipway.manifest import Draft, Manifest
from slipway.parts import BATCH_ROWS, PartWriter, fetch_parts, read_batches
from slipway.records import DELETED, DOCUMENTS, REJECTED, ROW_KEYS
from slipway.run import Run

STAGE = "clean"
LOT_ROWS = 1_024  # rows that are Python objects at one time
LOT_CHARACTERS = 4 << 20  # text of documents that waits to be written, at most about this

_HASHED = pa.schema([pa.field("row", pa.int64()), ROW_KEYS.field("row_hash")])
_NEW = pa.schema([pa.field("position", pa.int64()), *ROW_KEYS])


def clean(run: Run, source_name: str, raw: Manifest) -> Manifest:
    """Clean the rows that extract read of a source and that its base does not know; skipped when that was done before.

    Parts: `documents` (records.DOCUMENTS) and `rejected` (records.REJECTED), both in the order of the rows;
    `unchanged` (records.ROW_KEYS), after a full reading: rows of the base that are still there; `replaced`
    (records.DELETED), after a reading of changes: documents of the base that are gone or were read anew.
    Counts: `rows`, `documents`, `rejected`, `unchanged` and `repeated` (a row that a reading of changes brought twice);
    they add up. Facts: `source`, `mode`, `base`, `rejected_by_reason`, `repaired` (documents whose Unicode was mended)
    and `without_id` (rejected rows that no document id can be made for).

    Memory does not grow with the number of rows. Raises `SourceSchemaError` when the raw rows lack a column,
    `ConfigError` for a language that cannot be recognised, and `OperationError` when rows were lost.
    """
    source, settings = run.collection.source(source_name), run.collection.clean
    mode, base = raw.facts["mode"], raw.facts["base"]
    print_of = manifest.fingerprint(STAGE, recipe(source, settings), raw.digest, mode, base)
    place = layout.documents(print_of)
    sealed = manifest.find(run.store, place)
    if sealed is not None:
        return sealed
    draft = Draft(run.store, place, STAGE, print_of, {"raw": raw.digest})
    with ExitStack() as stack:
        writer = _Writers(draft, run.scratch / STAGE / source.name, stack)
        work = _Cleaning(run, source, settings, raw, writer)
        work.clean()
    counts = work.counts()
    check_balance(
        f"clean of source {source.name!r}",
        counts["rows"],
        counts["documents"],
        sum(counts[name] for name in ("rejected", "unchanged", "repeated")),
    )
    facts = {
        "source": source.name,
        "mode": mode,
        "base": base,
        "rejected_by_reason": dict(sorted(work.output.reasons.items())),
        "repaired": work.output.repaired,
        "without_id": work.output.without_id,
    }
    return draft.seal(counts, facts)


class _Writers:
    """The four parts that are written side by side."""

    def __init__(self, draft: Draft, scratch: Path, stack: ExitStack) -> None:
        self.scratch = scratch
        self.documents, self.rejected, self.unchanged, self.replaced = (
            stack.enter_context(PartWriter(draft, name, scratch))
            for name in ("documents", "rejected", "unchanged", "replaced")
        )


class _Cleaning:
    """One source of one run."""

    def __init__(self, run: Run, source: AnySource, settings: Clean, raw: Manifest, writers: _Writers) -> None:
        self._run, self._source, self._raw, self._writers = run, source, raw, writers
        self._full = raw.facts["mode"] == "full"
        self._base = manifest.load(run.store, raw.facts["base"]) if raw.facts["base"] else None
        self._paths = fetch_parts(run.store, raw, "raw", run.scratch)
        self._repeated = self._kept = 0
        self.output = _Output(source, settings, writers)

    def clean(self) -> None:
        hashed = self._writers.scratch / "hashed.parquet"
        self._hash_rows(hashed)
        with tables.duck(self._run.scratch, tables.SMALL_MEMORY) as session:
            self._compare(session, hashed)
            if self._full:
                for batch in tables.batches(session, "SELECT row_hash, copy FROM unchanged"):
                    self._writers.unchanged.write(batch.cast(ROW_KEYS))
            elif self._base is not None:
                for batch in read_batches(fetch_parts(self._run.store, self._raw, "deleted", self._run.scratch)):
                    self._writers.replaced.write(batch)
            self._clean_new(session)
        self.output.flush()
        hashed.unlink()

    def counts(self) -> dict[str, int]:
        rows = self._raw.counts["rows"]
        written = {"documents": self._writers.documents.rows, "rejected": self._writers.rejected.rows}
        return {"rows": rows, **written, "unchanged": self._kept, "repeated": self._repeated}

    def _hash_rows(self, path: Path) -> None:
        """Write the position and hash of every row."""
        done, total = 0, self._raw.counts["rows"]
        with pq.ParquetWriter(path, _HASHED) as writer:
            for batch in read_batches(self._paths):
                self._check_columns(batch)
                hashes = pa.array(_row_hashes(batch, self._source), pa.binary(16))
                positions = pa.array(np.arange(done, done + batch.num_rows))
                writer.write_batch(pa.record_batch([positions, hashes], _HASHED))
                done += batch.num_rows
                self._run.progress("clean (compare)", done, total, "rows")

    def _replace(self, ids: Sequence[str | None]) -> None:
        found = [one for one in ids if one is not None]
        if found:
            self._writers.replaced.write(pa.record_batch([pa.array(found, pa.string())], DELETED))

    def _compare(self, session: duckdb.DuckDBPyConnection, hashed: Path) -> None:
        """Make the tables `unchanged` (row_hash, copy) and `new` (position, row_hash, copy)."""
        tables.view(session, "hashed", [hashed], _HASHED)
        session.execute("CREATE TABLE known (row_hash BLOB, copy INT)")
        for number, path in enumerate(self._known()):
            tables.view(session, f"held_{number}", [path], REJECTED)
            keys = f"SELECT row_hash, copy FROM held_{number} WHERE source = ?"
            session.execute(f"INSERT INTO known {keys}", [self._source.name])
        session.execute(
            "CREATE TABLE keyed AS SELECT row AS position, row_hash, "
            "(row_number() OVER (PARTITION BY row_hash ORDER BY row) - 1)::INT AS copy FROM hashed"
        )
        if not self._full:  # the same row read twice is one row, however often a reading of changes brings it
            before = tables.number(session, "SELECT count(*) FROM keyed")
            session.execute("DELETE FROM keyed WHERE copy > 0")
            self._repeated = before - tables.number(session, "SELECT count(*) FROM keyed")
        session.execute(
            "CREATE TABLE unchanged AS SELECT row_hash, copy FROM keyed SEMI JOIN known USING (row_hash, copy)"
        )
        session.execute("CREATE TABLE new AS SELECT * FROM keyed ANTI JOIN known USING (row_hash, copy)")
        self._kept = tables.number(session, "SELECT count(*) FROM unchanged")

    def _known(self) -> list[Path]:
        if self._base is None:
            return []
        names = ("documents", "duplicates", "rejected")
        return [path for name in names for path in fetch_parts(self._run.store, self._base, name, self._run.scratch)]

    def _clean_new(self, session: duckdb.DuckDBPyConnection) -> None:
        total = tables.number(session, "SELECT count(*) FROM new")
        done = 0
        wanted = _Positions(tables.batches(session, "SELECT position, row_hash, copy FROM new ORDER BY position"))
        start = 0
        for batch in read_batches(self._paths):
            for first in range(0, batch.num_rows, LOT_ROWS):
                lot = batch.slice(first, LOT_ROWS)
                new = wanted.until(start + first + lot.num_rows)
                if new.num_rows:
                    self._clean_lot(lot.take(pa.array(new["position"].to_numpy() - start - first)), new)
                    done += new.num_rows
                    self._run.progress(STAGE, done, total, "rows")
            start += batch.num_rows

    def _clean_lot(self, lot: pa.RecordBatch, new: pa.Table) -> None:
        names = self._source.columns
        columns = [python_values(lot.column(name)) for name in names]
        keys = zip(new["position"].to_pylist(), new["row_hash"].to_pylist(), new["copy"].to_pylist(), strict=True)
        ids = []
        for key, values in zip(keys, zip(*columns, strict=True), strict=True):
            ids.append(self.output.add(key, dict(zip(names, values, strict=True))))
        if not self._full and self._base is not None:
            self._replace(ids)

    def _check_columns(self, batch: pa.RecordBatch) -> None:
        lacking = [name for name in self._source.columns if name not in batch.schema.names]
        if lacking:
            raise SourceSchemaError(
                f"source {self._source.name!r}: the rows read have no column {', '.join(lacking)}; they have "
                f"{', '.join(batch.schema.names)}. Correct the source's id, title, text or metadata in the collection "
                "file"
            )


class _Positions:
    """Rows of (position, row_hash, copy) in the order of positions, handed out up to a position."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._waiting = _NEW.empty_table()

    def until(self, end: int) -> pa.Table:
        """All that wait with a position below `end`."""
        while self._waiting.num_rows == 0 or self._waiting["position"][-1].as_py() < end:
            batch = next(self._batches, None)
            if batch is None:
                break
            self._waiting = pa.concat_tables([self._waiting, pa.Table.from_batches([batch]).cast(_NEW)])
        number = int(np.searchsorted(self._waiting["position"].to_numpy(), end))
        found, self._waiting = self._waiting.slice(0, number), self._waiting.slice(number)
        return found


class _Output:
    """Cleans row after row, and writes what came of them a lot at a time."""

    def __init__(self, source: AnySource, settings: Clean, writers: _Writers) -> None:
        self.repaired = self.without_id = 0
        self.reasons: Counter[str] = Counter()
        self._source = source.name
        self._cleaner = RowCleaner(source, settings)
        self._bands = near.Bands.for_threshold(settings.near_threshold) if settings.duplicates == "near" else None
        self._writers = writers
        self._kept: list[tuple[_Key, Document]] = []
        self._turned: list[tuple[_Key, Rejection]] = []
        self._characters = 0

    def add(self, key: _Key, values: dict[str, object]) -> str | None:
        """Clean one row and return its document id, if it has one. `key` is its position, hash and copy."""
        outcome = self._cleaner(values)
        if isinstance(outcome, Document):
            self._kept.append((key, outcome))
            self._characters += len(outcome.text) + len(outcome.metadata)
        else:
            self._turned.append((key, outcome))
            self.without_id += outcome.document_id is None
        if len(self._kept) + len(self._turned) >= BATCH_ROWS or self._characters >= LOT_CHARACTERS:
            self.flush()
        return outcome.document_id

    def flush(self) -> None:
        """Write what waits."""
        self._writers.documents.write(self._document_batch())
        self._writers.rejected.write(self._rejected_batch())
        self.repaired += sum(document.repaired for _, document in self._kept)
        self.reasons.update(rejection.reason for _, rejection in self._turned)
        self._kept, self._turned, self._characters = [], [], 0

    def _document_batch(self) -> pa.RecordBatch:
        kept, names = self._kept, ("document_id", "title", "text", "metadata", "content_hash", "text_hash")
        columns: dict[str, Any] = {name: [getattr(document, name) for _, document in kept] for name in names}
        columns["source"] = [self._source] * len(kept)
        columns["bands"] = self._bands.of(columns["text"]).tolist() if self._bands else [[]] * len(kept)
        columns["row_hash"] = [row_hash for (_, row_hash, _), _ in kept]
        columns["copy"] = [copy for (_, _, copy), _ in kept]
        return pa.RecordBatch.from_pydict(columns, schema=DOCUMENTS)

    def _rejected_batch(self) -> pa.RecordBatch:
        rows = [
            {
                "source": self._source,
                "row": row,
                "document_id": rejection.document_id,
                "reason": rejection.reason,
                "detail": rejection.detail,
                "excerpt": rejection.excerpt,
                "row_hash": row_hash,
                "copy": copy,
            }
            for (row, row_hash, copy), rejection in self._turned
        ]
        return pa.RecordBatch.from_pylist(rows, schema=REJECTED)


_Key = tuple[int, bytes, int]


def _row_hashes(batch: pa.RecordBatch, source: AnySource) -> list[bytes]:
    """16 bytes for each row that name the values a document is made of, with their types, and whether it is deleted."""
    columns = [python_values(batch.column(name)) for name in source.document_columns]
    if source.tombstone is not None:
        columns.append([is_tombstone(value) for value in python_values(batch.column(source.tombstone))])
    rows = (repr(row).encode("utf-8", "backslashreplace") for row in zip(*columns, strict=True))
    return [blake2b(row, digest_size=16).digest() for row in rows]
