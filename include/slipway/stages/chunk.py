"""snapshot → chunks: every document cut into passages, with the encoder's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from slipway import layout
from slipway.chunking import Chunker
from slipway.encoders import find_model
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.parts import PartWriter, fetch_parts, read_batches
from slipway.records import CHUNKS
from slipway.run import Run

VERSION = 2  # raise it when the same snapshot would be cut otherwise
STEP = 512  # documents tokenised at once


def chunk(run: Run, snapshot: Manifest) -> Manifest:
    """The snapshot's chunks, a part a some hundred thousand; skipped when they are there already.

    Counts: `documents`, `chunks` (occurrences; equal texts count each time) and `tokens`.
    """
    settings = run.collection.chunk
    model = find_model(run.collection.encoder)
    prompt = model.encoder.prompts.document
    print_of = fingerprint(
        "chunk", VERSION, snapshot.digest, settings.model_dump(mode="json"), model.tokenizer_fingerprint, prompt
    )
    place = layout.chunks(print_of)
    if sealed := find(run.store, place):
        return sealed
    draft = Draft(run.store, place, "chunk", print_of, {"snapshot": snapshot.digest})
    chunker = Chunker(model.tokenizer(), settings.tokens, settings.overlap, settings.title, prompt)
    documents = tokens = 0
    total = snapshot.counts["documents"]
    paths = fetch_parts(run.store, snapshot, "documents", run.scratch)
    with PartWriter(draft, "chunks", run.scratch / "chunks") as writer:
        for batch in _steps(read_batches(paths, ["document_id", "title", "text"])):
            chunks = _cut(chunker, batch)
            writer.write(chunks)
            documents += batch.num_rows
            tokens += pc.sum(chunks["tokens"]).as_py() or 0
            run.progress("chunk", documents, total, "documents")
    counts = {"documents": documents, "chunks": writer.rows, "tokens": tokens}
    return draft.seal(counts, {"snapshot": snapshot.place})


def _steps(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, STEP):
            yield batch.slice(start, STEP)


def _cut(chunker: Chunker, batch: pa.RecordBatch) -> pa.RecordBatch:
    passages = chunker.cut(batch["title"].to_pylist(), batch["text"].to_pylist())
    rows = [
        (p.chunk_hash, document_id, p.start, p.end, p.tokens, p.text)
        for document_id, made in zip(batch["document_id"].to_pylist(), passages, strict=True)
        for p in made
    ]
    columns = zip(*rows, strict=True) if rows else [[] for _ in CHUNKS]
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, CHUNKS, strict=True)], CHUNKS
    )
