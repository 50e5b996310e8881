"""Backing up: a release, or everything that a collection's store holds, copied to another store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway import layout
from slipway.backup import index
from slipway.backup.copying import Copied, Copying, copy_audit
from slipway.errors import CorruptObject, InputError, ObjectMissing, ReleaseRefused
from slipway.manifest import MANIFEST
from slipway.pointer import read_serving
from slipway.serving.catalogue import manifest_sums
from slipway.serving.loading import check_whole, read_release_manifest
from slipway.signing import Trusted
from slipway.storage.base import ObjectInfo, ObjectStore

# What a collection's backup is made of, in this order: what others are made of comes before them. Leases, readers'
# acknowledgements and what a kill left belong to the moment, and are not copied.
_KINDS = (
    "vectors/",
    "documents/",
    "snapshots/",
    "differences/",
    "chunks/",
    "candidates/",
    "evaluations/",
    layout.COMPARISONS,
    layout.RELEASES,
    layout.RUNS,
    layout.CHECKPOINTS,
    layout.DRIFT,
    layout.REPORTS,
    layout.PINS,
)


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup did: of which release or collection (`name`), to where, and how much of it was written.

    `present` counts what was there already: objects of a release, places of a collection. `damaged` names what the
    source could not give, with why.
    """

    name: str
    release_id: str
    generation: int
    to: str
    objects: int
    bytes: int
    present: int
    damaged: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return asdict(self)


def back_up(
    source: ObjectStore,
    target: ObjectStore,
    scratch: Path,
    release_id: str | None = None,
    trusted: Trusted | None = None,
) -> BackedUp:
    """Copy a release (default: the live one) and the audit trail to another store, each object checked on the way.

    What is there already is not copied again. The release's manifest goes last, and the index after it, so that a kill
    leaves no backup that is not whole. Raises `InputError` when the stores are not apart, `ReleaseRefused` when nothing
    is live or the target has another history, `CorruptObject` and `ObjectMissing` when the release is damaged, and
    `UntrustedRelease`.
    """
    check_apart(source, target)
    serving, _ = read_serving(source)
    live = serving.live_release
    wanted = release_id or (live.release_id if live else None)
    if wanted is None:
        raise ReleaseRefused(f"nothing is released at {source.url} yet, so there is nothing to back up")
    whole = check_whole(source, wanted, manifest_sums(source, {wanted}).get(wanted))
    read_release_manifest(source, wanted, whole.manifest_sha256, trusted)
    copied = copy_audit(source, target) + Copying(source, target, scratch).place(
        layout.release(wanted), whole.manifest_sha256
    )
    check_whole(target, wanted, whole.manifest_sha256)
    made = index.entry(wanted, serving, wanted, whole.manifest_sha256, source)
    index.write(target, made)
    return _told(made, target, copied, {})


def back_up_all(source: ObjectStore, target: ObjectStore, scratch: Path, trusted: Trusted | None = None) -> BackedUp:
    """Copy everything that the collection's store holds, as `back_up` does; hold the collection's lease meanwhile.

    An output that is damaged in the source is told of and left out; the releases that serving.json names must be whole.
    What maintenance has removed from the source stays in the backup; pins that were removed there do not. Raises as
    `back_up`.
    """
    check_apart(source, target)
    serving, _ = read_serving(source)
    live = serving.live_release
    if live is None:
        raise ReleaseRefused(f"nothing is released at {source.url} yet, so there is nothing to back up")
    for slot in serving.named.values():
        check_whole(source, slot.release_id, slot.manifest_sha256)
        read_release_manifest(source, slot.release_id, slot.manifest_sha256, trusted)
    damaged: dict[str, str] = {}
    copied = copy_audit(source, target) + copy_everything(Copying(source, target, scratch), damaged)
    _unpin(source, target)
    for slot in serving.named.values():
        check_whole(target, slot.release_id, slot.manifest_sha256)
    made = index.entry(layout.BACKED_UP_COLLECTION, serving, live.release_id, live.manifest_sha256, source, whole=True)
    index.write(target, made)
    return _told(made, target, copied, damaged)


def copy_everything(copying: Copying, damaged: dict[str, str]) -> Copied:
    """Copy all sealed outputs, results and pins. What the source cannot give is noted in `damaged`, and passed over."""
    done = Copied()
    for kind in _KINDS:
        here, there = ({info.key: info for info in store.list(kind)} for store in (copying.source, copying.target))
        for place, keys in _places(here).items():
            if not copying.repair and all(_is_there(here[key], there) for key in keys):
                done += Copied(present=1)
                continue
            try:
                done += copying.place(place)
            except (CorruptObject, ObjectMissing) as error:
                damaged[place] = str(error)
        for key in _loose(here):
            if copying.repair or not _is_there(here[key], there) or here[key].modified_at >= there[key].modified_at:
                done += copying.loose(key)
    return done


def _unpin(source: ObjectStore, target: ObjectStore) -> None:
    """Remove the pins from a backup that the source has no more, so that a restore does not bring them back."""
    pinned = {info.key for info in source.list(layout.PINS)}
    for info in list(target.list(layout.PINS)):
        if info.key not in pinned:
            target.delete(info.key)


def _places(here: Mapping[str, ObjectInfo]) -> dict[str, list[str]]:
    """The sealed outputs among these objects, each with its keys."""
    places: dict[str, list[str]] = {
        key.removesuffix(f"/{MANIFEST}"): [] for key in here if key.endswith(f"/{MANIFEST}")
    }
    for key in here:
        for folder in _above(key):
            if folder in places:
                places[folder].append(key)
                break
    return places


def _above(key: str) -> Iterator[str]:
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key


def _loose(here: Mapping[str, ObjectInfo]) -> list[str]:
    """Small objects that stand for themselves: the runs' results, pins, and what services made of the probe texts."""
    return [key for key in here if key.startswith(layout.PINS) or _is_result(key) or layout.is_vector_probe(key)]


def _is_result(key: str) -> bool:
    names = key.split("/")
    return len(names) == 3 and key == layout.result(names[1])


def _is_there(info: ObjectInfo, there: Mapping[str, ObjectInfo]) -> bool:
    found = there.get(info.key)
    return found is not None and found.size_bytes == info.size_bytes


def check_apart(source: ObjectStore, target: ObjectStore) -> None:
    """Raise `InputError` when one of the stores lies within the other: a backup there falls with what it is for."""
    one, other = (f"{_where(store).rstrip('/')}/" for store in (source, target))
    if one.startswith(other) or other.startswith(one):
        raise InputError(f"{target.url} and {source.url} are not apart; name a store that survives the other's loss")


def _where(store: ObjectStore) -> str:
    """The store's URL; of a folder that a link leads to, that of the folder itself."""
    inside = store.local_path("x")
    return inside.parent.resolve().as_uri() if inside else store.url


def _told(made: index.Backup, target: ObjectStore, copied: Copied, damaged: Mapping[str, str]) -> BackedUp:
    return BackedUp(
        made.name, made.release_id, made.generation, target.url, copied.objects, copied.bytes, copied.present, damaged
    )
