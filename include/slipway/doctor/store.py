"""Whether the object store does what Slipway's guarantees rest on. Every check writes below a prefix of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway import layout
from slipway.acknowledgement import store_time
from slipway.doctor.finding import Outcome, failed, passed, warned
from slipway.doctor.race import RACERS, Opened, faults, race
from slipway.errors import ConflictError, ObjectMissing
from slipway.manifest import sha256_of
from slipway.storage.base import ObjectStore

TRANSFER_BYTES = 20 << 20  # more than one part of an upload in parts
LISTED = 20
REACHABLE = "store"
WARN_SKEW = timedelta(seconds=5)
FAIL_SKEW = timedelta(seconds=60)
LEFT_BEHIND = timedelta(hours=6)  # longer than any doctor takes
_ANOTHER_STORE = "use a store with atomic conditional writes (If-Match and If-None-Match), or update this one"


@contextmanager
def probing(store: ObjectStore) -> Iterator[ObjectStore]:
    """The store below a prefix of its own, which is removed at the end of the block, however that ends."""
    prefix = layout.doctor(secrets.token_hex(6))
    probe = store.scoped(prefix)
    existing = _existing(store.local_path(prefix))
    try:
        yield probe
    finally:
        _clear(probe)
        if existing:
            _remove_folders(store, prefix, existing)


def _clear(probe: ObjectStore) -> None:
    for info in list(probe.list()):
        probe.delete(info.key)
    for unfinished in list(probe.abandoned(datetime.now(UTC) + LEFT_BEHIND)):
        unfinished.discard()


def _existing(path: Path | None) -> Path | None:
    """The deepest folder above `path` that is there already; None where the store is no folder."""
    return None if path is None else next((parent for parent in path.parents if parent.is_dir()), None)


def _remove_folders(store: ObjectStore, prefix: str, existing: Path) -> None:
    """Remove the probe's folders with their lock files, and those above that were made for it and are empty."""
    folder = store.local_path(prefix)
    assert folder is not None
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # not empty: another doctor is at work, or a run has begun
        for parent in folder.parents:
            if parent == existing:
                break
            parent.rmdir()


def left_by_others(store: ObjectStore, now: datetime) -> Outcome:
    """Remove what a doctor that was killed hours ago left in the store."""
    left = [info for info in store.list(layout.DOCTOR) if now - info.modified_at > LEFT_BEHIND]
    for info in left:
        store.delete(info.key)
    also = f"; {len(left)} objects of a doctor that was killed were removed" if left else ""
    return passed(f"nothing was left behind{also}")


def reachable(probe: ObjectStore) -> Outcome:
    """Write, read, list and delete one object."""
    body = secrets.token_bytes(64)
    probe.put("object", body)
    if probe.read("object").body != body:
        return failed("another body was read than was written a moment before", "look at the store's health")
    if [(info.key, info.size_bytes) for info in probe.list("object")] != [("object", len(body))]:
        return failed("an object that was written is not listed", "look at the store's health and at the right to list")
    probe.delete("object")
    with suppress(ObjectMissing):
        probe.read("object")
        return failed("an object that was deleted is still read", "look at the store's health, caches and versioning")
    return passed("written, read, listed and deleted")


def listing(probe: ObjectStore) -> Outcome:
    """Whether a listing shows every object at once, in key order, and none that was deleted."""
    keys = [f"list/{number:02}" for number in range(LISTED)]
    for key in keys:
        probe.put(key, b"x")
    listed = [info.key for info in probe.list("list/")]
    if listed != keys:
        missing = len(set(keys) - set(listed))
        return failed(
            f"{missing} of {LISTED} objects were not listed right after they were written"
            if missing
            else "the listing is not in key order, or holds more than was written",
            "use a store whose listings are consistent; maintenance decides by them what nobody needs",
        )
    for key in keys:
        probe.delete(key)
    if left := [info.key for info in probe.list("list/")]:
        return failed(f"{len(left)} objects are still listed after they were deleted", "look at the store's health")
    return passed(f"{LISTED} objects listed right after they were written, none after they were deleted")


