"""Sealing: how a stage's output becomes whole, immutable and bound to its inputs.

A stage writes its objects under `<place>/<attempt>/…` and then, last, creates `<place>/manifest.json`, which names
each object with its SHA-256 and size. Nothing without a manifest exists for a reader. The place is named by the
fingerprint of everything that the output depends on, so "is it done already?" is "is there a manifest?". Of two
runs that make the same thing at once, the first to create the manifest wins and the other adopts its work.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway import __version__
from slipway.errors import ConflictError, CorruptObject, ObjectMissing
from slipway.storage.base import ObjectStore

SCHEMA = 1
MANIFEST = "manifest.json"


def canonical_json(value: Any) -> bytes:
    """One byte string for equal values: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(*parts: Any) -> str:
    """16 hex digits that name everything in `parts` (JSON values)."""
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex digits; reads it in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class SealedObject:
    """One object of a sealed output: its `name` within the output, its `key` in the store, checksum and size."""

    name: str
    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a stage made, from what, and how it can be recognised.

    `counts` are numbers that later stages and people add up; `facts` is everything else worth keeping (JSON).
    `inputs` maps a role ("snapshot") to the digest of the manifest it came from.
    """

    place: str
    stage: str
    fingerprint: str
    inputs: Mapping[str, str]
    counts: Mapping[str, int]
    facts: Mapping[str, Any]
    objects: tuple[SealedObject, ...]
    created_at: str
    seconds: float = 0.0
    slipway_version: str = __version__
    schema: int = SCHEMA

    @property
    def digest(self) -> str:
        """32 hex digits that name the content: equal objects and counts give equal digests, whenever made."""
        content = [[o.name, o.sha256, o.size_bytes] for o in self.objects]
        return hashlib.sha256(canonical_json([self.stage, content, dict(self.counts)])).hexdigest()[:32]

    @property
    def size_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(o.size_bytes for o in self.objects)

    def named(self, prefix: str) -> list[SealedObject]:
        """The objects whose name starts with `prefix`, in name order."""
        return sorted((o for o in self.objects if o.name.startswith(prefix)), key=lambda o: o.name)

    def one(self, name: str) -> SealedObject:
        """The object of that name. Raises `ObjectMissing`."""
        for sealed in self.objects:
            if sealed.name == name:
                return sealed
        raise ObjectMissing(f"the manifest of {self.place} names no object {name!r}; it was made by another version")

    def to_json(self) -> bytes:
        """The manifest as it is stored."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        body["objects"] = [{n: getattr(o, n) for n in o.__dataclass_fields__} for o in self.objects]
        return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, default=dict).encode()

    @classmethod
    def from_json(cls, body: bytes, key: str) -> Manifest:
        """Parse the manifest stored at `key`. Raises `CorruptObject` when it is not one, or is one of another place."""
        try:
            raw = json.loads(body)
            if raw["schema"] != SCHEMA:
                raise CorruptObject(f"{key} has manifest schema {raw['schema']}; this version reads schema {SCHEMA}")
            raw["objects"] = tuple(SealedObject(**o) for o in raw["objects"])
            manifest = cls(**raw)
            manifest._check(key)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CorruptObject(f"{key} is not a manifest that this version can read: {error!r}") from error
        return manifest

    def _check(self, key: str) -> None:
        """Raise ValueError or TypeError for values that would do harm where they are used: it may be a forgery."""
        if f"{self.place}/{MANIFEST}" != key:
            raise ValueError(f"it is the manifest of {self.place}")
        for values in (self.inputs, self.counts, self.facts):
            if not isinstance(values, dict):
                raise TypeError(f"expected names with values, got {values!r}")
        if not all(isinstance(count, int) for count in self.counts.values()):
            raise TypeError("a count is not a whole number")
        for sealed in self.objects:
            if not (
                isinstance(sealed.key, str) and isinstance(sealed.name, str) and isinstance(sealed.size_bytes, int)
            ):
                raise TypeError(f"{sealed} has a value of the wrong type")
            if not sealed.key.startswith(f"{self.place}/") or ".." in sealed.key.split("/"):
                raise ValueError(f"object {sealed.key!r} lies outside {self.place}")


