"""What a reader needs beside the index file: which documents each vector stands for, and the documents themselves.

`rows.arrow`: one row a vector, in index order: chunk_hash, and parallel lists of document ordinals and character
offsets (equal chunk texts of several documents share a vector). `documents.arrow`: one row a document, its ordinal
being its position. Both are Arrow IPC files without compression, so that they are memory-mapped, not loaded. They are
made by slipway.index.payload; this module is all that a reader loads.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from slipway.errors import CorruptObject

INDEX = "index.faiss"
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


def open_arrow(path: Path, schema: pa.Schema) -> pa.Table:
    """A memory-mapped Arrow IPC file. Raises `CorruptObject` when it is not one, or not of this schema."""
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptObject(f"{path.name} is not a whole Arrow file: {error}") from error
    if not table.schema.equals(schema):
        raise CorruptObject(f"{path.name} has columns {table.schema.names}, this version reads {schema.names}")
    return table
