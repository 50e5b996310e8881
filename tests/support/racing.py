"""Writers that race for one object, in threads or in processes, and what each of them saw."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from slipway.errors import ConflictError
from slipway.storage.base import ObjectStore

RACERS = 8
ROUNDS = 25
KEY = "race/pointer.json"
STUCK_AFTER_S = 120


@dataclass(frozen=True, slots=True)
class Lap:
    """One writer's part in one round: the body it wrote, whether it was told that it won, what it read after."""

    number: int
    body: bytes
    won: bool
    seen: bytes


def race(store: ObjectStore, barrier: Any, rounds: int = ROUNDS) -> list[Lap]:
    """Run one writer; `barrier` (of threading or multiprocessing) makes all writers expect the same version."""
    return [_lap(store, barrier, number) for number in range(rounds)]


def race_in_process(root: str, barrier: Any, results: Any) -> None:
    """One writer in a process of its own, on a local store at `root`."""
    from slipway.storage.local import LocalStore

    results.put(race(LocalStore(root), barrier))


def _lap(store: ObjectStore, barrier: Any, number: int) -> Lap:
    expected = store.read(KEY).version if number else None
    body = uuid.uuid4().bytes
    barrier.wait(STUCK_AFTER_S)
    try:
        store.put_if(KEY, body, expected)
        won = True
    except ConflictError:
        won = False
    barrier.wait(STUCK_AFTER_S)
    return Lap(number, body, won, store.read(KEY).body)


def assert_one_winner_each(laps: list[Lap]) -> None:
    """Every round had one winner, and everybody then read the winner's body."""
    rounds = {lap.number for lap in laps}
    assert len(laps) == RACERS * len(rounds)
    for number in rounds:
        of_round = [lap for lap in laps if lap.number == number]
        winners = [lap.body for lap in of_round if lap.won]
        assert len(winners) == 1, f"round {number} had {len(winners)} winners"
        assert {lap.seen for lap in of_round} == set(winners), f"round {number} kept another body than the winner's"
