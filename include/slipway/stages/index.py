"""vectors → candidate: a built index with everything that a reader needs, not yet judged."""

from __future__ import annotations

import json
from pathlib import Path

from slipway import layout
from slipway.encoders import find_model
from slipway.index import artifact, payload
from slipway.index.build import build, write
from slipway.index.spec import Spec, resolve
from slipway.manifest import Draft, Manifest, find, fingerprint, load
from slipway.parts import fetch_parts
from slipway.run import Run

VERSION = 1


def index(run: Run, chunks: Manifest) -> Manifest:
    """Build the candidate for a snapshot's chunks; skipped when it is there already.

    Counts: `vectors`, `documents`, `index_bytes`. Facts: the `spec` with its reason, seed and metric, the `dimension`,
    and the `encoder` (fingerprint). Raises `IndexRefused`.
    """
    collection = run.collection
    encoder = find_model(collection.encoder).fingerprint
    settings = collection.index.model_dump(mode="json", exclude={"search"})
    described = {"fingerprint": encoder, **collection.encoder.model_dump(mode="json")}
    # The snapshot counts too: titles and metadata may change while every chunk stays as it is.
    print_of = fingerprint("index", VERSION, chunks.digest, chunks.inputs["snapshot"], described, settings)
    place = layout.candidate(print_of)
    if sealed := find(run.store, place):
        return sealed
    draft = Draft(run.store, place, "index", print_of, {"chunks": chunks.digest})
    scratch = run.scratch / f"index-{draft.attempt}"
    scratch.mkdir(parents=True)
    documents, rows = _write_payload(run, chunks, scratch)
    vectors = payload.gather(run.store, encoder, scratch / artifact.ROWS, scratch / "vectors.npy", run.scratch)
    spec = resolve(collection.index, len(vectors), vectors.shape[1])
    built = build(
        vectors,
        spec,
        collection.index.train_vectors,
        collection.index.ef_construction,
        lambda added: run.progress("index", added, rows, "vectors"),
    )
    write(built, scratch / artifact.INDEX)
    (scratch / artifact.ENCODER).write_text(json.dumps(described))
    for name in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER):
        draft.add_file(name, scratch / name)
    counts = {"vectors": rows, "documents": documents, "index_bytes": (scratch / artifact.INDEX).stat().st_size}
    facts = {
        "spec": _as_facts(spec),
        "dimension": int(vectors.shape[1]),
        "encoder": encoder,
        "snapshot": chunks.facts["snapshot"],
    }
    return draft.seal(counts, facts)


def _write_payload(run: Run, chunks: Manifest, scratch: Path) -> tuple[int, int]:
    snapshot = load(run.store, chunks.facts["snapshot"])
    snapshot_parts = fetch_parts(run.store, snapshot, "documents", run.scratch)
    chunk_parts = fetch_parts(run.store, chunks, "chunks", run.scratch)
    documents = payload.write_documents(snapshot_parts, scratch / artifact.DOCUMENTS)
    rows = payload.write_rows(chunk_parts, snapshot_parts, scratch / artifact.ROWS, run.scratch)
    return documents, rows


def _as_facts(spec: Spec) -> dict[str, str | int]:
    return {"factory": spec.factory, "metric": spec.metric, "seed": spec.seed, "reason": spec.reason}
