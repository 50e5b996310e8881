"""An object store in a folder of this machine (or of a network mount whose file locks work)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from slipway.errors import ConflictError, ObjectMissing, StateUnknown
from slipway.storage.base import Abandoned, ObjectInfo, ObjectStore, Versioned
from slipway.storage.files import (
    COPY_CHUNK_BYTES,
    make_folders,
    open_local,
    os_errors_explained,
    replacing,
    sync_folder,
)
from slipway.storage.keys import RESERVED_NAME, UNFINISHED, check_key, check_prefix

_LOCK_NAME = f"{RESERVED_NAME}-lock"


class LocalStore(ObjectStore):
    """Objects as files below `root`, which is created by the first write.

    A write fills a hidden file, syncs it and renames it, so a reader sees the old object or the new one and nothing
    between. `put_if` alone takes a lock: an object that it changes must not be changed by `put` or `delete` as well.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(os.path.abspath(Path(root).expanduser()))  # noqa: PTH100 - resolve() would follow links
        self.url = self._root.as_uri()

    def read(self, key: str) -> Versioned:
        """See `ObjectStore.read`; the version is the SHA-256 of the body."""
        with os_errors_explained(f"cannot read {key!r}", self._path(key)), self._open(key) as file:
            body = file.read()
        return Versioned(body, _version_of(body))

    def put(self, key: str, body: bytes) -> None:
        """See `ObjectStore.put`."""
        path = self._path(key)
        with os_errors_explained(f"cannot write {key!r}", path):
            with replacing(path) as file:
                file.write(body)
            sync_folder(path.parent)

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        """See `ObjectStore.put_if`."""
        path = self._path(key)
        with os_errors_explained(f"cannot write {key!r}", path), _locked(path.parent):
            if self._version(key) != expected:
                raise ConflictError(f"{path} was changed by somebody else; nothing was written: read it again")
            with replacing(path) as file:
                file.write(body)
            _settle(path)
        return _version_of(body)

    def upload(self, path: Path, key: str) -> None:
        """See `ObjectStore.upload`."""
        with os_errors_explained(f"cannot store {path} as {key!r}", self._path(key)), open_local(path) as source:
            _copy_whole(source, self._path(key))

    def download(self, key: str, path: Path) -> None:
        """See `ObjectStore.download`; folders missing above `path` are created."""
        with os_errors_explained(f"cannot fetch {key!r} to {path}", path), self._open(key) as source:
            _copy_whole(source, path)

    def copy(self, key: str, destination: str) -> None:
        """See `ObjectStore.copy`. A true copy: a link would share the source's bytes, and so any damage to them."""
        target = self._path(destination)
        with os_errors_explained(f"cannot copy {key!r} to {destination!r}", target), self._open(key) as source:
            _copy_whole(source, target)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        return self._listing(check_prefix(prefix))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`; the folders above stay, as other objects may be on their way into them."""
        path = self._path(key)
        with os_errors_explained(f"cannot delete {key!r}", path):
            if path.is_file():
                path.unlink(missing_ok=True)
                sync_folder(path.parent)

    def abandoned(self, older_than: datetime) -> Iterator[Abandoned]:
        """See `ObjectStore.abandoned`: the hidden files that killed writes were filling."""
        with os_errors_explained("cannot look for unfinished writes", self._root):
            for path in sorted(self._root.rglob(f"{RESERVED_NAME}-*{UNFINISHED}")):
                if found := self._unfinished(path, older_than):
                    yield found

    def scoped(self, prefix: str) -> LocalStore:
        """See `ObjectStore.scoped`."""
        return LocalStore(self._path(prefix.rstrip("/")))

    def local_path(self, key: str) -> Path:
        """See `ObjectStore.local_path`."""
        return self._path(key)

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        path = self._path(key)
        with os_errors_explained(f"cannot look for {key!r}", path):
            return path.is_file()

    def _unfinished(self, path: Path, older_than: datetime) -> Abandoned | None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return None  # its write ended meanwhile
        touched_at = datetime.fromtimestamp(status.st_mtime, UTC)
        if touched_at >= older_than:
            return None

        def discard() -> None:
            with os_errors_explained(f"cannot remove {path.name}", path):
                path.unlink(missing_ok=True)

        return Abandoned(path.relative_to(self._root).as_posix(), status.st_size, touched_at, discard)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _open(self, key: str) -> BinaryIO:
        path = self._path(key)
        try:
            return path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectMissing(f"object {key!r} is not in {self.url}; check the key and the store's root") from error

    def _version(self, key: str) -> str | None:
        try:
            return self.read(key).version
        except ObjectMissing:
            return None

    def _listing(self, prefix: str) -> Iterator[ObjectInfo]:
        with os_errors_explained(f"cannot list {prefix!r}", self._root):
            yield from _walk(self._root, "", prefix)


def _version_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _copy_whole(source: BinaryIO, path: Path) -> None:
    with replacing(path) as file:
        shutil.copyfileobj(source, file, COPY_CHUNK_BYTES)
    sync_folder(path.parent)


def _settle(path: Path) -> None:
    """Make a rename durable; readers see it already, so a failure here leaves its fate open."""
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise StateUnknown(
            f"{path} was replaced, but the disk did not confirm it ({error.strerror}); "
            "check the disk, then read the object again before any other write"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of all conditional writes in `folder`.

    The lock file lies beside the objects and not at the store's root, so that a scoped store and a store opened
    deeper down take the same one. It is never removed: a writer that waits on a removed file would hold nothing.
    """
    make_folders(folder)
    descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _walk(folder: Path, base: str, prefix: str) -> Iterator[ObjectInfo]:
    """The objects below `folder`, whose keys begin with `base`, in the order of their whole keys."""
    for name, entry in _entries(folder):
        key = base + name
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(folder / entry.name, key, prefix)
        elif key.startswith(prefix) and (info := _describe(entry, key)):
            yield info


def _entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What is in `folder`, folders named with a '/' at their end, because 'a.b' comes before 'a/b' in key order."""
    try:
        with os.scandir(folder) as entries:
            named = [(f"{entry.name}/" if entry.is_dir() else entry.name, entry) for entry in entries]
    except FileNotFoundError:
        return  # a store nobody wrote to yet, or a folder removed meanwhile
    yield from sorted(
        (pair for pair in named if not pair[0].startswith(RESERVED_NAME)),
        key=lambda pair: pair[0],
    )


def _describe(entry: os.DirEntry[str], key: str) -> ObjectInfo | None:
    try:
        if not entry.is_file():
            return None
        status = entry.stat()
    except FileNotFoundError:
        return None  # deleted while the listing was under way
    return ObjectInfo(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
