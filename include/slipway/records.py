"""The tables that stages hand to each other: one Arrow schema each. A column means the same everywhere."""

from __future__ import annotations

import pyarrow as pa

DOCUMENTS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),  # "<source>:<primary key>"
        pa.field("source", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),  # may be empty
        pa.field("text", pa.string(), nullable=False),  # cleaned
        pa.field("metadata", pa.string(), nullable=False),  # a JSON object with sorted keys
        pa.field("content_hash", pa.string(), nullable=False),  # of title, text and metadata, 32 hex digits
        pa.field("text_hash", pa.string(), nullable=False),  # of text alone, 32 hex digits: equal texts are duplicates
        pa.field(
            "bands", pa.list_(pa.uint64()), nullable=False
        ),  # MinHash bands; empty unless near-duplicates are sought
        pa.field("row_hash", pa.binary(16), nullable=False),  # of the source's row: an equal one is not cleaned again
        pa.field("copy", pa.int32(), nullable=False),  # 0 for a row's first occurrence in its source, 1, 2, … for more
    ]
)

# What later stages read of a snapshot's documents; a snapshot keeps all columns of DOCUMENTS, for the next night.
SNAPSHOT = pa.schema(
    [DOCUMENTS.field(name) for name in ("document_id", "source", "title", "text", "metadata", "content_hash")]
)

REJECTED = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field(
            "row", pa.int64(), nullable=False
        ),  # 0-based position in the source's rows as they were read; -1: a duplicate
        pa.field("document_id", pa.string()),  # null where the row has no usable id
        pa.field("reason", pa.string(), nullable=False),  # one of slipway.cleaning.reasons
        pa.field("detail", pa.string(), nullable=False),  # what was seen, in a sentence
        pa.field("excerpt", pa.string(), nullable=False),  # the beginning of the row's text, printable
        pa.field("row_hash", pa.binary(16), nullable=False),
        pa.field("copy", pa.int32(), nullable=False),
    ]
)

DUPLICATES = pa.schema([*DOCUMENTS, REJECTED.field("reason"), REJECTED.field("detail")])

DELETED = pa.schema([DOCUMENTS.field("document_id")])  # documents that are gone, or that another row takes the place of

ROW_KEYS = pa.schema([REJECTED.field("row_hash"), REJECTED.field("copy")])

CHUNKS = pa.schema(
    [
        pa.field("chunk_hash", pa.string(), nullable=False),  # of the embedded text, 32 hex digits
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),  # character offsets into the document's text
        pa.field("end", pa.int32(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),  # of the embedded text, special tokens included
        pa.field("text", pa.string(), nullable=False),  # what is embedded: the title, if asked for, and the passage
        pa.field("content_hash", pa.string(), nullable=False),  # of the document it was cut from
    ]
)

SHARD = pa.schema([CHUNKS.field("chunk_hash"), CHUNKS.field("tokens"), CHUNKS.field("text")])

DIFFERENCE = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("change", pa.string(), nullable=False),  # added, changed or deleted
    ]
)
