"""The index of a backup store: for each release that was copied there, and for the whole collection, one small object.

It is written when the copy is whole, so what it names can be restored. A backup has no serving.json of its own: the
state that belongs to a backup of everything travels in its entry, so nobody takes a backup for what serves.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from slipway import layout
from slipway.errors import CorruptObject, InputError, ObjectMissing, ReleaseRefused
from slipway.pointer import Serving
from slipway.storage.base import ObjectStore

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup: `name` is a release's id or `layout.BACKED_UP_COLLECTION`, `source` the URL it came from, `at` UTC.

    `release_id` with `manifest_sha256` is the release copied; of a collection, the one that was live. `generation` is
    that of serving.json then, and `was_live` whether it named this release live. `serving` is a collection's state.
    """

    name: str
    release_id: str
    manifest_sha256: str
    generation: int
    was_live: bool
    source: str
    at: str
    serving: dict[str, Any] | None = None
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """The entry as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, body: bytes, key: str) -> Backup:
        """Parse what is stored at `key`. Raises `CorruptObject`."""
        try:
            made = cls(**json.loads(body))
            if made.schema != SCHEMA or type(made.generation) is not int:
                raise ValueError(f"it has schema {made.schema!r}, generation {made.generation!r}")
        except (ValueError, TypeError, RecursionError) as error:
            raise CorruptObject(
                f"{key} is no entry of a backup that this version can read ({error}); delete it, then back "
                f"up again, or name the release to restore with --release"
            ) from error
        return made

    @property
    def state(self) -> Serving:
        """The state of a collection's backup. Raises `CorruptObject`."""
        return Serving.from_json(json.dumps(self.serving).encode())


def entry(
    name: str, serving: Serving, release_id: str, manifest_sha256: str, source: ObjectStore, *, whole: bool = False
) -> Backup:
    """The entry of a backup that is made now, of the whole collection or of one release."""
    live = serving.live_release
    return Backup(
        name=name,
        release_id=release_id,
        manifest_sha256=manifest_sha256,
        generation=serving.generation,
        was_live=live is not None and live.release_id == release_id,
        source=source.url,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        serving=json.loads(serving.to_json()) if whole else None,
    )


def write(store: ObjectStore, made: Backup) -> None:
    """Keep an entry, over an older one of the same name."""
    store.put(layout.backup(made.name), made.to_json())


def backups(store: ObjectStore) -> list[Backup]:
    """All backups in a store, newest first. Raises `CorruptObject` where an entry cannot be read."""
    found = [Backup.from_json(store.read(info.key).body, info.key) for info in store.list(layout.BACKUPS)]
    return sorted(found, key=lambda one: (one.generation, one.at), reverse=True)


def find(store: ObjectStore, name: str) -> Backup | None:
    """The backup of that name, if there is one. Raises `CorruptObject`."""
    key = layout.backup(name)
    try:
        return Backup.from_json(store.read(key).body, key)
    except ObjectMissing:
        return None


def newest(store: ObjectStore, withdrawn: Collection[str] = ()) -> Backup:
    """The newest backup of a release that was live then and is not among those `withdrawn` since.

    Raises `InputError` when there is no backup of a live release, and `ReleaseRefused` when all were withdrawn.
    """
    live = [one for one in backups(store) if one.was_live]
    if not live:
        raise InputError(f"{store.url} holds no backup of a live release; check the URL, or name one with --release")
    for one in live:
        if one.release_id not in withdrawn:
            return one
    names = ", ".join(sorted({one.release_id for one in live}))
    raise ReleaseRefused(
        f"{store.url} holds backups only of releases that were withdrawn since ({names}; slipway audit says why). Name "
        f"the one that is to be restored all the same: --release"
    )


def of_collection(store: ObjectStore) -> Backup:
    """The backup of the whole collection. Raises `InputError` when there is none."""
    if found := find(store, layout.BACKED_UP_COLLECTION):
        return found
    raise InputError(
        f"{store.url} holds no finished backup of a whole collection; make one with slipway backup --all, or restore "
        f"one release without --all"
    )
