"""Pins: releases that somebody wants kept, whatever retention makes of their age."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from slipway import layout
from slipway.errors import CorruptObject, InputError, ObjectMissing, ReleaseRefused
from slipway.pointer import read_serving
from slipway.serving.loading import check_whole
from slipway.storage.base import ObjectStore

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Pin:
    """A release that is kept: who said so, why, and when (UTC, ISO 8601)."""

    release_id: str
    who: str
    why: str
    at: str
    schema: int = SCHEMA

    def to_json(self) -> bytes:
        """The pin as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, body: bytes, key: str) -> Pin:
        """Parse what is stored at `key`. Raises `CorruptObject`."""
        try:
            raw = json.loads(body)
            if raw["schema"] != SCHEMA:
                raise CorruptObject(f"{key} has schema {raw['schema']}; this version reads schema {SCHEMA}")
            return cls(**raw)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptObject(f"{key} is not a pin that this version can read: {error!r}") from error


def pin(store: ObjectStore, release_id: str, who: str, why: str) -> Pin:
    """Keep a release until it is unpinned; a pin that it had is replaced.

    Raises `InputError` without a reason, and `ReleaseRefused` when there is no such whole release, or retention has
    begun to remove it.
    """
    if not why.strip():
        raise InputError("a pin needs a reason, for those who wonder later whether it can go")
    check_whole(store, release_id)
    made = Pin(release_id, who, why, datetime.now(UTC).isoformat(timespec="seconds"))
    # Written first, and looked at again after: retention marks what it removes before it looks for pins, so that
    # either it sees this one, or its mark is seen here.
    store.put(layout.pin(release_id), made.to_json())
    try:
        _check_stays(store, release_id)
    except ReleaseRefused:
        store.delete(layout.pin(release_id))
        raise
    return made


def _check_stays(store: ObjectStore, release_id: str) -> None:
    retired = read_serving(store)[0].retired
    if release_id in retired:
        raise ReleaseRefused(
            f"release {release_id} is being removed by retention since {retired[release_id]}, so it cannot be pinned"
        )
    check_whole(store, release_id)


def unpin(store: ObjectStore, release_id: str) -> None:
    """Leave a release to retention again. Raises `InputError` when it is not pinned."""
    key = layout.pin(release_id)
    if not store.exists(key):
        raise InputError(f"release {release_id} is not pinned; see slipway releases")
    store.delete(key)


def list_pins(store: ObjectStore) -> dict[str, Pin]:
    """All pins by release. One that cannot be read pins as well: what it says besides is unknown then."""
    found = {}
    for info in store.list(layout.PINS):
        if not info.key.endswith(".json"):
            continue
        release_id = info.key.removeprefix(layout.PINS).removesuffix(".json")
        try:
            found[release_id] = Pin.from_json(store.read(info.key).body, info.key)
        except ObjectMissing:
            continue  # unpinned meanwhile
        except CorruptObject as error:
            found[release_id] = Pin(release_id, "unknown", str(error), "unknown")
    return found
