"""The local copies of remote releases: whole or not there, shared by all processes of a machine, and tidied up.

Below the folder things lie as in the store (`serving.json`, `releases/<id>/…`), so that what is kept can be opened as a
local store when the remote one does not answer. `partial/` holds downloads that are not verified yet. The time of a
release's folder says when a reader last held it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing
from slipway.manifest import SealedObject, fingerprint, verify
from slipway.settings import cache_root
from slipway.storage import LocalStore, ObjectStore
from slipway.storage.files import explain_os_error, os_errors_explained, replacing
from slipway.storage.keys import check_key

UNUSED_SECONDS = 24 * 3600  # after which a release that nothing names or holds is removed
_PARTIAL = "partial"
_LOCK = "lock"


def default_cache() -> Path:
    """Where releases of remote stores are kept: SLIPWAY_CACHE, else slipway below the user's cache folder."""
    return cache_root()


def folder_of(base: Path, store: ObjectStore) -> Path:
    """The folder of the collection in `store`; those of two stores never mix, though they be called the same."""
    return base / store.url.rsplit("/", 1)[-1] / fingerprint(store.identity)[:8]


def is_remote(store: ObjectStore) -> bool:
    """Whether a store's objects need a copy here to be opened."""
    return store.local_path(layout.SERVING) is None


class Cache:
    """One collection's folder. Several processes may use it at once; nothing is created before it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, store: ObjectStore, sealed: SealedObject) -> Path:
        """A local, read-only file with the object's bytes, size and SHA-256 checked.

        The object's own path where the store is a local folder; else the copy here, downloaded unless it is there and
        sound. It gets its name after the check, so that no process ever sees another's half or damaged download.
        Raises `ObjectMissing`, `CorruptObject`, `DiskFull`, `StoreUnreachable`.
        """
        own = store.local_path(sealed.key)
        if own is not None:
            verify(own, sealed)
            return own
        path = self._path(sealed.key)
        with os_errors_explained(f"cannot keep {sealed.key!r}", path):
            if not _is_sound(path, sealed):
                self._download(store, sealed, path)
        return path

    def keep(self, key: str, body: bytes) -> None:
        """Keep a small object's bytes, for `as_store`. Raises `DiskFull`, `StoreDenied`."""
        path = self._path(key)
        with os_errors_explained(f"cannot keep {key!r}", path), replacing(path) as file:
            file.write(body)

    def as_store(self) -> LocalStore:
        """What is kept, as a store of its own."""
        return LocalStore(self.folder)

    def touch(self, release_ids: Collection[str]) -> None:
        """Say that these releases are held by a reader now, so that no process removes them."""
        for release_id in release_ids:
            with suppress(FileNotFoundError):  # a release of a local store has no folder here
                os.utime(self._path(layout.release(release_id)))

    @contextmanager
    def in_use(self, release_id: str) -> Iterator[None]:
        """While the block fetches and opens a release, no process tidies up. Raises `DiskFull`, `StoreDenied`."""
        place = self._path(layout.release(release_id))
        with os_errors_explained(f"cannot keep release {release_id}", place):
            place.mkdir(parents=True, exist_ok=True)
            os.utime(place)
        with self._locked(fcntl.LOCK_SH):
            yield

    def evict(self, keep: Collection[str]) -> list[str] | None:
        """Remove the releases that are not in `keep` and that no reader held for a day, and what killed downloads left.

        Returns the ids of those removed; None while another process is loading: nothing was looked at then. Raises
        `StoreDenied`.
        """
        if not (self.folder / layout.RELEASES).is_dir():
            return []
        try:
            with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
                return self._evict(keep)
        except BlockingIOError:
            return None

    def _evict(self, keep: Collection[str]) -> list[str]:
        with os_errors_explained("cannot tidy up the cache", self.folder):
            for path in (self.folder / _PARTIAL).glob("*"):
                if _is_old(path):
                    path.unlink(missing_ok=True)
            places = sorted(place for place in (self.folder / layout.RELEASES).iterdir() if place.is_dir())
            gone = [place for place in places if place.name not in keep and _is_old(place)]
            for place in gone:
                shutil.rmtree(place)
        return [place.name for place in gone]

    def _download(self, store: ObjectStore, sealed: SealedObject, path: Path) -> None:
        partial = self.folder / _PARTIAL / uuid4().hex
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.download(sealed.key, partial)
            verify(partial, sealed)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the folder's lock. Raises `BlockingIOError` where `how` does not wait and another holds it."""
        path = self.folder / _LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise explain_os_error(error, "cannot lock the cache", path) from error
        try:
            _lock(descriptor, how, path)
            yield
        finally:
            os.close(descriptor)

    def _path(self, key: str) -> Path:
        return self.folder / check_key(key)


def _lock(descriptor: int, how: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise explain_os_error(error, "cannot lock the cache", path) from error


def _is_sound(path: Path, sealed: SealedObject) -> bool:
    """Whether a copy fetched before is whole; one that was damaged on this machine is fetched again."""
    try:
        verify(path, sealed)
    except (ObjectMissing, CorruptObject):
        return False
    return True


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > UNUSED_SECONDS
