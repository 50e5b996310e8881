"""What people decided about candidates: one write-once record per approval and rejection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway import layout
from slipway.errors import ConflictError, CorruptObject
from slipway.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer, or that nobody was asked.

    `at` is UTC (ISO 8601); `outcome` the verdict that was answered: "pass", "undecided" or "fail"; `overrode` names the
    failed gates that the person let pass.
    """

    approved: bool
    who: str
    comment: str
    at: str
    outcome: str
    overrode: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The answer as it is stored."""
        return asdict(self) | {"overrode": list(self.overrode)}


def record(store: ObjectStore, run_id: str, approval: Approval) -> Approval:
    """Keep a run's decision. One that says the same for the same run, made before, stays and is returned."""
    for told in all(store):
        known = _approval(told)
        if told["run_id"] == run_id and replace(known, at=approval.at) == approval:
            return known
    body = json.dumps({"run_id": run_id, **approval.as_json()}, indent=1, sort_keys=True, ensure_ascii=False)
    moment = datetime.fromisoformat(approval.at).astimezone(UTC)
    while True:
        try:
            store.put_if(layout.decision(f"{moment:%Y%m%dT%H%M%SZ}", run_id), body.encode(), None)
        except ConflictError:  # another decision of this run in the same second
            moment += timedelta(seconds=1)
            continue
        return approval


def all(store: ObjectStore) -> list[dict[str, Any]]:
    """All decisions, oldest first: `Approval` with its `run_id`. Raises `CorruptObject` that names the record."""
    return list(_all(store))


def _all(store: ObjectStore) -> Iterator[dict[str, Any]]:
    for info in store.list(layout.DECISIONS):
        yield dict(_read(store, info.key))


def _read(store: ObjectStore, key: str) -> Mapping[str, Any]:
    try:
        found = json.loads(store.read(key).body)
        _approval(found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptObject(f"{key} is not a record of a decision: {error!r}; restore it from a backup") from error
    return dict(found)


def _approval(found: Mapping[str, Any]) -> Approval:
    values = {name: value for name, value in found.items() if name != "run_id"}
    return Approval(**{**values, "overrode": tuple(values["overrode"])})
