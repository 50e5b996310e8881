"""Making what travels beside an index: its documents, its rows, and the vectors in row order (see artifact).

A new index has its rows in chunk hash order. An updated one keeps the rows of the index it was made from, so
`rows.arrow` is first written as for a new one and then brought into the old order (`continue_rows`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import tables, vectors
from slipway.errors import IndexRefused
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA, live_rows, open_arrow
from slipway.parts import read_batches
from slipway.records import CHUNKS
from slipway.scratch import reserve
from slipway.storage.base import ObjectStore

_ROWS = """
SELECT chunk_hash, list(ordinal ORDER BY ordinal, "start") AS documents,
       list("start" ORDER BY ordinal, "start") AS starts, list("end" ORDER BY ordinal, "start") AS ends
FROM chunks JOIN (SELECT document_id, (row_number() OVER (ORDER BY document_id) - 1)::INT AS ordinal FROM documents)
USING (document_id)
GROUP BY chunk_hash ORDER BY chunk_hash
"""

_PLACED = """
CREATE TABLE placed AS
WITH held AS (SELECT chunk_hash, row FROM base WHERE $revive OR live)
SELECT chunk_hash, row FROM fresh JOIN held USING (chunk_hash)
UNION ALL
SELECT chunk_hash, $rows + row_number() OVER (ORDER BY chunk_hash) - 1 FROM fresh ANTI JOIN held USING (chunk_hash)
"""
_CONTINUED = """
SELECT chunk_hash, documents, starts, ends FROM (
    SELECT chunk_hash, documents, starts, ends, row FROM fresh JOIN placed USING (chunk_hash)
    UNION ALL
    SELECT chunk_hash, []::INT[], []::INT[], []::INT[], row FROM base ANTI JOIN placed USING (row)
) ORDER BY row
"""
_REVIVED = "SELECT count(*) FROM base SEMI JOIN placed USING (row) WHERE NOT live"


@dataclass(frozen=True, slots=True)
class Continued:
    """How the rows of a new state follow those of an older one.

    `numbers` is the row number of each chunk, in chunk hash order; `gone` the rows that became tombstones; `base` how
    many rows there were before, so that chunks with a number from there on need their vectors added; `rows` how many
    there are now; `revived` how many tombstones stand for a passage again.
    """

    numbers: npt.NDArray[np.int64]
    gone: npt.NDArray[np.int64]
    base: int
    rows: int
    revived: int

    @property
    def appended(self) -> npt.NDArray[np.int64]:
        """Positions in `numbers` of the chunks whose vectors have to be added, in the order of their new rows."""
        return np.flatnonzero(self.numbers >= self.base)

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """Which rows stand for a passage now, (rows,) bool."""
        mask = np.zeros(self.rows, dtype=bool)
        mask[self.numbers] = True
        return mask


def write_documents(snapshot_parts: list[Path], path: Path) -> int:
    """Write `documents.arrow` from a snapshot's parts, which are in document id order. Returns the rows."""
    return _write(read_batches(snapshot_parts, DOCUMENTS_SCHEMA.names), DOCUMENTS_SCHEMA, path)


def write_rows(chunk_parts: list[Path], snapshot_parts: list[Path], path: Path, scratch: Path) -> int:
    """Write `rows.arrow`, in chunk hash order. Returns the rows."""
    with tables.duck(scratch) as session:
        tables.view(session, "chunks", chunk_parts, CHUNKS)
        tables.view(session, "documents", snapshot_parts, DOCUMENTS_SCHEMA)
        return _write(tables.batches(session, _ROWS), ROWS_SCHEMA, path)


def continue_rows(fresh: Path, base: Path, path: Path, scratch: Path, *, revive: bool) -> Continued:
    """Write the rows of `fresh` (a rows.arrow in chunk hash order) to `path`, in the places that `base` gave them.

    Chunks that `base` holds keep their row, others get rows at the end in chunk hash order, and rows whose chunk is
    gone stay as tombstones. `revive`: whether a tombstone of `base` still has its vector, so that its chunk can come
    back to it.
    """
    before = open_arrow(base, ROWS_SCHEMA)
    with tables.duck(scratch) as session:
        session.register("fresh_arrow", open_arrow(fresh, ROWS_SCHEMA))
        session.register("base_arrow", _numbered(before.select(["chunk_hash"]), live_rows(before)))
        session.execute("CREATE TABLE fresh AS SELECT * FROM fresh_arrow").fetchall()
        session.execute("CREATE TABLE base AS SELECT chunk_hash, row, live FROM base_arrow").fetchall()
        session.execute(_PLACED, {"revive": revive, "rows": before.num_rows}).fetchall()
        rows = _write(tables.batches(session, _CONTINUED), ROWS_SCHEMA, path)
        return Continued(
            numbers=_column(session, "SELECT row FROM placed ORDER BY chunk_hash"),
            gone=_column(session, "SELECT row FROM base ANTI JOIN placed USING (row) WHERE live ORDER BY row"),
            base=before.num_rows,
            rows=rows,
            revived=tables.number(session, _REVIVED),
        )


