"""Making what travels beside an index: its documents, its rows, and the vectors in row order (see artifact)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import tables, vectors
from slipway.errors import IndexRefused
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA, open_arrow
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


def write_documents(snapshot_parts: list[Path], path: Path) -> int:
    """Write `documents.arrow` from a snapshot's parts, which are in document id order. Returns the rows."""
    return _write(read_batches(snapshot_parts, DOCUMENTS_SCHEMA.names), DOCUMENTS_SCHEMA, path)


def write_rows(chunk_parts: list[Path], snapshot_parts: list[Path], path: Path, scratch: Path) -> int:
    """Write `rows.arrow`, in chunk hash order. Returns the rows."""
    with tables.duck(scratch) as session:
        tables.view(session, "chunks", chunk_parts, CHUNKS)
        tables.view(session, "documents", snapshot_parts, DOCUMENTS_SCHEMA)
        return _write(tables.batches(session, _ROWS), ROWS_SCHEMA, path)


def gather(store: ObjectStore, encoder: str, rows: Path, path: Path, scratch: Path) -> npt.NDArray[np.float32]:
    """The vectors of `rows.arrow` in its order, as a memory-mapped file at `path`: (n, dimension) float32.

    Reads each part of the vector store once. Raises `IndexRefused` when a chunk has no vector, naming the first.
    """
    parts = vectors.parts(store, encoder)
    hashes = [vectors.fetch_hashes(store, part, scratch) for part in parts]
    wanted = _Wanted(open_arrow(rows, ROWS_SCHEMA)["chunk_hash"])
    total = len(wanted)
    made: npt.NDArray[np.float32] | None = None
    found = np.zeros(total, dtype=bool)
    with tables.duck(scratch) as session:
        session.register("rows_arrow", wanted.table)
        session.execute("CREATE TABLE wanted AS SELECT chunk_hash, row FROM rows_arrow").fetchall()
        for part, hash_file in zip(parts, hashes, strict=True):
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
    """The chunk hashes of rows.arrow with their row numbers."""

    def __init__(self, hashes: pa.ChunkedArray) -> None:
        self.table = pa.table({"chunk_hash": hashes, "row": pa.array(np.arange(len(hashes), dtype=np.int64))})

    def __len__(self) -> int:
        return int(self.table.num_rows)


def _places(session: duckdb.DuckDBPyConnection, hash_file: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row numbers in the index and offsets in the part of the hashes that both have, in row order."""
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
