"""The restore drill: a backup is worth what a restore from it is worth, so one is made, into an empty store beside."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway import backup
from slipway.errors import CorruptObject, ReleaseRefused
from slipway.index import artifact
from slipway.manifest import Manifest
from slipway.pointer import Serving
from slipway.recover import last_record, sound_or_lost
from slipway.serving.loading import LoadedRelease, read_release_manifest
from slipway.serving.reader import Reader
from slipway.serving.smoke import read_smoke_queries, run_smoke_queries
from slipway.signing import Trusted
from slipway.storage import LocalStore
from slipway.storage.base import ObjectStore

_NAME = "drill"  # of the collection that the release is restored as


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill that went well: which release, from where, how much of it, and how long its steps took (seconds).

    `live` is what serves in the store now, None where nothing does or it cannot be read; `is_live` whether it is the
    release that a restore gives. `backed_up_at` (UTC) is None where the drill used the store itself, for want of a
    backup. `smoke_queries` were answered as when the release was judged.
    """

    release_id: str
    source: str
    backed_up_at: str | None
    live: str | None
    is_live: bool
    documents: int
    vectors: int
    bytes: int
    smoke_queries: int
    restore_seconds: float
    open_seconds: float

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return asdict(self)


def drill(
    store: ObjectStore,
    backup_store: ObjectStore | None,
    scratch: Path,
    trusted: Trusted | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Drilled:
    """Restore the newest backup (without a backup store: the live release) into an empty local store and serve from it.

    The release is opened by the reader, its smoke queries are run and its counts compared with the manifest. Nothing is
    written to either store, and what was made here is removed. Raises what a restore raises, `ReleaseRefused` where
    there is nothing to restore, and `CorruptObject` where the counts differ.
    """
    live = _live(store)
    made = backup.newest(backup_store, last_record(store, backup_store).withdrawn) if backup_store else None
    release_id = made.release_id if made else live
    if release_id is None:
        raise ReleaseRefused(f"nothing is live at {store.url}, and no backup is configured: nothing can be restored")
    source = backup_store or store
    manifest = read_release_manifest(source, release_id, made.manifest_sha256 if made else None, trusted)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drill-", dir=scratch) as folder:
        began = clock()
        target = LocalStore(Path(folder) / "store" / _NAME)
        backup.Restoring(source, target, Path(folder), "slipway", "a restore drill", trusted=trusted).release(
            release_id
        )
        restored = clock()
        with Reader(target, Path(folder) / "cache", acknowledge=False, trusted=trusted) as reader:
            queries = _proved(reader.release, target, manifest)
            counts = (reader.release.searcher.documents, reader.release.searcher.vectors)
        opened = clock()
    return Drilled(
        release_id=release_id,
        source=source.url,
        backed_up_at=made.at if made else None,
        live=live,
        is_live=live == release_id,
        documents=counts[0],
        vectors=counts[1],
        bytes=manifest.size_bytes,
        smoke_queries=queries,
        restore_seconds=round(restored - began, 3),
        open_seconds=round(opened - restored, 3),
    )


def _live(store: ObjectStore) -> str | None:
    now = sound_or_lost(store)
    return now.live_release.release_id if isinstance(now, Serving) and now.live_release else None


def _proved(loaded: LoadedRelease, target: ObjectStore, manifest: Manifest) -> int:
    """How many smoke queries what is served answers; raises where it is not what the source's manifest describes."""
    searcher = loaded.searcher
    found, said = (
        (loaded.release_id, searcher.documents, searcher.vectors),
        (manifest.fingerprint, manifest.counts["documents"], manifest.counts["vectors"]),
    )
    if found != said:
        raise CorruptObject(
            f"release {found[0]} came back with {found[1]} documents and {found[2]} vectors; its manifest says "
            f"{said[1]} and {said[2]}, of release {said[0]}"
        )
    body = target.read(manifest.one(artifact.SMOKE).key).body
    return run_smoke_queries(searcher, read_smoke_queries(body, searcher.dimension))