def _numbered(table: pa.Table, live: npt.NDArray[np.bool_]) -> pa.Table:
    numbers = pa.array(np.arange(table.num_rows, dtype=np.int64))
    return table.append_column("row", numbers).append_column("live", pa.array(live))


def _column(session: duckdb.DuckDBPyConnection, query: str) -> npt.NDArray[np.int64]:
    made: npt.NDArray[np.int64] = session.sql(query).to_arrow_table()["row"].to_numpy()
    return made


def gather(store: ObjectStore, encoder: str, rows: Path, path: Path, scratch: Path) -> npt.NDArray[np.float32]:
    """The vectors of `rows.arrow` in its order, tombstones left out, as a memory-mapped file at `path`.

    (live rows, dimension) float32. Reads each part of the vector store once. Raises `IndexRefused` when a chunk has no
    vector, naming the first.
    """
    table = open_arrow(rows, ROWS_SCHEMA)
    live = live_rows(table)
    hashes = table["chunk_hash"] if live.all() else table["chunk_hash"].filter(pa.array(live))
    return collect(store, encoder, hashes, path, scratch)


def collect(
    store: ObjectStore, encoder: str, hashes: pa.ChunkedArray, path: Path, scratch: Path
) -> npt.NDArray[np.float32]:
    """The vectors of these chunk hashes, in order, as a memory-mapped file at `path`: (n, dimension) float32.

    Raises `IndexRefused` when a chunk has no vector, naming the first.
    """
    wanted = _Wanted(hashes)
    parts = vectors.parts(store, encoder)
    files = [vectors.fetch_hashes(store, part, scratch) for part in parts]
    total = len(wanted)
    made: npt.NDArray[np.float32] | None = None
    found = np.zeros(total, dtype=bool)
    with tables.duck(scratch) as session:
        session.register("rows_arrow", wanted.table)
        session.execute("CREATE TABLE wanted AS SELECT chunk_hash, row FROM rows_arrow").fetchall()
        for part, hash_file in zip(parts, files, strict=True):
            targets, offsets = _places(session, hash_file)
            if len(targets) == 0:
                continue
            block = vectors.open_vectors(store, part, scratch)
            if made is None:
                made = _mapped(path, total, block.shape[1])
            made[targets] = block[offsets]
            found[targets] = True
    if not found.all():
        missing = [wanted.table["chunk_hash"][int(row)].as_py() for row in np.flatnonzero(~found)[:3]]
        raise IndexRefused(
            f"{int((~found).sum()):,} of {total:,} chunks have no vector of encoder {encoder}, the first: "
            f"{', '.join(missing)}; run the embed stage again"
        )
    if made is None:
        raise IndexRefused("there is not one chunk to index; look at the rejected rows of the clean stage")
    del made  # writes what is still in memory
    return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _mapped(path: Path, rows: int, dimension: int) -> npt.NDArray[np.float32]:
    """A memory-mapped, writable array file whose disk space is there."""
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, dimension))
    reserve(path, made.offset)
    return made


class _Wanted:
    """The chunk hashes that are wanted, with their places."""

    def __init__(self, hashes: pa.ChunkedArray) -> None:
        self.table = pa.table({"chunk_hash": hashes, "row": pa.array(np.arange(len(hashes), dtype=np.int64))})

    def __len__(self) -> int:
        return int(self.table.num_rows)


def _places(session: duckdb.DuckDBPyConnection, hash_file: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places among the wanted, and offsets in the part, of the hashes that both have, in the order of the wanted."""
    found: pa.Table = session.sql(
        """SELECT row, file_row_number FROM wanted
           JOIN read_parquet($path, file_row_number=true) USING (chunk_hash) ORDER BY row""",
        params={"path": str(hash_file)},
    ).to_arrow_table()
    return found["row"].to_numpy(), found["file_row_number"].to_numpy()


def _write(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    rows = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            columns = [batch[field.name].cast(field.type) for field in schema]
            writer.write_batch(pa.record_batch(columns, schema))
            rows += batch.num_rows
    return rows
