"""The object store port: what every stage and reader may ask of a store, and nothing more.

Keys are relative POSIX paths ("snapshots/ab12/manifest.json"). Objects are immutable once sealed by a
manifest; the only object that ever changes is changed by `put_if`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing shows it: `key` relative to the store, `size_bytes`, `modified_at` in UTC."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Versioned:
    """A small object's `body` and the opaque `version` that `put_if` compares."""

    body: bytes
    version: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """What a write that was killed left behind: it takes space, and no listing shows it.

    `key` says where it lies, or what it was to become; `began_at` (UTC) is when it was last known to grow. `discard`
    removes it; nothing happens when it is gone already.
    """

    key: str
    size_bytes: int
    began_at: datetime
    discard: Callable[[], None]


class ObjectStore(ABC):
    """A root in some object storage.

    All methods raise `StoreUnreachable` when the store does not answer, `StoreDenied` when it refuses the
    credentials or the action, and `DiskFull` when there is no space.
    """

    url: str
    """Where the store is, without secrets: "file:///…" or "s3://bucket/prefix"."""

    @property
    def identity(self) -> str:
        """What no other store has, without secrets: the URL, and the service asked where a URL does not tell that."""
        return self.url

    @abstractmethod
    def read(self, key: str) -> Versioned:
        """The whole of a small object. Raises `ObjectMissing`."""

    def read_if_changed(self, key: str, version: str) -> Versioned | None:
        """The object if it is no longer at `version`, else None. Raises `ObjectMissing`."""
        found = self.read(key)
        return None if found.version == version else found

    @abstractmethod
    def put(self, key: str, body: bytes) -> None:
        """Write a small object, whole or not at all, replacing what is there."""

    @abstractmethod
    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        """Write `body` only if the object is still at version `expected` (None: only if it does not exist).

        Returns the new version. Raises `ConflictError` when somebody else was first and `StateUnknown` when the
        store's answers do not tell. Bodies should be unique (carry a nonce), so that a lost reply can be told
        from a lost race by reading the object again. After a lost reply `ConflictError` may also mean that this write
        landed and somebody else has written over it since: who must know keeps a record, as serving.json's audit does.
        """

    @abstractmethod
    def upload(self, path: Path, key: str) -> None:
        """Copy a local file into the store, whole or not at all."""

    @abstractmethod
    def download(self, key: str, path: Path) -> None:
        """Copy an object to a local file, whole or not at all. Raises `ObjectMissing`."""

    @abstractmethod
    def copy(self, key: str, destination: str) -> None:
        """Copy an object inside the store without moving its bytes through this machine where the store can."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, in key order. Unfinished uploads are never listed."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; no error when it is not there."""

    @abstractmethod
    def abandoned(self, older_than: datetime) -> Iterator[Abandoned]:
        """Writes that began before `older_than` (UTC) and neither ended nor failed. Give those at work time to end."""

    @abstractmethod
    def scoped(self, prefix: str) -> ObjectStore:
        """The same store with every key below `prefix`."""

    def refuses_damage(self, key: str) -> bool | None:
        """Whether the store refuses a write to `key` whose declared checksum is wrong; None where none is declared.

        A store that accepts it keeps a few bytes at `key`.
        """
        return None

    def local_path(self, key: str) -> Path | None:
        """The object's own path where the store is a folder of this machine, else None. Never write to it."""
        return None

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return any(info.key == key for info in self.list(key))
