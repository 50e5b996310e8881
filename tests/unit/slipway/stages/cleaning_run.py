"""What the tests of clean, snapshot and difference share: runs, raw rows and reading back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from slipway import layout
from slipway.config import Collection
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter, fetch_parts, read_batches
from slipway.records import DELETED
from slipway.run import Connection, Run
from slipway.storage.base import ObjectStore


def a_run(store: ObjectStore, scratch: Path, *, sources: Sequence[str] = ("api",), **fields: Any) -> Run:
    values: dict[str, Any] = {
        "name": "test",
        "sources": [{"name": name, "kind": "lake", "path": "/lake", "id": "id"} for name in sources],
        "title": "{name}",
        "text": "{body}",
        "metadata": ("kind",),
        "encoder": {"name": "none", "folder": "/model", "dimension": 4, "max_tokens": 256},
    }
    return Run(Collection.model_validate(values | fields), store, "run-1", scratch, no_connection)


def no_connection(name: str) -> Connection:
    raise LookupError(name)


def raw_of(
    run: Run,
    batches: Iterable[pa.RecordBatch | pa.Table],
    source: str = "api",
    rows: int | None = None,
    base: Manifest | None = None,
    mode: str = "full",
    deleted: Sequence[str] = (),
) -> Manifest:
    """The manifest that extract would seal for these batches, each call at a place of its own."""
    seen = sum(1 for _ in run.store.list("runs/"))
    draft = Draft(run.store, layout.raw(f"{run.run_id}-{seen}", source), "extract", "raw")
    with PartWriter(draft, "raw", run.scratch / "raw") as parts:
        for batch in batches:
            parts.write(batch)
    with PartWriter(draft, "deleted", run.scratch / "raw") as gone:
        gone.write(pa.record_batch([pa.array(list(deleted), pa.string())], DELETED))
    counts = {"rows": parts.rows if rows is None else rows, "deleted": gone.rows}
    return draft.seal(counts, {"source": source, "mode": mode, "base": base.place if base else None})


def table(*rows: tuple[Any, Any], **columns: Any) -> pa.Table:
    """Raw rows of an id and a body each; the name is the id's, the kind is null."""
    ids, bodies = [row[0] for row in rows], [row[1] for row in rows]
    return pa.table(
        {"id": ids, "name": [f"name {i}" for i in ids], "body": bodies, "kind": [None] * len(ids)} | columns
    )


def read(run: Run, manifest: Manifest, name: str) -> list[dict[str, Any]]:
    paths = fetch_parts(run.store, manifest, name, run.scratch)
    return [row for batch in read_batches(paths) for row in batch.to_pylist()]
