"""One disturbed night: killed at a drawn moment, then retried or run anew until it ends, then compared."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kills.attempt import Attempt, run_attempt
from benchmarks.kills.children import Children
from benchmarks.kills.deaths import Moment
from benchmarks.kills.diary import read_diary
from benchmarks.kills.inspection import inspect
from benchmarks.kills.place import Place
from benchmarks.kills.undisturbed import CLOCK, GROUP, Night

KILLS_A_NIGHT = 3
AGAIN = 0.4  # share of follow-ups that are killed as well


@dataclass(slots=True)
class Kill:
    """One kill: what was aimed at, where the process was, and whether a retry or a new run followed."""

    aimed: str
    stage: str
    followed_by: str = "new run"


@dataclass(slots=True)
class Outcome:
    """What became of a disturbed night. `differences` are sentences; `lost` are chunks that were encoded, not sealed,
    and encoded again: the price of a kill. `embedded_twice` are chunks encoded although a sealed part held them.
    """

    night: int
    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    embedded_twice: int = 0
    lost: int = 0


class Trial:
    """Disturbs nights in `place`, which is overwritten. `folder` keeps the diaries of the night at hand."""

    def __init__(self, children: Children, place: Place, folder: Path, encoder: Mapping[str, Any]) -> None:
        self._children, self._place, self._folder, self._encoder = children, place, folder, encoder
        folder.mkdir(parents=True)

    def disturb(self, night: Night, target: str, drawn: random.Random, most: int) -> Outcome:
        """Begin the night anew, kill it at `target` and at most so many times in all, and let it end."""
        self._place.replace_by(night.beginning)
        outcome = Outcome(night.number)
        sealed = set(night.before["sealed"])
        run, encoded = 1, set[str]()
        for number in range(KILLS_A_NIGHT + 1):
            hit = number == 0 or (number < min(KILLS_A_NIGHT, most) and drawn.random() < AGAIN)
            aimed = (target if number == 0 else drawn.choice(sorted(night.targets))) if hit else None
            events, killed = self._attempt(night, f"night-{night.number}-{run}", number, aimed, drawn)
            outcome.embedded_twice += len(_encoded(events) & sealed)
            outcome.lost += len((_encoded(events) & encoded) - sealed)
            encoded |= _encoded(events)
            state = self._inspect()
            if not killed:
                outcome.differences += [*failure(events), *unequal(night.after, state)]
                return outcome
            outcome.kills.append(Kill(aimed or "", _last_stage(events)))
            outcome.differences += half_done(night, state)
            sealed = set(state["sealed"])
            if drawn.random() < 0.5:
                outcome.kills[-1].followed_by = "retry"
            else:
                run += 1
        raise RuntimeError(f"night {night.number} was killed although nothing was to kill it any more")

    def _attempt(
        self, night: Night, run_id: str, number: int, aimed: str | None, drawn: random.Random
    ) -> tuple[list[dict[str, Any]], bool]:
        diary = self._folder / f"attempt-{number}.jsonl"
        diary.unlink(missing_ok=True)
        moment, seconds = _moment(night, aimed, drawn) if aimed else (None, None)
        attempt = Attempt(self._place, run_id, self._encoder, diary, moment)
        killed = self._children.run(run_attempt, attempt, kill_after=seconds)
        return read_diary(diary), killed

    def _inspect(self) -> Mapping[str, Any]:
        return self._children.answer(inspect, self._place, self._folder / "inspected", file=self._folder / "state.json")


def _moment(night: Night, aimed: str, drawn: random.Random) -> tuple[Moment | None, float | None]:
    if aimed == CLOCK:
        return None, drawn.uniform(0, night.seconds)
    at = "group" if aimed == GROUP else "operation"
    return Moment(at, drawn.choice(night.targets[aimed]), drawn.random() < 0.5), None


def _encoded(events: list[dict[str, Any]]) -> set[str]:
    return {name for event in events if event["event"] == "encoded" for name in event["hashes"]}


def _last_stage(events: list[dict[str, Any]]) -> str:
    stages = [event["stage"] for event in events if "stage" in event]
    return stages[-1] if stages else "before its first operation"


def failure(events: list[dict[str, Any]]) -> Iterator[str]:
    last = events[-1] if events else {"event": "nothing"}
    if last["event"] != "ended":
        yield f"the run did not end: {last.get('error', last)}"
    elif last["verdict"] != "passed":
        yield f"the run ended with the verdict {last['verdict']}: {last['reason']}"


def unequal(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """In what the state after a night is not that of the undisturbed one."""
    if found["generation"] != expected["generation"]:
        yield f"generation {found['generation']}, undisturbed {expected['generation']}"
    for name in sorted({*expected["live"], *found["live"]}):
        one, other = expected["live"].get(name), found["live"].get(name)
        if one != other:
            yield f"{name}: {other}, undisturbed {one}"


def half_done(night: Night, state: Mapping[str, Any]) -> Iterator[str]:
    """After a kill the old release serves or the new one does, whole (it was read back), and nothing else."""
    if state["live"] not in (night.before["live"], night.after["live"]):
        yield "after the kill neither the release from before the night nor the one from after it is live"
