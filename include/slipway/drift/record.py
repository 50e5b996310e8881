"""The records of drift: one a run, kept so that a trend shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway import layout
from slipway.drift.measure import NEIGHBOURS, VECTORS
from slipway.manifest import MANIFEST, Manifest, find, load
from slipway.storage.base import ObjectStore

OF_ONE_ENCODER = (VECTORS, NEIGHBOURS)  # groups of measures


def places(store: ObjectStore) -> list[str]:
    """Places of all records, oldest first."""
    suffix = f"/{MANIFEST}"
    return sorted(info.key.removesuffix(suffix) for info in store.list(layout.DRIFT) if info.key.endswith(suffix))


def history(store: ObjectStore, last: int) -> list[dict[str, Any]]:
    """The facts of the newest `last` records, oldest first (see slipway.stages.drift.observe)."""
    found = (find(store, place) for place in places(store)[-last:])
    return [dict(record.facts) for record in found if record]  # maintenance may have removed one since the listing


def line(records: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any] | None]:
    """What each of the records (facts, oldest first) says of a measure; None where it says nothing of it.

    Vectors of two encoders cannot be compared, nor what is near in them: of these measures, only the records of the
    newest one's encoder are in one line.
    """
    encoder = records[-1]["encoder"]
    found = [next((one for one in record["measures"] if one["name"] == name), None) for record in records]
    return [
        one if one and (record["encoder"] == encoder or one["group"] not in OF_ONE_ENCODER) else None
        for one, record in zip(found, records, strict=True)
    ]


def own(store: ObjectStore, run_id: str, candidate: str) -> Manifest | None:
    """What this run has sealed of this candidate (a place), if it has."""
    records = (load(store, place) for place in reversed(places(store)) if place.partition("Z-")[2] == run_id)
    return next((record for record in records if record.facts["candidate"] == candidate), None)


def oldest(store: ObjectStore, encoder: str) -> dict[str, Any] | None:
    """The facts of the oldest kept record of this encoder (fingerprint) that has a centroid.

    The newest of the encoder's records names it; else it is sought from the oldest on.
    """
    kept = places(store)
    newest = next((facts for place in reversed(kept) if (facts := _of(store, place, encoder))), None)
    if newest is None:
        return None
    if newest["oldest"] in kept and (known := _of(store, newest["oldest"], encoder)):
        return known
    return next((facts for place in kept if (facts := _of(store, place, encoder))), None)


def _of(store: ObjectStore, place: str, encoder: str) -> dict[str, Any] | None:
    record = find(store, place)
    if record is None or record.facts["encoder"] != encoder or not record.facts["centroid"]:
        return None
    return {**record.facts, "place": place}
