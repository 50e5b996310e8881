"""snapshot → chunks: every document cut into passages, with the encoder's own tokenizer.

Documents that an earlier snapshot held with the same content keep the chunks they were given then.
"""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from slipway import layout, tables
from slipway.chunking import Chunker
from slipway.encoders import Model, find_model
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.parts import PartWriter, fetch_parts
from slipway.records import CHUNKS, SNAPSHOT
from slipway.run import Run

VERSION = 3  # raise it when the same snapshot would be cut otherwise
STEP = 512  # documents tokenised at once
ANCESTORS = 16  # snapshots looked back at for chunks to keep, before everything is cut anew


def chunk(run: Run, snapshot: Manifest) -> Manifest:
    """The snapshot's chunks, a part a some hundred thousand; skipped when equal documents were cut the same way before.

    Part: `chunks` (records.CHUNKS). Counts: `documents`, `chunks` (occurrences; equal texts count each time) and
    `tokens`. Facts: `snapshot` (a place), its `content`, and `cut`, the documents that were cut anew.
    """
    model = find_model(run.collection.encoder)
    place = _place(run, model, snapshot)
    if sealed := find(run.store, place):
        return sealed
    earlier = _earlier(run, model, snapshot)
    inputs = {"snapshot": snapshot.digest} | ({"earlier": earlier.digest} if earlier else {})
    draft = Draft(run.store, place, "chunk", place.rpartition("/")[2], inputs)
    cutting = _Cutting(run, model)
    with (
        tables.duck(run.scratch, tables.SMALL_MEMORY) as session,
        PartWriter(draft, "chunks", run.scratch / "chunks") as writer,
    ):
        documents = fetch_parts(run.store, snapshot, "documents", run.scratch)
        old = fetch_parts(run.store, earlier, "chunks", run.scratch) if earlier else []
        tables.view(session, "documents", documents, SNAPSHOT)
        tables.view(session, "earlier", old, CHUNKS)
        for batch in _kept(session):
            writer.write(batch)
        for batch in cutting.cut(session):
            writer.write(batch)
        kept_tokens = tables.number(session, f"SELECT coalesce(sum(tokens), 0) FROM ({_KEPT})")
    counts = {
        "documents": snapshot.counts["documents"],
        "chunks": writer.rows,
        "tokens": kept_tokens + cutting.tokens,
    }
    return draft.seal(
        counts, {"snapshot": snapshot.place, "content": snapshot.facts["content"], "cut": cutting.documents}
    )


def place_of(run: Run, snapshot: Manifest) -> str:
    """Where the chunks of a snapshot lie, or would lie, with the run's settings."""
    return _place(run, find_model(run.collection.encoder), snapshot)


def _place(run: Run, model: Model, snapshot: Manifest) -> str:
    settings = run.collection.chunk.model_dump(mode="json")
    prompt = model.encoder.prompts.document
    content = snapshot.facts["content"]
    return layout.chunks(fingerprint("chunk", VERSION, content, settings, model.tokenizer_fingerprint, prompt))


def _earlier(run: Run, model: Model, snapshot: Manifest) -> Manifest | None:
    """The chunks of the nearest ancestor of the snapshot that was cut the same way, if there are any."""
    for _ in range(ANCESTORS):
        base = snapshot.facts["base"]
        ancestor = find(run.store, base) if base else None
        if ancestor is None:  # there was none, or maintenance removed it, as nothing but this asks for it
            return None
        if found := find(run.store, _place(run, model, ancestor)):
            return found
        snapshot = ancestor
    return None


_KEPT = "SELECT * FROM earlier SEMI JOIN documents USING (document_id, content_hash)"


def _kept(session: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
    columns = ", ".join(f'"{name}"' for name in CHUNKS.names)
    for batch in tables.batches(session, f'SELECT {columns} FROM ({_KEPT}) ORDER BY document_id, "start"'):
        yield batch.cast(CHUNKS)


class _Cutting:
    """Cuts the documents that have no chunks yet; `documents` and `tokens` count what it made."""

    def __init__(self, run: Run, model: Model) -> None:
        settings = run.collection.chunk
        prompt = model.encoder.prompts.document
        self._chunker = Chunker(model.tokenizer(), settings.tokens, settings.overlap, settings.title, prompt)
        self._run = run
        self.documents = self.tokens = 0

    def cut(self, session: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        session.execute(
            "CREATE TABLE wanted AS SELECT document_id FROM documents "
            "ANTI JOIN (SELECT DISTINCT document_id, content_hash FROM earlier) USING (document_id, content_hash)"
        )
        total = tables.number(session, "SELECT count(*) FROM wanted")
        query = (
            "SELECT document_id, title, text, content_hash FROM documents SEMI JOIN wanted USING (document_id) "
            "ORDER BY document_id"
        )
        for batch in tables.batches(session, query):
            for start in range(0, batch.num_rows, STEP):
                step = batch.slice(start, STEP)
                chunks = self._chunks(step)
                self.documents += step.num_rows
                self.tokens += pc.sum(chunks["tokens"]).as_py() or 0
                yield chunks
                self._run.progress("chunk", self.documents, total, "documents")

    def _chunks(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        passages = self._chunker.cut(batch["title"].to_pylist(), batch["text"].to_pylist())
        names = zip(batch["document_id"].to_pylist(), batch["content_hash"].to_pylist(), passages, strict=True)
        rows = [
            (p.chunk_hash, document_id, p.start, p.end, p.tokens, p.text, content_hash)
            for document_id, content_hash, made in names
            for p in made
        ]
        columns = zip(*rows, strict=True) if rows else [[] for _ in CHUNKS]
        return pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(columns, CHUNKS, strict=True)], CHUNKS
        )
