"""The swaps of a soak: every change of serving.json that the release protocol knows, drawn by a seed."""

from __future__ import annotations

import random
import time
from collections import Counter

from slipway.acknowledgement import heard
from slipway.pointer import Serving, Slot, read_serving
from slipway.rollback import roll_back
from slipway.storage.base import ObjectStore
from tests.support.shifts import offer, promote, take_back

WAIT_SECONDS = 120.0  # for a reader to act on a change
SHARES = (1, 10, 50, 100)
HASTE = 0.3  # share of the swaps that the next one does not wait for


class Swaps:
    """Changes serving.json again and again, and waits for readers. `made` counts the changes by kind."""

    def __init__(self, store: ObjectStore, releases: list[Slot], readers: list[str], seed: int) -> None:
        self._store, self._releases, self._readers = store, releases, readers
        self._drawn = random.Random(seed)
        self.made: Counter[str] = Counter()
        self.acted_on: dict[str, set[int]] = {name: set() for name in readers}
        """The generations that each reader was seen to have acted on."""

    def make(self, count: int) -> None:
        """Make so many swaps. Raises `TimeoutError` when a reader does not follow."""
        for number in range(count):
            after = self._swap(read_serving(self._store)[0])
            if self._drawn.random() >= HASTE or number == count - 1:
                self.wait_for(after.generation)

    def _swap(self, now: Serving) -> Serving:
        """One change that this state allows."""
        kinds = ["shift", "promote", "roll back to"]
        if now.shift:
            kinds = ["shift", "shift", "promote", "take back", "roll back"]
        elif now.standby_release and now.standby_release.release_id not in now.withdrawn:
            kinds.append("roll back")
        kind = self._drawn.choice(kinds)
        self.made[kind] += 1
        if kind == "shift":
            return offer(self._store, self._trial(now), self._share(now))
        if kind == "promote":
            return promote(self._store, self._trial(now))
        if kind == "take back":
            return take_back(self._store)
        to = self._other(now).release_id if kind == "roll back to" else None
        return roll_back(self._store, "soak", "drawn", to)

    def _trial(self, now: Serving) -> Slot:
        """The release on trial, or one that is not live."""
        return now.trial or self._other(now)

    def _other(self, now: Serving) -> Slot:
        live = now.live_release.release_id if now.live_release else None
        return self._drawn.choice([one for one in self._releases if one.release_id != live])

    def _share(self, now: Serving) -> int:
        """A share; during a shift a larger one, as it comes to the next step."""
        larger = [share for share in SHARES if now.shift is None or share > now.shift.percent]
        return self._drawn.choice(larger or [SHARES[-1]])

    def wait_for(self, generation: int) -> None:
        """Wait until every reader says that it has acted on a generation."""
        until = time.monotonic() + WAIT_SECONDS
        while behind := self._behind(generation):
            if time.monotonic() > until:
                raise TimeoutError(f"{', '.join(behind)} did not act on generation {generation}")
            time.sleep(0.005)

    def _behind(self, generation: int) -> list[str]:
        # a reader adds eight digits to the name that it was given
        said = {one.said.reader.rpartition("-")[0]: one.said for one in heard(self._store)[0]}
        for name, one in said.items():
            self.acted_on[name].add(one.generation)
        return [name for name in self._readers if name not in said or said[name].generation < generation]
