"""What the tests of index and evaluate share: a collection embedded by a fake encoder, ready to index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from slipway.config import Collection
from slipway.encoders import find_model
from slipway.manifest import Draft, Manifest, fingerprint
from slipway.parts import PartWriter
from slipway.records import SNAPSHOT
from slipway.run import Run
from slipway.stages import embed as embed_stage
from slipway.stages import evaluate as evaluate_stage
from slipway.stages.chunk import chunk
from slipway.stages.embed import embed
from slipway.stages.plan import plan
from slipway.storage.base import ObjectStore
from tests.support.encoders import FakeEncoder
from tests.unit.slipway.stages.embedding_run import a_run as an_embedding_run

TEXTS = [f"document number {number} has words of its own" for number in range(60)]


def a_run(store: ObjectStore, folder: Path, run_id: str = "run-1", **fields: Any) -> Run:
    """A run on a small model, whose chunks are embedded without their titles."""
    return an_embedding_run(store, folder, run_id, chunk={"tokens": 64, "overlap": 8, "title": False}, **fields)


def changed(run: Run, **fields: Any) -> Run:
    """The same run with other settings in the collection file."""
    return replace(run, collection=Collection.model_validate(run.collection.model_dump() | fields))


def use_fake_encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    """The encoder that embed and evaluate load, instead of a real one."""
    fake = FakeEncoder(find_model(run.collection.encoder))
    for stage in (embed_stage, evaluate_stage):
        monkeypatch.setattr(stage, "load_encoder", lambda described, device: fake)
    return fake


def embedded(
    run: Run, texts: Sequence[str] = TEXTS, titles: str = "title", metadata: Mapping[str, Any] | None = None
) -> Manifest:
    """The chunks of a snapshot of these texts, document n being "api:0000n", each with its vector in the store."""
    rows = [
        {
            "document_id": f"api:{number:05d}",
            "source": "api",
            "title": f"{titles} {number}",
            "text": text,
            "metadata": json.dumps(metadata or {}),
            "content_hash": "0",
        }
        for number, text in enumerate(texts)
    ]
    name = fingerprint(rows)
    draft = Draft(run.store, f"snapshots/{name}", "snapshot", name)
    with PartWriter(draft, "documents", run.scratch / "making") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SNAPSHOT))
    chunks = chunk(run, draft.seal({"documents": len(rows)}))
    planned = plan(replace(run, run_id=f"{run.run_id}-{name}"), chunks)
    for shard in planned.facts["shards"]:
        embed(run, planned, shard["shard"])
    return chunks
