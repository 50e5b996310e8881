"""What the last runs saw of drift, as a report shows it."""

from __future__ import annotations

from typing import Any

from slipway.drift import record
from slipway.manifest import Manifest, find
from slipway.storage.base import ObjectStore

LAST = 30  # runs


def records(store: ObjectStore, newest: Manifest | None) -> list[dict[str, Any]]:
    """The measures of the last runs up to that one, oldest first. Empty where a run observed nothing."""
    if newest is None:
        return []
    before = [place for place in record.places(store) if place < newest.place][-(LAST - 1) :]
    found = (find(store, place) for place in before)  # maintenance may have removed one since the listing
    return [_shown(one.facts) for one in (*found, newest) if one]


def _shown(facts: Any) -> dict[str, Any]:
    return {name: facts[name] for name in ("at", "run_id", "against", "encoder", "measures", "alarms")}
