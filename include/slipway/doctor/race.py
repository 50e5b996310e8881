"""A race of processes for the same conditional writes, and what was wrong in it.

A store that looks at a write's condition and then writes, with nothing held in between, passes every test of one
writer and loses updates under two. Only a race shows that. In each round all racers first try to create one object, and
then to replace it; each time, exactly one may be told that it won, and everybody must read its body afterwards.
"""

from __future__ import annotations

import multiprocessing
import queue
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import BrokenBarrierError
from typing import Any

from slipway.errors import ConflictError, ObjectMissing, OperationError, SlipwayError
from slipway.storage.base import ObjectStore

RACERS = 8
STUCK_AFTER_S = 120
WON, LOST = "won", "lost"

Opened = Callable[[], ObjectStore]
"""Opens the store in a racer's own process; it must be picklable."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One racer's part in one heat: the body it wrote, what it was told (won, lost, an error), what it read then."""

    heat: str
    body: bytes
    told: str
    seen: bytes | None


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong in one heat, in words."""

    heat: str
    what: str


def race(opened: Opened, rounds: int, racers: int = RACERS) -> list[Lap]:
    """The laps of all racers, each in a process of its own. Raises `OperationError` when one failed or got stuck."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(racers), context.Queue()
    processes = [context.Process(target=_racer, args=(opened, barrier, rounds, results)) for _ in range(racers)]
    for process in processes:
        process.start()
    try:
        return _laps_of([_result(processes, results) for _ in processes])
    finally:
        for process in processes:
            process.kill()
            process.join()


def _racer(opened: Opened, barrier: Any, rounds: int, results: Any) -> None:
    try:
        results.put(list(_laps(opened(), barrier, rounds)))
    except BaseException as error:
        barrier.abort()  # the others need not wait for this one
        results.put(f"{type(error).__name__}: {error}" if isinstance(error, SlipwayError) else type(error).__name__)


def _laps(store: ObjectStore, barrier: Any, rounds: int) -> Iterator[Lap]:
    for number in range(1, rounds + 1):
        key = f"race/{number:04}"
        yield _lap(store, barrier, f"round {number}, create", key, None)
        yield _lap(store, barrier, f"round {number}, replace", key, _version(store, key))


def _lap(store: ObjectStore, barrier: Any, heat: str, key: str, expected: str | None) -> Lap:
    body = secrets.token_bytes(16)
    barrier.wait(STUCK_AFTER_S)
    try:
        store.put_if(key, body, expected)
        told = WON
    except ConflictError:
        told = LOST
    except OperationError as error:
        told = f"{type(error).__name__}: {error}"
    barrier.wait(STUCK_AFTER_S)
    lap = Lap(heat, body, told, _body(store, key))
    barrier.wait(STUCK_AFTER_S)  # nobody replaces it before everybody has read it
    return lap


def _version(store: ObjectStore, key: str) -> str | None:
    try:
        return store.read(key).version
    except ObjectMissing:
        return None  # nobody created it, which the heat before tells


def _body(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.read(key).body
    except ObjectMissing:
        return None


def _result(processes: Sequence[Any], results: Any) -> list[Lap] | str:
    """One racer's laps, or what it failed with."""
    try:
        found: list[Lap] | str = results.get(timeout=STUCK_AFTER_S)
    except queue.Empty:
        raise OperationError(
            f"a racer did not answer in {STUCK_AFTER_S} s; exit codes {[one.exitcode for one in processes]}"
        ) from None
    return found


def _laps_of(found: Sequence[list[Lap] | str]) -> list[Lap]:
    failures = [one for one in found if isinstance(one, str)]
    if failures:
        causes = [one for one in failures if one != BrokenBarrierError.__name__]  # which the others see then
        raise OperationError(f"a racer failed: {(causes or failures)[0]}")
    return [lap for laps in found if not isinstance(laps, str) for lap in laps]


def faults(laps: Sequence[Lap]) -> list[Fault]:
    """What was wrong, heat by heat: not one winner, another body kept than the winner's, or an error for an answer."""
    heats = {lap.heat: [other for other in laps if other.heat == lap.heat] for lap in laps}
    return [Fault(heat, what) for heat, of_heat in heats.items() for what in _wrong(of_heat)]


def _wrong(laps: Sequence[Lap]) -> Iterator[str]:
    winners = [lap.body for lap in laps if lap.told == WON]
    errors = sorted({lap.told for lap in laps if lap.told not in (WON, LOST)})
    if errors:
        yield f"the store answered a writer with {errors[0]}"
    if len(winners) > 1 or not (winners or errors):
        yield f"{len(winners)} of {len(laps)} writers were told that they won"
    if len(winners) == 1 and {lap.seen for lap in laps} != set(winners):
        yield "what was read afterwards is not the winner's"
