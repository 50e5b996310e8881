"""A store whose process dies in the middle: at any change, before it or after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.memory_store import MemoryStore


class Killed(BaseException):
    """What `kill -9` looks like from inside: no handler of errors may catch it."""


class CrashingStore(MemoryStore):
    """Dies at the change numbered `die_at` (0: the next one), or never; `landed` says whether that change is done."""

    def __init__(self) -> None:
        super().__init__()
        self.die_at: int | None = None
        self.landed = False
        self._only: Callable[[str], bool] | None = None

    def die_at_write_of(self, key: str, number: int, landed: bool) -> None:
        """Die at the write of `key` that has this number, from 0."""
        self._only, self.die_at, self.landed = key.__eq__, number, landed

    def die_at_write_below(self, prefix: str, number: int, landed: bool) -> None:
        """Die at the write of a key with this prefix that has this number, from 0."""
        self._only, self.die_at, self.landed = lambda key: key.startswith(prefix), number, landed

    def clone(self) -> CrashingStore:
        """A store of the same objects, at their times, that dies by its own number."""
        other = CrashingStore()
        other._shared.bodies.update(self._shared.bodies)
        other._shared.modified_at.update(self._shared.modified_at)
        return other

    def put(self, key: str, body: bytes) -> None:
        self._write(key, lambda: super(CrashingStore, self).put(key, body))

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        return str(self._write(key, lambda: super(CrashingStore, self).put_if(key, body, expected)))

    def upload(self, path: Path, key: str) -> None:
        self._write(key, lambda: super(CrashingStore, self).upload(path, key))

    def copy(self, key: str, destination: str) -> None:
        self._write(destination, lambda: super(CrashingStore, self).copy(key, destination))

    def delete(self, key: str) -> None:
        self._write(key, lambda: super(CrashingStore, self).delete(key))

    def _write(self, key: str, write: Callable[[], object]) -> object:
        if self.die_at is None or (self._only is not None and not self._only(key)):
            return write()
        self.die_at -= 1
        if self.die_at >= 0:
            return write()
        self.die_at = self._only = None
        if self.landed:
            write()
        raise Killed
