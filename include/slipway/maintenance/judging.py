"""Which releases retention keeps and which go, with every reason for it. Nothing is changed here.

Kept are the newest whole releases, as many as the collection says, and whatever is in use (slipway.maintenance.uses).
A release newer than the live one stays too, unless it was withdrawn: a run may be about to release it, or somebody
went back past it and may want to go forward again. What cannot be judged is left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from slipway.errors import CorruptObject
from slipway.maintenance.places import Place, list_places
from slipway.maintenance.uses import Uses
from slipway.manifest import Manifest, find
from slipway.pointer import Serving
from slipway.storage.base import ObjectStore

NEWER = "newer than the live release and not withdrawn"
MARKED = "marked for removal, as soon as it is let go"


@dataclass(frozen=True, slots=True)
class Stored:
    """A release as it lies in the store: its place, its manifest, and what is wrong with it, if anything.

    Without a manifest it cannot be read (`wrong` says why), or a former retention has begun to remove it.
    """

    release_id: str
    place: Place
    manifest: Manifest | None
    wrong: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every object is there with its size."""
        return self.manifest is not None and self.wrong is None

    @property
    def created_at(self) -> str | None:
        """When it was sealed (UTC, ISO 8601), where that can be read."""
        return self.manifest.created_at if self.manifest else None


@dataclass(frozen=True, slots=True)
class Judged:
    """A release that is kept or goes, and why: all reasons to keep it, or the one why it goes. Sizes in bytes."""

    release_id: str
    created_at: str | None
    bytes: int
    kept: bool
    why: tuple[str, ...]


def stored_releases(store: ObjectStore, retired: Collection[str] = ()) -> list[Stored]:
    """Every release with a manifest, and what is left of those being removed (`retired`): newest first.

    Places without a manifest are no releases: the maintenance removes them as orphans.
    """
    found = [_stored(store, place) for place in list_places(store, "releases")]
    sealed = [one for one in found if one.place.manifest is not None or one.release_id in retired]
    return sorted(sealed, key=_age, reverse=True)


def _age(one: Stored) -> tuple[str, datetime, str]:
    """What releases are ordered by: when each was sealed, and within a second when it came into the store."""
    return (
        one.created_at or "",
        one.place.manifest.modified_at if one.place.manifest else one.place.written_at,
        one.release_id,
    )


def _stored(store: ObjectStore, place: Place) -> Stored:
    release_id = place.path.rpartition("/")[2]
    if place.manifest is None:
        return Stored(release_id, place, None, "a former retention removed its manifest")
    try:
        manifest = find(store, place.path)
        if manifest and not isinstance(manifest.created_at, str):
            raise CorruptObject(f"{place.manifest.key} was created at {manifest.created_at!r}, which is no time")
    except CorruptObject as error:
        return Stored(release_id, place, None, str(error))
    return Stored(release_id, place, manifest, _missing(place, manifest) if manifest else "it is gone")


def _missing(place: Place, manifest: Manifest) -> str | None:
    sizes = {info.key: info.size_bytes for info in place.objects}
    for sealed in manifest.objects:
        if sizes.get(sealed.key) != sealed.size_bytes:
            return f"{sealed.key} is missing or cut short"
    return None


def judge(found: list[Stored], serving: Serving, uses: Uses, keep: int) -> list[Judged]:
    """Every release of `found` (newest first) with its fate. `keep` is how many of the newest whole ones stay."""
    judged, whole, after_live = [], 0, False
    live = serving.live_release.release_id if serving.live_release else None
    for one in found:
        after_live = after_live or one.release_id == live
        if one.release_id in serving.retired:
            judged.append(_begun(one, serving.retired[one.release_id], uses))
            continue
        whole += one.is_whole
        newer = not after_live and one.release_id not in serving.withdrawn
        reasons = [*uses.of(one.release_id), *_by_age(one, whole, keep), *([NEWER] if newer else [])]
        judged.append(_judged(one, reasons, f"older than the newest {keep} whole releases, and not in use"))
    return judged


def _begun(one: Stored, since: str, uses: Uses) -> Judged:
    """The fate of a release that retention has marked: while somebody uses it, if that is still possible, it waits."""
    reasons = [f"{MARKED}: {why}" for why in uses.of(one.release_id)] if one.is_whole else []
    return _judged(one, reasons, f"retention began to remove it at {since}")


def _by_age(one: Stored, whole: int, keep: int) -> Iterator[str]:
    """`whole` counts the whole releases so far, this one included."""
    if one.manifest is None:
        yield f"left alone, as it cannot be judged: {one.wrong}"
    elif one.is_whole and whole <= keep:
        yield f"number {whole} of the newest {keep}"
    elif not one.is_whole and whole < keep:
        yield f"not whole, and fewer than {keep} whole ones are newer: {one.wrong}"


def _judged(one: Stored, reasons: list[str], why_it_goes: str) -> Judged:
    why = tuple(reasons) or (why_it_goes,)
    return Judged(one.release_id, one.created_at, one.place.size_bytes, bool(reasons), why)
