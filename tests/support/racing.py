"""Writers that race for one object or for whole swaps, in threads or in processes, and what each of them saw."""

from __future__ import annotations

import multiprocessing
import os
import queue
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipway.errors import ConflictError, ReleaseRefused
from slipway.pointer import Change, Serving, swap_serving
from slipway.storage import open_store
from slipway.storage.base import ObjectStore

RACERS = 8
ROUNDS = 25
KEY = "race/pointer.json"
STUCK_AFTER_S = 120


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process finds the store: its URL, and the environment that its client reads."""

    url: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> ObjectStore:
        """The store, by this process's own client."""
        os.environ.update(self.environment)
        return open_store(self.url)


@dataclass(frozen=True, slots=True)
class Lap:
    """One writer's part in one round: the body it wrote, whether it was told that it won, what it read after."""

    number: int
    body: bytes
    won: bool
    seen: bytes


@dataclass(frozen=True, slots=True)
class Tally:
    """What was wrong: rounds that had not exactly one winner, and stored bodies that were not the winner's."""

    double_winners: int
    wrong_bodies: int


def race(store: ObjectStore, barrier: Any, rounds: int = ROUNDS) -> list[Lap]:
    """Run one writer; `barrier` (of threading or multiprocessing) makes all writers expect the same version."""
    return [_lap(store, barrier, number) for number in range(rounds)]


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


def swaps(store: ObjectStore, barrier: Any, rounds: int) -> list[Lap]:
    """Run one writer that swaps serving.json; all read the same generation before anybody writes the next."""
    return [_swap(store, barrier, number, uuid.uuid4().hex) for number in range(rounds)]


def _swap(store: ObjectStore, barrier: Any, number: int, name: str) -> Lap:
    def promote(now: Serving) -> Serving:
        barrier.wait(STUCK_AFTER_S)
        return now.promoted(name, "0" * 64)

    try:
        won = swap_serving(store, Change("release", "racer", "a race", name), promote).to_json()
    except ReleaseRefused:
        won = b""
    barrier.wait(STUCK_AFTER_S)
    return Lap(number, won, bool(won), store.read("serving.json").body)


def in_processes(place: Place, run: Callable[[ObjectStore, Any, int], list[Lap]], rounds: int) -> list[Lap]:
    """The laps of `RACERS` processes that start from nothing and race at `place`. Raises RuntimeError when one dies."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(RACERS), context.Queue()
    writers = [context.Process(target=_one, args=(place, run, rounds, barrier, results)) for _ in range(RACERS)]
    for writer in writers:
        writer.start()
    try:
        laps = [lap for writer in writers for lap in _result(writers, results)]
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    return laps


def _one(place: Place, run: Callable[..., list[Lap]], rounds: int, barrier: Any, results: Any) -> None:
    try:
        results.put(run(place.open(), barrier, rounds))
    except BaseException as error:
        barrier.abort()  # the others need not wait for this one
        results.put(repr(error))
        raise


def _result(writers: Sequence[Any], results: Any) -> list[Lap]:
    while True:
        try:
            found = results.get(timeout=STUCK_AFTER_S)
        except queue.Empty:
            raise RuntimeError(f"no racer answered; exit codes {[one.exitcode for one in writers]}") from None
        if isinstance(found, str):
            raise RuntimeError(f"a racer failed: {found}")
        return list(found)


def tally(laps: Sequence[Lap]) -> Tally:
    """What was wrong in a race."""
    rounds = sorted({lap.number for lap in laps})
    of_rounds = [[lap for lap in laps if lap.number == number] for number in rounds]
    winners = [[lap.body for lap in of_round if lap.won] for of_round in of_rounds]
    seen = [{lap.seen for lap in of_round} for of_round in of_rounds]
    return Tally(
        sum(len(won) != 1 for won in winners),
        sum(bodies != set(won) for bodies, won in zip(seen, winners, strict=True)),
    )


def tally_swaps(laps: Sequence[Lap], store: ObjectStore) -> Tally:
    """What was wrong in a race of swaps: as `tally`, and every generation has one audit record, its winner's."""
    found = tally(laps)
    won = [Serving.from_json(lap.body) for lap in sorted(laps, key=lambda lap: lap.number) if lap.won]
    recorded = [Serving.from_json(store.read(info.key).body) for info in store.list("audit/")]
    gaps = [serving.generation for serving in won] != list(range(1, len(won) + 1))
    return Tally(found.double_winners + gaps, found.wrong_bodies + _unequal(won, recorded))


def _unequal(won: Sequence[Serving], recorded: Sequence[Serving]) -> int:
    missing = abs(len(won) - len(recorded))
    return missing + sum(one != other for one, other in zip(won, recorded, strict=False))


def assert_one_winner_each(laps: list[Lap]) -> None:
    """Every round had one winner, and everybody then read the winner's body."""
    assert len(laps) == RACERS * len({lap.number for lap in laps})
    assert tally(laps) == Tally(0, 0)
