"""One disturbed night, or the maintenance before it: killed at a drawn moment until it ends, then compared."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kills.attempt import MAINTENANCE, Attempt, run_attempt
from benchmarks.kills.children import Children
from benchmarks.kills.deaths import Moment
from benchmarks.kills.diary import read_diary
from benchmarks.kills.inspection import inspect
from benchmarks.kills.place import Place
from benchmarks.kills.undisturbed import CLOCK, GROUP, Night

KILLS_A_NIGHT = 3
AGAIN = 0.4  # share of follow-ups that are killed as well
RETRY, NEW, BOTH = "retry", "new run", "new run, then retry"  # the last: of the killed run, when a new one has ended
WAYS = (RETRY, NEW, BOTH)


@dataclass(slots=True)
class Kill:
    """One kill: what was aimed at, where the process was, and which of `WAYS` followed."""

    aimed: str
    stage: str
    followed_by: str = RETRY


@dataclass(slots=True)
class Outcome:
    """What became of a disturbed night. `differences` are sentences; `lost` are chunks that were encoded, not sealed,
    and encoded again: the price of a kill. `embedded_twice` are chunks encoded although a sealed part held them.
    """

    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    embedded_twice: int = 0
    lost: int = 0


@dataclass(slots=True)
class _Course:
    """A disturbed night on its way: its last attempt's events, the state that this left, and all chunks encoded yet."""

    night: Night
    drawn: random.Random
    most: int
    outcome: Outcome
    state: Mapping[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    encoded: set[str] = field(default_factory=set)

    def aim_again(self, targets: set[str]) -> str | None:
        """One of the targets, or None: the next attempt is left alone."""
        left = min(KILLS_A_NIGHT, self.most) - len(self.outcome.kills)
        return self.drawn.choice(sorted(targets)) if left > 0 and self.drawn.random() < AGAIN else None

    def differs(self, differences: Iterator[str], when: str = "") -> None:
        """Keep what differs."""
        self.outcome.differences += [when + difference for difference in differences]


class Trial:
    """Disturbs nights in `place`, which is overwritten. `folder` keeps the diaries of the night at hand."""

    def __init__(self, children: Children, place: Place, folder: Path, encoder: Mapping[str, Any]) -> None:
        self._children, self._place, self._folder, self._encoder = children, place, folder, encoder
        folder.mkdir(parents=True)

    def disturb(self, night: Night, target: str, drawn: random.Random, most: int) -> Outcome:
        """Begin the night anew, kill it at `target` and at most so many times in all, and let it end."""
        self._place.replace_by(night.beginning)
        course = _Course(night, drawn, most, Outcome(), night.before)
        if target == MAINTENANCE:
            self._maintain(course)
            self._run(course, course.aim_again(set(night.targets) - {MAINTENANCE}))
        else:
            self._run(course, target)
        return course.outcome

    def _maintain(self, course: _Course) -> None:
        """Maintain the store that the night finds, again after each kill."""
        aimed: str | None = MAINTENANCE
        while self._is_killed(course, MAINTENANCE, aimed):
            aimed = course.aim_again({MAINTENANCE})
        course.differs(unfinished(course.events), "maintenance: ")
        course.differs(unmaintained(course.night, course.state), "after the maintenance: ")

    def _run(self, course: _Course, aimed: str | None) -> None:
        """Run the night, after each kill in one of `WAYS`. When it has ended, retries of old runs change nothing."""
        night, old = course.night, list[str]()
        run = f"night-{night.number}-1"
        while self._is_killed(course, run, aimed):
            kill = course.outcome.kills[-1]
            kill.followed_by = course.drawn.choice(WAYS)
            if kill.followed_by == BOTH:
                old.append(run)
            if kill.followed_by != RETRY:
                run = f"night-{night.number}-{len(course.outcome.kills) + 1}"
            aimed = course.aim_again(set(night.targets) - {MAINTENANCE})
        course.differs(failure(course.events))
        course.differs(unequal(night.after, course.state))
        for run in old:
            self._is_killed(course, run, None)
            course.differs(replacing(course.events), f"the old run {run}: ")
            course.differs(unequal(night.after, course.state), f"after the old run {run}: ")

    def _is_killed(self, course: _Course, run_id: str, aimed: str | None) -> bool:
        """Make one attempt and look at what it left; whether it was killed."""
        night, outcome = course.night, course.outcome
        diary = self._folder / "attempt.jsonl"
        diary.unlink(missing_ok=True)
        moment, seconds = _moment(night, aimed, course.drawn) if aimed else (None, None)
        attempt = Attempt(self._place, run_id, self._encoder, night.spec, diary, moment)
        killed = self._children.run(run_attempt, attempt, kill_after=seconds)
        course.events = read_diary(diary)
        encoded, sealed = _encoded(course.events), set(course.state["sealed"])
        outcome.embedded_twice += len(encoded & sealed)
        outcome.lost += len((encoded & course.encoded) - sealed)
        course.encoded |= encoded
        course.state = self._inspect()
        if killed and aimed is None:
            raise RuntimeError(f"run {run_id} was killed although nothing was to kill it any more")
        if killed:
            outcome.kills.append(Kill(aimed or "", night.named(_last_stage(course.events))))
            course.differs(half_done(night, course.state))
        return killed

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


def unfinished(events: list[dict[str, Any]]) -> Iterator[str]:
    last = events[-1] if events else {"event": "nothing"}
    if last["event"] != "ended":
        yield f"the run did not end: {last.get('error', last)}"


def failure(events: list[dict[str, Any]]) -> Iterator[str]:
    """Why a night did not end as it was to end."""
    yield from unfinished(events)
    last = events[-1] if events else {}
    if last.get("event") == "ended" and last["verdict"] != "passed":
        yield f"the run ended with the verdict {last['verdict']}: {last['reason']}"


def replacing(events: list[dict[str, Any]]) -> Iterator[str]:
    """Why an old run did not end as it was to, after a newer one: refused as stale, or with nothing to change."""
    if not events or events[-1].get("kind") != "ReleaseRefused":
        yield from failure(events)


def unmaintained(night: Night, state: Mapping[str, Any]) -> Iterator[str]:
    """A maintenance leaves what is live as it was, and the vectors that one that nobody disturbs leaves."""
    yield from unequal(night.before, state)
    undisturbed = set(night.maintenance.after["sealed"]) if night.maintenance else set()
    if missing := undisturbed - set(state["sealed"]):
        yield f"{len(missing)} vectors are gone that an undisturbed maintenance keeps"
    if more := set(state["sealed"]) - undisturbed:
        yield f"{len(more)} vectors are there that an undisturbed maintenance removes"


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
