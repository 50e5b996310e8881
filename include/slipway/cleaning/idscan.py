"""The id scan: all ids that a source has now, against those that the base knows.

It heals what a watermark cannot see, both ways: an id that the base knows and the source no longer has is deleted; an
id that the source has and nobody knows is fetched, whether it was committed late, stamped by a slow clock, or restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from slipway import tables
from slipway.cleaning.rows import document_id
from slipway.cleaning.values import python_values
from slipway.manifest import Manifest
from slipway.parts import fetch_parts
from slipway.records import DELETED
from slipway.run import Run

HOLDING = ("documents", "duplicates", "rejected")  # the parts of a snapshot that name the ids it knows


class IdFile:
    """A scratch file of document ids, made from primary keys in bounded memory. Use as a context manager."""

    def __init__(self, source: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.number = 0
        self._source = source
        self._writer = pq.ParquetWriter(path, DELETED, compression="zstd")

    def write(self, keys: pa.Array[Any]) -> None:
        """Add the document ids of some primary keys; keys that no document can have are left out."""
        found = (document_id(self._source, value) for value in python_values(keys))
        ids = [one for one in found if one is not None]
        self._writer.write_batch(pa.record_batch([pa.array(ids, pa.string())], DELETED))
        self.number += len(ids)

    def __enter__(self) -> IdFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._writer.close()


class Comparison:
    """What an id scan found: see `compare`."""

    def __init__(self, session: duckdb.DuckDBPyConnection, source: str) -> None:
        self._session, self._source = session, source
        self.unknown = tables.number(session, "SELECT count(*) FROM unknown")
        """How many ids the source has that neither the base knows nor this reading brought."""
        self.repeated = tables.number(session, "SELECT count(*) - count(DISTINCT document_id) FROM scanned")
        """How many of the source's rows have the id of another one."""

    def vanished(self) -> Iterator[pa.RecordBatch]:
        """The documents of this source that the base knows and the source no longer has (records.DELETED)."""
        query = "SELECT DISTINCT document_id FROM known ANTI JOIN scanned USING (document_id)"
        for batch in tables.batches(self._session, query):
            yield batch.cast(DELETED)

    def keys_of_unknown(self, batches: Iterator[pa.RecordBatch]) -> list[Any]:
        """The primary keys of the unknown ids, from another pass over the source's ids. Holds them all in memory."""
        wanted = {row[0] for row in self._session.execute("SELECT document_id FROM unknown").fetchall()}
        keys = (value for batch in batches for value in python_values(batch.column(0)))
        return [key for key in keys if document_id(self._source, key) in wanted]


@contextmanager
def compare(run: Run, source: str, base: Manifest, scanned: Path, brought: Sequence[Path]) -> Iterator[Comparison]:
    """Compare the ids that a source has (`scanned`) with those that the base snapshot knows of it.

    `brought` are files of the ids of rows that this reading brought. Sets are DuckDB's: memory does not grow with them.
    """
    held = [path for name in HOLDING for path in fetch_parts(run.store, base, name, run.scratch)]
    with tables.duck(run.scratch) as session:
        tables.view(session, "scanned", [scanned], DELETED)
        tables.view(session, "brought", brought, DELETED)
        session.execute("CREATE TABLE known (document_id VARCHAR)")
        for number, path in enumerate(held):  # their schemas differ: a view each
            tables.view(session, f"held_{number}", [path], DELETED)
            ids = f"SELECT document_id FROM held_{number} WHERE source = ? AND document_id IS NOT NULL"
            session.execute(f"INSERT INTO known {ids}", [source])
        session.execute(
            "CREATE TABLE unknown AS SELECT DISTINCT document_id FROM scanned "
            "ANTI JOIN known USING (document_id) ANTI JOIN brought USING (document_id)"
        )
        yield Comparison(session, source)
