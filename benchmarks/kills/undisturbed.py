"""Nights that nobody disturbs: what every other is compared with, and where it can be hit."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kills import history
from benchmarks.kills.attempt import Attempt, run_attempt
from benchmarks.kills.children import Children
from benchmarks.kills.diary import read_diary
from benchmarks.kills.inspection import inspect
from benchmarks.kills.place import Place
from slipway import layout

SWAP, GROUP, CLOCK = "release: the swap", "embed: a group", "any moment"


@dataclass(frozen=True, slots=True)
class Night:
    """A night's beginning (a place to copy), the states before and after it, its seconds and its operations."""

    number: int
    beginning: Place
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    seconds: float
    diary: list[dict[str, Any]]

    @property
    def targets(self) -> Mapping[str, list[int]]:
        """Where it can be hit → numbers of operations, or of groups: every stage, and the moments that matter most.

        `SWAP` is what lies between the last object of the release and the end of its audit record. `CLOCK` has no
        numbers.
        """
        found: dict[str, list[int]] = defaultdict(list, {CLOCK: []})
        swapping = False
        for event in self.diary:
            if event["event"] == "operation":
                found[event["stage"]].append(event["number"])
                swapping |= event["stage"] == "release" and _seals_release(event)
                if swapping and event["stage"] == "release":
                    found[SWAP].append(event["number"])
            elif event["event"] == "group":
                found[GROUP].append(event["number"])
        return found


def _seals_release(event: Mapping[str, Any]) -> bool:
    return event["method"] == "put_if" and event["key"].startswith(layout.release(""))


def run_history(children: Children, place: Place, folder: Path, seed: int, encoder: Mapping[str, Any]) -> list[Night]:
    """Run every night to its end in `place`; their beginnings are kept below `folder`."""
    nights: list[Night] = []
    place.folder.mkdir(parents=True)
    state: Mapping[str, Any] = {"sealed": [], "generation": 0, "live": {}}
    for number in range(history.NIGHTS):
        history.begin(place.database, seed, number)
        beginning = Place(folder / f"beginning-{number}")
        beginning.replace_by(place)
        diary = folder / f"night-{number}.jsonl"
        started = time.monotonic()
        children.run(run_attempt, Attempt(place, f"night-{number}", encoder, diary))
        seconds = time.monotonic() - started
        events = read_diary(diary)
        if not events[-1].get("released"):
            raise RuntimeError(f"night {number} was to be released undisturbed: {events[-1]}")
        after = children.answer(inspect, place, folder / "inspected", file=folder / "state.json")
        nights.append(Night(number, beginning, state, after, seconds, events))
        state = after
    return nights