def transfer(probe: ObjectStore, scratch: Path) -> Outcome:
    """Send a file of 20 MiB to the store, copy it there, fetch the copy, and compare the sums."""
    sent, fetched = scratch / "doctor-sent", scratch / "doctor-fetched"
    try:
        sent.write_bytes(os.urandom(TRANSFER_BYTES))
        began = time.monotonic()
        probe.upload(sent, "file")
        uploaded = time.monotonic()
        probe.copy("file", "copy")
        copied = time.monotonic()
        probe.download("copy", fetched)
        downloaded = time.monotonic()
        if sha256_of(sent) != sha256_of(fetched):
            return failed(
                "20 MiB came back with another SHA-256 than they had", "look at network, proxies and the store's disks"
            )
    finally:
        sent.unlink(missing_ok=True)
        fetched.unlink(missing_ok=True)
    up, down = _speed(uploaded - began), _speed(downloaded - copied)
    return passed(f"20 MiB up at {up} and down at {down}, with the same SHA-256")


def _speed(seconds: float) -> str:
    return f"{TRANSFER_BYTES / (1 << 20) / max(seconds, 1e-6):,.0f} MiB/s"


def conditional(probe: ObjectStore) -> Outcome:
    """Whether a conditional write whose condition does not hold is refused: one writer, one step after the other."""
    first = probe.put_if("pointer", b"first", None)
    if _is_taken(probe, b"again", None):
        return failed("an object that is there was created again (If-None-Match was ignored)", _ANOTHER_STORE)
    second = probe.put_if("pointer", b"second", first)
    if _is_taken(probe, b"stale", first):
        return failed(
            "an object was replaced by a writer that had seen an older one (If-Match was ignored)", _ANOTHER_STORE
        )
    if probe.read("pointer").version != second:
        return failed("the version that was read is not the one that the last write returned", _ANOTHER_STORE)
    return passed("a second creation and a stale replacement were refused")


def _is_taken(probe: ObjectStore, body: bytes, expected: str | None) -> bool:
    try:
        probe.put_if("pointer", body, expected)
    except ConflictError:
        return False
    return True


def atomic(opened: Opened, rounds: int) -> Outcome:
    """Whether conditional writes are atomic: a race of processes for the same writes."""
    wrong = faults(race(opened, rounds))
    if wrong:
        heats = len({fault.heat for fault in wrong})
        return failed(f"in {heats} of {2 * rounds} races: {wrong[0].heat}: {wrong[0].what}", _ANOTHER_STORE)
    return passed(f"{RACERS} processes raced {2 * rounds} times: one winner each, and its body was kept")


def checksums(probe: ObjectStore) -> Outcome:
    """Whether the store refuses an upload that does not have the checksum which it was sent with."""
    refused = probe.refuses_damage("damaged")
    if refused is None:
        return passed("a folder: no checksum is sent; Slipway compares SHA-256 whenever it reads")
    if not refused:
        return warned(
            "an upload with a wrong Content-MD5 was accepted",
            "nothing has to be done: Slipway compares SHA-256 whenever it reads; a damaged upload is noticed only then",
        )
    return passed("an upload with a wrong Content-MD5 was refused")


def clock(probe: ObjectStore) -> Outcome:
    """How far the store's clock and this machine's are apart. S3 gives whole seconds, so one is forgiven."""
    before = datetime.now(UTC)
    there = store_time(probe)
    after = datetime.now(UTC)
    return _judged(_skew(before, there, after))


def _skew(before: datetime, there: datetime, after: datetime) -> timedelta:
    """How far `there` lies outside the time in which it was taken; positive: the store is ahead."""
    if there > after:
        return there - after
    early = before - there - timedelta(seconds=1)
    return -early if early > timedelta(0) else timedelta(0)


def _judged(skew: timedelta) -> Outcome:
    apart = f"the store's clock is {abs(skew).total_seconds():.1f} s {'ahead of' if skew > timedelta(0) else 'behind'}"
    todo = "have both set their clocks by NTP: leases and the age of what is removed depend on them"
    if abs(skew) > FAIL_SKEW:
        return failed(f"{apart} this machine's", todo)
    if abs(skew) > WARN_SKEW:
        return warned(f"{apart} this machine's", todo)
    return passed(f"within {max(abs(skew).total_seconds(), 1):.0f} s of this machine's")
