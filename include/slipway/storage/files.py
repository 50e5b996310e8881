"""Files written whole or not at all, and what the operating system's refusals mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from slipway.errors import DiskFull, InputError, SlipwayError, StoreDenied, StoreUnreachable
from slipway.storage.keys import RESERVED_NAME, UNFINISHED

COPY_CHUNK_BYTES = 1 << 20

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when the block ends, and vanishes when the block raises.

    It is filled beside `path`, because a rename is atomic only inside one file system, and it is on the disk before
    the rename. The rename itself is durable only after `sync_folder(path.parent)`. Raises `OSError`.
    """
    make_folders(path.parent)
    unfinished = path.with_name(f"{RESERVED_NAME}-{uuid4().hex}{UNFINISHED}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def make_folders(folder: Path) -> None:
    """Create `folder` and what is missing above it, each one durable. Raises `OSError`."""
    if folder.is_dir():
        return
    make_folders(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names inside `folder` durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder and say so with EINVAL; they have no stronger promise to give.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def os_errors_explained(action: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into the Slipway error that says what to do; `action` is what was attempted."""
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, action, path) from error


def explain_os_error(error: OSError, action: str, path: Path) -> SlipwayError:
    """The Slipway error for `error`, met during `action` at or near `path`."""
    place = f"{action}, at {error.filename or path}"
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFull(f"{place}: no space left on the device ({reason}); free some space there, then run again")
    if error.errno in _FORBIDDEN:
        return StoreDenied(f"{place}: {reason}; give this user the right to read and write there")
    if error.errno in _IN_THE_WAY:
        return StoreDenied(f"{place}: {reason}; a file stands where a folder is needed, or the reverse: move it away")
    if error.errno in _NO_LOCKS:
        return StoreDenied(f"{place}: {reason}; this file system has no file locks: put the store on one that has")
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{place}: {reason}; use a shorter key or root")
    return StoreUnreachable(f"{place}: {reason}; check that the disk is mounted and healthy, then run again")


def open_local(path: Path) -> BinaryIO:
    """Open a local file that the caller wants to store. Raises `InputError` when it is not there."""
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise InputError(f"cannot upload {path}: there is no such file; check the path") from error
