"""Nights that nobody disturbs: what every other is compared with, and where it can be hit."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kills import history
from benchmarks.kills.attempt import MAINTENANCE, Attempt, run_attempt
from benchmarks.kills.children import Children
from benchmarks.kills.diary import read_diary
from benchmarks.kills.inspection import inspect
from benchmarks.kills.place import Place
from slipway import layout

SWAP, GROUP, CLOCK = "release: the swap", "embed: a group", "any moment"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What an undisturbed maintenance before a night does, and the state that it leaves."""

    diary: list[dict[str, Any]]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Night:
    """A night's beginning (a place to copy), the states before and after it, its seconds and its operations.

    `spec` is the collection's index. `maintenance` is one that would come just before the night; before the first
    night there is nothing to maintain.
    """

    number: int
    spec: str
    beginning: Place
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    seconds: float
    diary: list[dict[str, Any]]
    maintenance: Maintenance | None = None

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
                found[self.named(event["stage"])].append(event["number"])
                swapping |= event["stage"] == "release" and _seals_release(event)
                if swapping and event["stage"] == "release":
                    found[SWAP].append(event["number"])
            elif event["event"] == "group":
                found[GROUP].append(event["number"])
        if self.maintenance:
            found[MAINTENANCE] = [one["number"] for one in self.maintenance.diary if one["event"] == "operation"]
        return found

    @property
    def stages(self) -> set[str]:
        """The stages among the targets."""
        return set(self.targets) - {SWAP, GROUP, CLOCK}

    def named(self, stage: str) -> str:
        """A stage as it is told: the index stage is another one for each way of making an index."""
        if stage != "index":
            return stage
        return f"index: update of {self.spec}" if self.is_updated else "index: build"

    @property
    def is_updated(self) -> bool:
        """Whether its index is the one of the night before, brought up to date."""
        return str(self.after["live"]["index"]).startswith("updated")


def _seals_release(event: Mapping[str, Any]) -> bool:
    return event["method"] == "put_if" and str(event["key"]).startswith(layout.release(""))


@dataclass(frozen=True, slots=True)
class History:
    """Runs every night of one index to its end in `place`; beginnings and diaries are kept below `folder`."""

    children: Children
    place: Place
    folder: Path
    seed: int
    encoder: Mapping[str, Any]
    spec: str

    def run(self) -> list[Night]:
        """The nights. Raises RuntimeError when one is not released, or a later one's index was built anew."""
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir(parents=True)
        nights: list[Night] = []
        state: Mapping[str, Any] = {"sealed": [], "generation": 0, "live": {}}
        for number in range(history.NIGHTS):
            nights.append(self._night(number, state))
            state = nights[-1].after
        return nights

    def _night(self, number: int, before: Mapping[str, Any]) -> Night:
        history.begin(self.place.database, self.seed, number)
        beginning = Place(self.folder / f"beginning-{number}")
        beginning.replace_by(self.place)
        maintenance = self._maintenance(number) if number else None
        self.place.replace_by(beginning)
        started = time.monotonic()
        diary = self._ended(f"night-{number}", f"night-{number}")
        seconds = time.monotonic() - started
        if not diary[-1].get("released"):
            raise RuntimeError(f"night {number + 1} was to be released undisturbed: {diary[-1]}")
        night = Night(number, self.spec, beginning, before, self._state(), seconds, diary, maintenance)
        if number and not night.is_updated:
            made = night.after["live"]["index"]
            raise RuntimeError(
                f"the {self.spec} of night {number + 1} was to be updated, so that updates are killed: {made}"
            )
        return night

    def _maintenance(self, number: int) -> Maintenance:
        return Maintenance(self._ended(MAINTENANCE, f"maintenance-{number}"), self._state())

    def _ended(self, run_id: str, name: str) -> list[dict[str, Any]]:
        diary = self.folder / f"{name}.jsonl"
        self.children.run(run_attempt, Attempt(self.place, run_id, self.encoder, self.spec, diary))
        events = read_diary(diary)
        if events[-1]["event"] != "ended":
            raise RuntimeError(f"{name} was to end undisturbed: {events[-1]}")
        return events

    def _state(self) -> Mapping[str, Any]:
        return self.children.answer(inspect, self.place, self.folder / "inspected", file=self.folder / "state.json")
