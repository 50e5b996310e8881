"""What a collection needs beside its store, and what is in its store already: sources, keys, lease, what serves."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING

from slipway import layout, signing
from slipway.backup.backing_up import check_apart
from slipway.config import AnySource
from slipway.doctor.finding import Outcome, failed, passed, skipped, warned
from slipway.doctor.store import probing, reachable
from slipway.errors import CorruptObject, UntrustedRelease
from slipway.evaluation.golden import read_golden
from slipway.lease import read_lease, wall_clock
from slipway.pointer import audit_trail, read_serving
from slipway.recover import Lost, sound_or_lost
from slipway.run import Run
from slipway.serving.loading import check_whole, read_release_manifest
from slipway.signing import PUBLIC_KEY, SigningKey, Trusted, trusted_here
from slipway.sources import open_reading
from slipway.storage.base import ObjectStore
from slipway.stores import backup_store

if TYPE_CHECKING:
    import pyarrow as pa


def source(run: Run, described: AnySource) -> Outcome:
    """Open the source by its own adapter, as a run does, and read its first rows."""
    with open_reading(described, run.connections, run.scratch, None) as reading:
        any_row = _has_row(reading.rows())
    if not any_row and not described.may_be_empty:
        return warned("no row", "look at the source: a run refuses it, unless may_be_empty: true is in the file")
    return passed(f"{', '.join(described.columns)} read" if any_row else "no row, which is normal for it")


def _has_row(batches: Iterator[pa.RecordBatch]) -> bool:
    """Whether a stream gives any row; it is closed then, so that the rest is not read."""
    try:
        return any(batch.num_rows for batch in batches)
    finally:
        if isinstance(batches, Generator):
            batches.close()


def golden(run: Run) -> Outcome:
    """Whether the golden file can be judged with."""
    if run.collection.golden is None:
        return skipped("no golden queries: relevance is not measured")
    return passed(f"{len(read_golden(run.collection.golden.queries).queries)} queries")


def signing_key(run: Run) -> Outcome:
    """Whether the key can sign, readers here trust it, and the live release bears its signature."""
    key = signing.key_of(run)
    if key is None:
        return _unsigned()
    here = trusted_here()
    if here is not None and key.key_id not in here.keys:
        return failed(
            f"releases are signed by key {key.key_id}, and {PUBLIC_KEY} here trusts only {here.names}",
            f"add {key.public_text} to {PUBLIC_KEY}, or name the other key's connection in release.signing",
        )
    return _live_signature(run, key)


def _unsigned() -> Outcome:
    if trusted_here() is None:
        return skipped("releases are not signed (release.signing)")
    return failed(
        f"releases are not signed, and readers with this {PUBLIC_KEY} refuse them",
        f"name a signing key in release.signing (slipway keygen), or remove {PUBLIC_KEY}",
    )


def _live_signature(run: Run, key: SigningKey) -> Outcome:
    live = read_serving(run.store)[0].live_release
    if live is None:
        return passed(f"key {key.key_id}; nothing is released yet")
    try:
        trusted = Trusted({key.key_id: key.public})
        read_release_manifest(run.store, live.release_id, live.manifest_sha256, trusted)
    except UntrustedRelease as error:
        return warned(f"key {key.key_id} can sign; {error}", "run the collection before readers are given its key")
    return passed(f"key {key.key_id}; the live release bears its signature")


def backup(run: Run) -> Outcome:
    """Whether the backup store takes, gives and removes an object, and is not the store itself."""
    store = backup_store(run.collection)
    if store is None:
        return skipped("no backup is configured (release.backup)")
    check_apart(run.store, store)
    with probing(store) as probe:
        return reachable(probe)


def lease(run: Run, clock: Callable[[], datetime] = wall_clock) -> Outcome:
    """Whether a run is at work, or one died and left its lease."""
    found, _ = read_lease(run.store)
    if found is None or found.state != "held":
        return passed("no run is at work")
    said = f"run {found.holder.run_id!r} of {found.holder.who}, last sign of life {found.renewed:%Y-%m-%d %H:%M} UTC"
    if clock() > found.ends:
        return warned(f"left by a run that died: {said}", "nothing has to be done: the next run takes it")
    return warned(f"held: {said}", f"wait for that run; if it is dead, its lease ends at {found.ends:%H:%M} UTC")


def serving(run: Run) -> Outcome:
    """Whether serving.json and its audit trail can be read and agree, and every release that it names is whole."""
    _check_records(run)
    now = sound_or_lost(run.store)
    if isinstance(now, Lost):
        return failed(now.why, "put the newest record of the audit trail back with slipway recover")
    if now.generation == 0:
        return skipped("nothing is released yet")
    for slot in now.named.values():
        check_whole(run.store, slot.release_id, slot.manifest_sha256)
    first = _first_unrecorded(run.store)
    if first < now.generation:
        return warned(
            f"the audit trail lacks change {first} of {now.generation}, and maybe later ones",
            "somebody deleted records of audit/; restore them from a backup of the store",
        )
    assert now.live_release is not None
    shift = f", {now.shift.percent} % on trial" if now.shift else ""
    return passed(f"{now.live_release.release_id} is live, generation {now.generation}{shift}; every release is whole")


def _first_unrecorded(store: ObjectStore) -> int:
    """The first generation without an audit record, asked for after the state was read: all before that have one."""
    keys = {info.key for info in store.list(layout.AUDIT)}
    return next(generation for generation in count(1) if layout.audit(generation) not in keys)


def _check_records(run: Run) -> None:
    """Raise `CorruptObject` where a record of the audit trail cannot be read."""
    trail = audit_trail(run.store)
    damaged = next((one["unreadable"] for one in trail if "unreadable" in one), None)
    if damaged:
        raise CorruptObject(f"{damaged}; restore it from a backup of {run.store.url}")
