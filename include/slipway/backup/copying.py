"""Sealed outputs copied from one store to another: every object checked by its manifest's sums, the manifest last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway import layout
from slipway.errors import ConflictError, CorruptObject, ObjectMissing, ReleaseRefused
from slipway.manifest import MANIFEST, Manifest, SealedObject, fetch
from slipway.pointer import recorded
from slipway.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Copied:
    """How many objects were written and their bytes, and how many were there already."""

    objects: int = 0
    bytes: int = 0
    present: int = 0

    def __add__(self, other: Copied) -> Copied:
        return Copied(self.objects + other.objects, self.bytes + other.bytes, self.present + other.present)


class Copying:
    """Copies places from `source` to `target`, through files below `scratch` that are removed at once.

    What is in the target with its size counts as there, since objects never change and stores write them whole; with
    `repair` it is read and compared with its checksum, and written anew where it is damaged.
    """

    def __init__(self, source: ObjectStore, target: ObjectStore, scratch: Path, *, repair: bool = False) -> None:
        self.source, self.target, self.repair = source, target, repair
        self._from, self._to = scratch / "from", scratch / "to"

    def place(self, place: str, expected_sha256: str | None = None) -> Copied:
        """Copy one sealed output. A kill leaves objects that no manifest names, and the next call goes on from there.

        `expected_sha256` is what its manifest's sum must be, where that is known. Raises `CorruptObject` and
        `ObjectMissing` when the source's is not whole, and `ReleaseRefused` when the target holds another one there.
        """
        key = f"{place}/{MANIFEST}"
        body = self.source.read(key).body
        _check_sum(self.source, key, body, expected_sha256)
        manifest = Manifest.from_json(body, key)
        there = {info.key: info.size_bytes for info in self.target.list(f"{place}/")}
        done = Copied()
        for sealed in manifest.objects:
            done += self._object(sealed, there)
        done += self._signature(place)
        return done + self._manifest(key, body, is_known=expected_sha256 is not None)

    def _object(self, sealed: SealedObject, there: Mapping[str, int]) -> Copied:
        if there.get(sealed.key) == sealed.size_bytes and (not self.repair or self._is_sound(sealed)):
            return Copied(present=1)
        path = fetch(self.source, sealed, self._from)
        self.target.upload(path, sealed.key)
        _forget(self.source, sealed, path)
        return Copied(1, sealed.size_bytes)

    def _is_sound(self, sealed: SealedObject) -> bool:
        try:
            path = fetch(self.target, sealed, self._to)
        except (CorruptObject, ObjectMissing):
            (self._to / sealed.key).unlink(missing_ok=True)
            return False
        _forget(self.target, sealed, path)
        return True

    def _signature(self, place: str) -> Copied:
        """A release's signature, which no manifest names. One made with another key takes its place."""
        key = f"{place}/{layout.SIGNATURE}"
        body = _read(self.source, key) if key.startswith(layout.RELEASES) else None
        if body is None:
            return Copied()
        if body == _read(self.target, key):
            return Copied(present=1)
        self.target.put(key, body)
        return Copied(1, len(body))

    def _manifest(self, key: str, body: bytes, *, is_known: bool) -> Copied:
        try:
            self.target.put_if(key, body, None)
            return Copied(1, len(body))
        except ConflictError:
            found = self.target.read(key)
        if found.body == body:
            return Copied(present=1)
        if not self.repair or not (is_known or _is_damaged(found.body, key)):
            raise ReleaseRefused(
                f"{key} in {self.target.url} is not the one in {self.source.url}: one of them was altered. Run slipway "
                f"verify on both, delete the one that is wrong, then run again"
            )
        self.target.put_if(key, body, found.version)
        return Copied(1, len(body))

    def loose(self, key: str) -> Copied:
        """Copy a small object that no manifest names, such as a run's result, as it is.

        With `repair` one that the target can read stays: it may be newer.
        """
        if self.repair and _is_readable(self.target, key):
            return Copied(present=1)
        body = self.source.read(key).body
        self.target.put(key, body)
        return Copied(1, len(body))


def copy_audit(source: ObjectStore, target: ObjectStore) -> Copied:
    """Copy the audit records that the target lacks, newest first, so that what a kill leaves is the newest.

    Raises `ReleaseRefused` when the newest record that both have differs: the two stores have different histories.
    """
    if has_other_history(source, target):
        raise ReleaseRefused(
            f"{target.url} has another history than {source.url}: their newest common record of {layout.AUDIT} "
            f"differs, so they are not the same collection. Give one of them another place"
        )
    here, there = (_records(store) for store in (source, target))
    done = Copied(present=len(set(there).intersection(here)))
    for key in here:
        if key not in there:
            body = source.read(key).body
            target.put_if(key, body, None)
            done += Copied(1, len(body))
    return done


def has_other_history(one: ObjectStore, other: ObjectStore) -> bool:
    """Whether the newest audit record that both stores have differs. Stores without a common record may be the same."""
    there = set(_records(other))
    common = next((key for key in _records(one) if key in there), None)
    return common is not None and one.read(common).body != other.read(common).body


def _records(store: ObjectStore) -> list[str]:
    """The keys of the audit trail, newest first."""
    return [layout.audit(generation) for generation in reversed(recorded(store))]


def _check_sum(store: ObjectStore, key: str, body: bytes, expected: str | None) -> None:
    actual = hashlib.sha256(body).hexdigest()
    if expected is not None and actual != expected:
        raise CorruptObject(f"{key} in {store.url} has SHA-256 {actual}, expected was {expected}; it is not copied")


def _forget(store: ObjectStore, sealed: SealedObject, path: Path) -> None:
    if path != store.local_path(sealed.key):
        path.unlink(missing_ok=True)


def _read(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.read(key).body
    except ObjectMissing:
        return None


def _is_readable(store: ObjectStore, key: str) -> bool:
    body = _read(store, key)
    try:
        return body is not None and isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _is_damaged(body: bytes, key: str) -> bool:
    try:
        Manifest.from_json(body, key)
    except CorruptObject:
        return True
    return False
