"""What people decided about candidates: one write-once record per approval and rejection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway import layout
from slipway.errors import ConflictError
from slipway.storage.base import ObjectStore

DAMAGED = "unreadable"
_GATES = ("overrode", "undecided")
_OF_THE_RUN = ("run_id", "candidate", "report")


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer, or that nobody was asked.

    `at` is UTC (ISO 8601); `outcome` the verdict that was answered: "pass", "undecided" or "fail"; `overrode` names the
    failed gates that the person let pass, `undecided` the gates that were undecided then. No other gate may fail or be
    undecided when the candidate goes live.
    """

    approved: bool
    who: str
    comment: str
    at: str
    outcome: str
    overrode: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The answer as it is stored."""
        return asdict(self) | {name: list(getattr(self, name)) for name in _GATES}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Approval:
        """The answer that `as_json` made, or a version that knew fewer gates. Raises TypeError, KeyError."""
        return cls(**{**stored, **{name: tuple(stored.get(name, ())) for name in _GATES}})


def record(
    store: ObjectStore, run_id: str, approval: Approval, candidate: str | None = None, report: str | None = None
) -> Approval:
    """Keep a run's decision on a candidate, with the report (places) that it was made on.

    One that says the same as the run's newest decision stays unwritten, and the newest is returned, so that a retry is
    safe; a person who changes the answer and changes it back has made three decisions.
    """
    said = {"run_id": run_id, "candidate": candidate, "report": report, **approval.as_json()}
    newest = [_told(store, key) for key in _keys(store) if _run_of(key) == run_id][-1:]
    if newest and newest[0] | {"at": approval.at} == said:
        return _approval(newest[0])
    body = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False)
    moment = datetime.fromisoformat(approval.at).astimezone(UTC)
    while True:
        try:
            store.put_if(layout.decision(f"{moment:%Y%m%dT%H%M%SZ}", run_id), body.encode(), None)
        except ConflictError:  # another decision of this run in the same second
            moment += timedelta(seconds=1)
            continue
        return approval


def all(store: ObjectStore) -> list[dict[str, Any]]:
    """All decisions that can be read, oldest first: `Approval` with its `run_id`, `candidate` and `report`.

    `damaged` tells of the others.
    """
    return [told for key in _keys(store) if DAMAGED not in (told := _told(store, key))]


def damaged(store: ObjectStore) -> list[dict[str, str]]:
    """Records that cannot be read: their `key`, and as `unreadable` why."""
    return [told for key in _keys(store) if DAMAGED in (told := _told(store, key))]


def _keys(store: ObjectStore) -> list[str]:
    return sorted(info.key for info in store.list(layout.DECISIONS))


def _run_of(key: str) -> str:
    return key.removeprefix(layout.DECISIONS).partition("Z-")[2].removesuffix(".json")


def _told(store: ObjectStore, key: str) -> dict[str, Any]:
    """The decision at a key, or the key and why it cannot be read."""
    try:
        found = json.loads(store.read(key).body)
        _approval(found)
        return {**dict.fromkeys(_OF_THE_RUN), **found}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return {"key": key, DAMAGED: f"{key} is not a record of a decision: {error!r}; restore it from a backup"}


def _approval(found: Mapping[str, Any]) -> Approval:
    return Approval.from_json({name: value for name, value in found.items() if name not in _OF_THE_RUN})
