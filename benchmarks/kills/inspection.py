"""What a collection's store holds, in checksums that do not depend on names, times, order or how it was cut up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.kills.history import QUERIES
from benchmarks.kills.place import Place
from slipway import vectors
from slipway.manifest import MANIFEST, Manifest, fetch, load
from slipway.parts import read_batches
from slipway.pointer import read_serving
from slipway.serving.loading import load_release
from slipway.serving.reader import Reader
from slipway.storage.local import LocalStore

VOLATILE = ("row",)  # where a row stood in a reading: a night that is read in two runs reads it elsewhere
ANSWERS = 10


def inspect(place: Place, scratch: Path, file: Path) -> None:
    """Write the state of a place to a file, see `_State`."""
    file.write_text(json.dumps(_State(LocalStore(place.store), scratch).as_json()))


class _State:
    """One look at a store. Every release that serving.json names is read back, sums and smoke queries included."""

    def __init__(self, store: LocalStore, scratch: Path) -> None:
        self.store, self.scratch = store, scratch
        self.serving = read_serving(store)[0]
        slots = self.serving.slots.values()
        releases = {s.release_id: load_release(store, s.release_id, scratch, s.manifest_sha256) for s in slots}
        live = self.serving.live_release
        self.live = releases[live.release_id] if live else None
        self.snapshot = load(store, self.live.manifest.facts["snapshot"]) if self.live else None
        self.sealed = _vector_sums(store, scratch)

    def as_json(self) -> dict[str, Any]:
        """`sealed`: hashes that have a vector; `generation`; and of the live release, each a checksum or a value:
        its documents, chunks, vectors and answers, and how its index was made. Empty before the first release.
        """
        return {"sealed": sorted(self.sealed), "generation": self.serving.generation, "live": self._live()}

    def _live(self) -> dict[str, Any]:
        if self.live is None or self.snapshot is None:
            return {}
        chunks = [self._table(one, "chunks") for one in self._chunks(self.snapshot)]
        hashes = sorted({row["chunk_hash"] for rows in chunks for row in rows})
        tables = sorted({o.name.rpartition("-")[0] for o in self.snapshot.objects if o.name.endswith(".parquet")})
        return {
            "content": self.snapshot.facts.get("content"),
            **{f"snapshot {name}": _sum_of(self._table(self.snapshot, name)) for name in tables},
            "chunks": sorted({_sum_of(rows) for rows in chunks}),
            "vectors": _sum_of([[name, self.sealed.get(name, "no vector")] for name in hashes]),
            "documents": self.live.searcher.documents,
            "indexed vectors": self.live.manifest.counts["vectors"],
            "answers": self._answers(),
            "index": "{kind}: {reason}".format_map(self.live.manifest.facts["update"]),
        }

    def _chunks(self, snapshot: Manifest) -> list[Manifest]:
        """The chunks of a snapshot, or of one with the same content."""
        suffix = f"/{MANIFEST}"
        keys = [info.key for info in self.store.list("chunks/") if info.key.endswith(suffix)]
        made = [load(self.store, key.removesuffix(suffix)) for key in keys]
        content = snapshot.facts.get("content")
        return [
            one
            for one in made
            if one.facts.get("snapshot") == snapshot.place or (content and one.facts.get("content") == content)
        ]

    def _table(self, manifest: Manifest, name: str) -> list[dict[str, Any]]:
        paths = [fetch(self.store, part, self.scratch) for part in manifest.named(f"{name}-")]
        rows = (row for batch in read_batches(paths) for row in batch.to_pylist())
        return [{column: value for column, value in row.items() if column not in VOLATILE} for row in rows]

    def _answers(self) -> list[list[str]]:
        """The documents found for each query, as sets: equally near ones may change places."""
        with Reader(self.store, self.scratch) as reader:
            found = reader.search_batch(list(QUERIES), ANSWERS)
        return [sorted(hit.document_id for hit in hits) for hits in found]


def _vector_sums(store: LocalStore, scratch: Path) -> Mapping[str, str]:
    """Checksums of the vectors by chunk hash. Two different vectors of one chunk give a sum that nothing equals."""
    suffix, sums = f"/{MANIFEST}", dict[str, set[str]]()
    for key in [info.key for info in store.list("vectors/") if info.key.endswith(suffix)]:
        part = load(store, key.removesuffix(suffix))
        hashes = [
            row["chunk_hash"]
            for b in read_batches([vectors.fetch_hashes(store, part, scratch)])
            for row in b.to_pylist()
        ]
        rows = vectors.open_vectors(store, part, scratch)
        for name, vector in zip(hashes, rows, strict=True):
            sums.setdefault(name, set()).add(hashlib.sha256(vector.tobytes()).hexdigest())
    return {name: " and ".join(sorted(found)) for name, found in sums.items()}


def _sum_of(rows: Iterable[Any]) -> str:
    """A checksum of rows in any order."""
    lines = sorted(json.dumps(row, sort_keys=True, default=bytes.hex) for row in rows)
    return f"{len(lines)} rows, {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:16]}"
