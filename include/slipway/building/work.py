"""What the making of one candidate shares, and the files that travel beside its index."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway.building.origin import Origin
from slipway.index import artifact, payload
from slipway.index.build import write
from slipway.index.drift import Built
from slipway.index.update import Attempt
from slipway.manifest import Draft, Manifest, SealedObject, load
from slipway.parts import fetch_parts
from slipway.run import Run

FRESH = "fresh.arrow"  # rows.arrow as a new index has it: in chunk hash order


@dataclass(frozen=True, slots=True)
class Work:
    """The making of one candidate: its run, its draft, a scratch folder of its own, and what it is made of."""

    run: Run
    draft: Draft
    folder: Path
    origin: Origin

    def vectors(self) -> npt.NDArray[np.float32]:
        """All vectors in the order of a new index, (n, dimension) float32, mapped. Raises `IndexRefused`."""
        path = self.folder / "vectors.npy"
        if path.exists():
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        return payload.gather(self.run.store, self.origin.encoder, self.folder / FRESH, path, self.run.scratch)

    @property
    def rows(self) -> Path:
        """Where the candidate's rows.arrow is written."""
        return self.folder / artifact.ROWS

    def index_file(self) -> Path:
        """Where the candidate's index is to be written. A file that was written there before is removed, and not
        written over: it may still be mapped by whoever searches it.
        """
        path = self.folder / artifact.INDEX
        path.unlink(missing_ok=True)
        return path

    def written(self, index: Any) -> dict[str, Path | SealedObject]:
        """A FAISS index written to its file, in place of one that was written before. Raises `DiskFull`."""
        path = self.index_file()
        write(index, path)
        return {artifact.INDEX: path}

    def told(self, total: int) -> Callable[[int], None]:
        """Called with how many vectors were added."""
        return lambda added: self.run.progress("index", added, total, "vectors")

    def add_objects(self) -> None:
        """Add the files beside the index to the draft."""
        (self.folder / artifact.ENCODER).write_text(json.dumps(self.origin.described))
        for name in (artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER):
            self.draft.add_file(name, self.folder / name)


@dataclass(frozen=True, slots=True)
class Indexed:
    """An index of all vectors, for searching, and what it is kept in, by name: files, or objects in the store to copy.

    `index` is a FAISS index or `slipway.index.sharded.Shards`; `total` counts the rows of `rows` (a rows.arrow),
    tombstones included; `built` is what was measured when it was built, `attempt` how an update went.
    """

    index: Any
    rows: Path
    total: int
    built: Built
    attempt: Attempt
    objects: Mapping[str, Path | SealedObject]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Of its files, or of those of its shards."""
        sizes = {name: _size(one) for name, one in self.objects.items()}
        return sum(size for name, size in sizes.items() if artifact.is_index(name))

    @property
    def build_seconds(self) -> float:
        """Wall time of training and adding, when it was built anew; of shards the sum."""
        return self.built.seconds

    def add_to(self, draft: Draft) -> None:
        """Add the objects to a draft."""
        for name, one in self.objects.items():
            if isinstance(one, Path):
                draft.add_file(name, one)
            else:
                draft.add_copy(replace(one, name=name))


def _size(kept: Path | SealedObject) -> int:
    return kept.stat().st_size if isinstance(kept, Path) else kept.size_bytes


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
