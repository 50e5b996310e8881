"""What the last runs saw of drift, as a report shows it."""

from __future__ import annotations

from typing import Any

from slipway import layout
from slipway.manifest import MANIFEST, Manifest, load
from slipway.storage.base import ObjectStore

LAST = 30  # runs


def records(store: ObjectStore, newest: Manifest | None) -> list[dict[str, Any]]:
    """The measures of the last runs up to that one, oldest first. Empty where a run observed nothing."""
    if newest is None:
        return []
    keys = (info.key for info in store.list(layout.DRIFT) if info.key.endswith(f"/{MANIFEST}"))
    places = sorted(key.removesuffix(f"/{MANIFEST}") for key in keys)
    before = [place for place in places if place < newest.place][-(LAST - 1) :]
    return [_shown(one.facts) for one in (*(load(store, place) for place in before), newest)]


def _shown(facts: Any) -> dict[str, Any]:
    return {name: facts[name] for name in ("at", "run_id", "against", "encoder", "measures", "alarms")}