def load(store: ObjectStore, place: str) -> Manifest:
    """The manifest sealed at `place`. Raises `ObjectMissing`, `CorruptObject`."""
    key = f"{place}/{MANIFEST}"
    return Manifest.from_json(store.read(key).body, key)


def find(store: ObjectStore, place: str) -> Manifest | None:
    """The manifest sealed at `place`, or None when nothing has been sealed there."""
    try:
        return load(store, place)
    except ObjectMissing:
        return None


def fetch(store: ObjectStore, sealed: SealedObject, scratch: Path) -> Path:
    """A local, read-only file with the object's bytes, size and SHA-256 checked.

    The object's own path where the store is a local folder, else a download below `scratch`.
    Raises `ObjectMissing`, `CorruptObject`.
    """
    path = store.local_path(sealed.key)
    if path is None:
        path = scratch / sealed.key
        if _is_sound(path, sealed):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(sealed.key, path)
    verify(path, sealed)
    return path


def _is_sound(path: Path, sealed: SealedObject) -> bool:
    """Whether a copy fetched before is whole; one that was damaged on this machine is fetched again."""
    try:
        verify(path, sealed)
    except (ObjectMissing, CorruptObject):
        return False
    return True


def verify(path: Path, sealed: SealedObject) -> None:
    """Raise `CorruptObject` or `ObjectMissing` unless the file has the sealed object's size and checksum."""
    if not path.exists():
        raise ObjectMissing(f"{sealed.key} is named by a manifest but is not in the store")
    size = path.stat().st_size
    if size != sealed.size_bytes:
        raise CorruptObject(f"{sealed.key} has {size} bytes, its manifest says {sealed.size_bytes}; restore it")
    actual = sha256_of(path)
    if actual != sealed.sha256:
        raise CorruptObject(f"{sealed.key} has SHA-256 {actual}, its manifest says {sealed.sha256}; restore it")


@dataclass(slots=True)
class Draft:
    """An output being made: add objects, then seal. Without `seal` it never existed."""

    store: ObjectStore
    place: str
    stage: str
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    attempt: str = field(default_factory=lambda: secrets.token_hex(4))
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    objects: list[SealedObject] = field(default_factory=list)

    def add_file(self, name: str, path: Path) -> SealedObject:
        """Upload a local file as the object `name`."""
        sealed = SealedObject(name, f"{self.place}/{self.attempt}/{name}", sha256_of(path), path.stat().st_size)
        self.store.upload(path, sealed.key)
        self.objects.append(sealed)
        return sealed

    def add_copy(self, source: SealedObject) -> SealedObject:
        """Copy an object of another sealed output, under the same name, inside the store."""
        sealed = SealedObject(
            source.name, f"{self.place}/{self.attempt}/{source.name}", source.sha256, source.size_bytes
        )
        self.store.copy(source.key, sealed.key)
        self.objects.append(sealed)
        return sealed

    def add_json(self, name: str, value: Any) -> SealedObject:
        """Write a JSON value as the object `name`."""
        body = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).encode()
        sealed = SealedObject(name, f"{self.place}/{self.attempt}/{name}", hashlib.sha256(body).hexdigest(), len(body))
        self.store.put(sealed.key, body)
        self.objects.append(sealed)
        return sealed

    def seal(self, counts: Mapping[str, int], facts: Mapping[str, Any] | None = None) -> Manifest:
        """Create the manifest; if another run sealed the same place first, return that run's manifest."""
        now = datetime.now(UTC)
        manifest = Manifest(
            place=self.place,
            stage=self.stage,
            fingerprint=self.fingerprint,
            inputs=dict(self.inputs),
            counts=dict(counts),
            facts=dict(facts or {}),
            objects=tuple(sorted(self.objects, key=lambda o: o.name)),
            created_at=now.isoformat(timespec="seconds"),
            seconds=round((now - self.started_at).total_seconds(), 3),
        )
        try:
            self.store.put_if(f"{self.place}/{MANIFEST}", manifest.to_json(), expected=None)
        except ConflictError:
            return load(self.store, self.place)
        return manifest
