"""What a reader needs beside the index: which documents each vector stands for, and the documents themselves.

`rows.arrow`: one row a vector, its number being the id in FAISS: chunk_hash, and parallel lists of document ordinals
and character offsets (equal chunk texts of several documents share a vector). Rows keep their numbers from one update
of an index to the next; a row whose passage is gone stays as a tombstone, with empty lists. `documents.arrow`: one row
a document, its ordinal being its position. Both are Arrow IPC files without compression, so that they are
memory-mapped, not loaded. They are made by slipway.index.payload; this module is all that a reader loads.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slipway.errors import CorruptObject

INDEX = "index.faiss"
SHARDS = "shards.json"  # only where the index consists of several files
ROWS = "rows.arrow"
DOCUMENTS = "documents.arrow"
ENCODER = "encoder.json"
SMOKE = "smoke.json"

ROWS_SCHEMA = pa.schema(
    [
        pa.field("chunk_hash", pa.string(), nullable=False),
        pa.field("documents", pa.list_(pa.int32()), nullable=False),
        pa.field("starts", pa.list_(pa.int32()), nullable=False),
        pa.field("ends", pa.list_(pa.int32()), nullable=False),
    ]
)
DOCUMENTS_SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("document_id", "title", "text", "metadata")]
)


def shard_index(shard: int) -> str:
    """Name of one index file of several."""
    return f"index-{shard:05d}.faiss"


def is_index(name: str) -> bool:
    """Whether an object of this name is an index, or one shard of it."""
    return name == INDEX or (name.startswith("index-") and name.endswith(".faiss"))


def needed(names: Collection[str]) -> tuple[str, ...]:
    """What a release must have for a reader, given the `names` of its objects: in it, the index files or INDEX."""
    index = sorted(name for name in names if is_index(name)) if SHARDS in names else [INDEX]
    return (*index, ROWS, DOCUMENTS, ENCODER, SMOKE)


def open_arrow(path: Path, schema: pa.Schema) -> pa.Table:
    """A memory-mapped Arrow IPC file, every offset and text of which was checked once, so that using it cannot fail.

    Raises `CorruptObject` when it is not one, or not of this schema.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        if not table.schema.equals(schema):
            raise CorruptObject(f"{path.name} has columns {table.schema.names}, this version reads {schema.names}")
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise CorruptObject(f"{path.name} is not a whole Arrow file: {error}") from error
    if any(column.null_count for column in table.columns):
        raise CorruptObject(f"{path.name} lacks values; every column must have one in every row")
    return table


def open_rows(path: Path) -> pa.Table:
    """rows.arrow, in which each row has one start and one end a document. Raises `CorruptObject`."""
    rows = open_arrow(path, ROWS_SCHEMA)
    lengths = [pc.list_value_length(rows[name]) for name in ("documents", "starts", "ends")]
    if not (lengths[0].equals(lengths[1]) and lengths[0].equals(lengths[2])):
        raise CorruptObject(f"{path.name} has rows with more documents than places in them, or fewer")
    return rows


def live_rows(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows of rows.arrow stand for a passage, (rows,) bool: the others are tombstones."""
    lengths: npt.NDArray[np.int32] = pc.list_value_length(rows["documents"]).to_numpy()
    return np.asarray(lengths > 0)
