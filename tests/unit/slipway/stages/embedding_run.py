"""What the tests of chunk, plan and embed share: runs on a small model folder, snapshots and chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from slipway.config import Collection
from slipway.manifest import Draft, Manifest, fingerprint
from slipway.parts import PartWriter, fetch_parts, read_batches
from slipway.records import CHUNKS, SNAPSHOT
from slipway.run import Run
from slipway.storage.base import ObjectStore
from tests.support.encoders import model_folder
from tests.unit.slipway.stages.cleaning_run import no_connection

DIMENSION = 8


def a_run(store: ObjectStore, folder: Path, run_id: str = "run-1", prompts: Any = None, **fields: Any) -> Run:
    """A run whose model is `<folder>/model`, made here unless it is there."""
    model = folder / "model"
    if not model.exists():
        model_folder(model)
    encoder = {"name": "small", "folder": str(model), "dimension": DIMENSION, "max_tokens": 512}
    values: dict[str, Any] = {
        "name": "test",
        "sources": [{"name": "api", "kind": "lake", "path": "/lake", "id": "id", "text": "{body}"}],
        "encoder": encoder | {"prompts": prompts or {}},
        "chunk": {"tokens": 64, "overlap": 8},
    }
    return Run(Collection.model_validate(values | fields), store, run_id, folder / "scratch", no_connection)


def a_snapshot(
    run: Run, documents: Sequence[tuple[str, str]], place: str = "snapshots/s1", base: str | None = None
) -> Manifest:
    """The snapshot of documents given as title and text; the n-th has the id api:000n."""
    draft = Draft(run.store, place, "snapshot", place)
    rows = [
        {
            "document_id": f"api:{number:04d}",
            "source": "api",
            "title": title,
            "text": text,
            "metadata": "{}",
            "content_hash": fingerprint(title, text),
        }
        for number, (title, text) in enumerate(documents)
    ]
    with PartWriter(draft, "documents", run.scratch / "making") as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SNAPSHOT))
    return draft.seal({"documents": len(rows)}, {"content": fingerprint(rows), "base": base})


def chunks_of(run: Run, tokens: dict[str, int], order: Sequence[str] | None = None) -> Manifest:
    """Sealed chunks with these hashes and token counts, in `order`, in which a hash may stand often."""
    draft = Draft(run.store, f"chunks/{run.run_id}", "chunk", run.run_id)
    rows = [
        {
            "chunk_hash": one,
            "document_id": "api:1",
            "start": 0,
            "end": 1,
            "tokens": tokens[one],
            "text": f"text {one}",
            "content_hash": "0",
        }
        for one in order or list(tokens)
    ]
    with PartWriter(draft, "chunks", run.scratch / "making") as writer:
        for start in range(0, len(rows), 7):
            writer.write(pa.RecordBatch.from_pylist(rows[start : start + 7], schema=CHUNKS))
    return draft.seal({"documents": 1, "chunks": len(rows), "tokens": sum(row["tokens"] for row in rows)})


def a_difference(run: Run, **counts: int) -> Manifest:
    """What compare would seal for these counts of documents."""
    place = f"differences/none-{fingerprint(counts)}"
    draft = Draft(run.store, place, "difference", place)
    return draft.seal({"added": 0, "changed": 0, "deleted": 0, "unchanged": 0} | counts)


def read(run: Run, manifest: Manifest, name: str) -> list[dict[str, Any]]:
    paths = fetch_parts(run.store, manifest, name, run.scratch)
    return [row for batch in read_batches(paths) for row in batch.to_pylist()]
