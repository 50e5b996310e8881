"""What the making of one candidate shares, and the files that travel beside its index."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.building.origin import Origin
from slipway.index import artifact, payload
from slipway.manifest import Draft, Manifest, load
from slipway.parts import fetch_parts
from slipway.run import Run


@dataclass(frozen=True, slots=True)
class Work:
    """The making of one candidate: its run, its draft, a scratch folder of its own, and what it is made of."""

    run: Run
    draft: Draft
    folder: Path
    origin: Origin

    def told(self, total: int) -> Callable[[int], None]:
        """Called with how many vectors were added."""
        return lambda added: self.run.progress("index", added, total, "vectors")

    def add_objects(self) -> None:
        """Add the files beside the index to the draft."""
        (self.folder / artifact.ENCODER).write_text(json.dumps(self.origin.described))
        for name in (artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER):
            self.draft.add_file(name, self.folder / name)


@dataclass(slots=True)
class Made:
    """What is sealed beside the objects."""

    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def write_documents(run: Run, chunks: Manifest, path: Path) -> int:
    """Write documents.arrow. Returns how many there are."""
    return payload.write_documents(_snapshot_parts(run, chunks), path)


def write_rows(run: Run, chunks: Manifest, path: Path) -> int:
    """Write rows.arrow as a new index has it, in chunk hash order. Returns how many rows there are."""
    chunk_parts = fetch_parts(run.store, chunks, "chunks", run.scratch)
    return payload.write_rows(chunk_parts, _snapshot_parts(run, chunks), path, run.scratch)


def _snapshot_parts(run: Run, chunks: Manifest) -> list[Path]:
    snapshot = load(run.store, chunks.facts["snapshot"])
    return fetch_parts(run.store, snapshot, "documents", run.scratch)
