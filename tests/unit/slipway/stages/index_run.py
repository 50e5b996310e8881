"""What the tests of index, reconcile and evaluate share: a collection embedded by a fake encoder, ready to index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slipway import layout
from slipway import vectors as vector_store
from slipway.chunking import chunk_hash
from slipway.config import Collection
from slipway.encoders import find_model
from slipway.index import artifact
from slipway.manifest import Draft, Manifest, fetch, fingerprint
from slipway.parts import PartWriter
from slipway.pointer import Change, swap_serving
from slipway.records import CHUNKS, DOCUMENTS
from slipway.run import Run
from slipway.serving.loading import manifest_sum
from slipway.serving.searcher import Searcher
from slipway.stages import evaluate as evaluate_stage
from slipway.stages.release import name_release, seal_release
from slipway.storage.base import ObjectStore
from tests.support.encoders import FakeEncoder, model_folder
from tests.support.releases import PASSED, Vectors, an_evaluation, unit_vectors
from tests.unit.slipway.stages.cleaning_run import no_connection

DIMENSION = 8
TEXTS = [f"document number {number} has words of its own" for number in range(60)]


def a_run(store: ObjectStore, folder: Path, run_id: str = "run-1", dimension: int = DIMENSION, **fields: Any) -> Run:
    """A run whose model is `<folder>/model`, made here unless it is there."""
    model = folder / "model"
    if not model.exists():
        model_folder(model)
    values: dict[str, Any] = {
        "name": "test",
        "sources": [{"name": "api", "kind": "lake", "path": "/lake", "id": "id", "text": "{body}"}],
        "encoder": {"name": "small", "folder": str(model), "dimension": dimension, "max_tokens": 512},
    }
    return Run(Collection.model_validate(values | fields), store, run_id, folder / "scratch", no_connection)


def changed(run: Run, **fields: Any) -> Run:
    """The same run with other settings in the collection file."""
    return replace(run, collection=Collection.model_validate(run.collection.model_dump() | fields))


def use_fake_encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    """The encoder that evaluate loads, instead of a real one."""
    fake = FakeEncoder(find_model(run.collection.encoder))
    monkeypatch.setattr(evaluate_stage, "load_encoder", lambda *_, **__: fake)
    return fake


def hash_of(text: str) -> str:
    return chunk_hash(text)


def a_snapshot(
    run: Run, texts: Mapping[str, str], titles: str = "title", metadata: Mapping[str, Any] | None = None
) -> Manifest:
    """The sealed snapshot of documents given as id and text."""
    rows = [
        {
            "document_id": name,
            "source": "api",
            "title": f"{titles} {number}",
            "text": text,
            "metadata": json.dumps(metadata or {}),
            "content_hash": fingerprint(titles, text, metadata),
            "text_hash": hash_of(text),
            "bands": [],
            "row_hash": bytes(16),
            "copy": 0,
        }
        for number, (name, text) in enumerate(sorted(texts.items()))
    ]
    content = fingerprint([[row["document_id"], row["content_hash"]] for row in rows])
    draft = Draft(run.store, layout.snapshot(content), "snapshot", content)
    with PartWriter(draft, "documents", run.scratch / "making") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS))
    counts = {"documents": len(rows), "documents_in": len(rows), "rejected": 0}
    return draft.seal(counts, {"content": content, "rejected_by_reason": {}})


def chunks_of(run: Run, snapshot: Manifest, texts: Mapping[str, str]) -> Manifest:
    """The sealed chunks of a snapshot: a document is one chunk, an empty one none."""
    rows = [
        {
            "chunk_hash": hash_of(text),
            "document_id": name,
            "start": 0,
            "end": len(text),
            "tokens": 1,
            "text": text,
            "content_hash": "0",
        }
        for name, text in sorted(texts.items())
        if text
    ]
    print_of = fingerprint("chunks", snapshot.facts["content"])
    draft = Draft(run.store, layout.chunks(print_of), "chunk", print_of, {"snapshot": snapshot.digest})
    with PartWriter(draft, "chunks", run.scratch / "making") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=CHUNKS))
    counts = {"documents": len(texts), "chunks": len(rows), "tokens": len(rows)}
    return draft.seal(counts, {"snapshot": snapshot.place})


def store_vectors(run: Run, vectors: Mapping[str, Vectors]) -> None:
    """Put the vectors of these texts into the vector store."""
    hashes = {hash_of(text): vector for text, vector in vectors.items()}
    encoder = find_model(run.collection.encoder).fingerprint
    if hashes:
        matrix = np.stack(list(hashes.values()))
        vector_store.write_part(run.store, encoder, list(hashes), matrix, run.scratch / "making")


def embedded(
    run: Run, texts: Sequence[str] = TEXTS, titles: str = "title", metadata: Mapping[str, Any] | None = None
) -> Manifest:
    """The chunks of a snapshot of these texts, document n being "api:0000n", each with its vector in the store."""
    named = {f"api:{number:05d}": text for number, text in enumerate(texts)}
    fake = FakeEncoder(find_model(run.collection.encoder))
    distinct = list(dict.fromkeys(text for text in texts if text))
    if distinct:
        store_vectors(run, dict(zip(distinct, fake.encode_queries(distinct), strict=True)))
    return chunks_of(run, a_snapshot(run, named, titles, metadata), named)


def files_of(run: Run, candidate: Manifest) -> dict[str, Path]:
    """A candidate's objects, fetched."""
    return {one.name: fetch(run.store, one, run.scratch / "check") for one in candidate.objects}


def rows_of(run: Run, candidate: Manifest) -> list[dict[str, Any]]:
    """rows.arrow of a candidate."""
    return artifact.open_arrow(files_of(run, candidate)[artifact.ROWS], artifact.ROWS_SCHEMA).to_pylist()


def searcher_of(run: Run, candidate: Manifest, parameters: Mapping[str, int] | None = None) -> Searcher:
    return Searcher(files_of(run, candidate), parameters or {})


def go_live(run: Run, candidate: Manifest) -> str:
    """Release a candidate, whatever it is worth. Returns the release's id."""
    queries = unit_vectors(2, run.collection.encoder.dimension, seed=7)
    evaluation = an_evaluation(run, candidate, queries)
    release_id = name_release(candidate, evaluation)
    seal_release(run, release_id, candidate, evaluation, PASSED)
    told = manifest_sum(run.store, release_id)
    swap_serving(run.store, Change("release", "tester", "because"), lambda now: now.promoted(release_id, told))
    return release_id
