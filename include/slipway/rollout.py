"""A gradual shift: readers give a new release a growing share of the requests, and it goes back if that goes badly.

The release is put on trial in the standby slot. Each share waits until every reader has acknowledged it, and is then
watched. The release is taken back, and withdrawn, when a reader refuses it or falls silent, or when its errors or its
latency pass the limits. What readers say is in slipway.acknowledgement; what is made of it is in `judged`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from slipway import layout
from slipway.acknowledgement import Acknowledgement, Heard, Loaded, heard, store_time
from slipway.answers import Answers
from slipway.config.collection import Release
from slipway.errors import ReleaseRefused, SlipwayError, StateUnknown, StoreUnreachable, TransientError
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.storage.base import ObjectStore

POLL_SECONDS = 2.0
SHIFT, TAKE_BACK = "shift", "take back"
WHO = "slipway"  # who takes a release back when no person does

_log = logging.getLogger("slipway.rollout")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offer:
    """The release to shift to: its id, the SHA-256 of its manifest, and the candidate that it was made of."""

    release_id: str
    manifest_sha256: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Step:
    """One share of a shift: how many readers acknowledged it, and what both releases answered in the shift so far.

    p95 are in milliseconds, None without any query.
    """

    percent: int
    readers: int
    queries: int
    errors: int
    p95_ms: float | None
    live_p95_ms: float | None

    @property
    def line(self) -> str:
        """The step for people, in a line."""
        p95, live = (f"{value:.3g} ms" if value else "unknown" for value in (self.p95_ms, self.live_p95_ms))
        answered = f"{self.queries:,} queries, {self.errors:,} failed, p95 {p95}, that of the live release {live}"
        return f"{self.percent} % of the requests: {self.readers} reader{'s' * (self.readers != 1)}, {answered}"


@dataclass(frozen=True, slots=True)
class Pace:
    """The time that a shift goes by: `seconds` of a clock that nobody sets, and `wait` for some of them."""

    seconds: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep


def end_interrupted(store: ObjectStore, run_id: str) -> None:
    """End a shift that another run left behind when it died. Its release is not withdrawn, as nobody judged it.

    For a run that has just begun and holds the collection's lease, so that no other run can be at work on the shift.
    """
    now, _ = read_serving(store)
    if now.shift and now.shift.run_id != run_id:
        _end(store, now.shift.run_id, run_id, "the run that shifted to it ended before the shift did")


def end_left_behind(store: ObjectStore, run_id: str) -> None:
    """End a shift of this run, which is over. Its release is not withdrawn, as nobody judged it."""
    _end(store, run_id, run_id, "its run ended before the shift did")


def _end(store: ObjectStore, shifter: str | None, run_id: str, why: str) -> None:
    now, _ = read_serving(store)
    if now.shift is None or now.trial is None or now.shift.run_id != shifter:
        return

    def make(current: Serving) -> Serving:
        check_same(current, now)
        return current.without_trial()

    swap_serving(store, Change(TAKE_BACK, WHO, why, run_id), make)
    _log.warning("%s: %s; all requests go to the live release again", now.trial.release_id, why)


class Rollout:
    """One release's shift, by a run that holds the lease. `change` says who shifts, why, and from which run."""

    def __init__(
        self, store: ObjectStore, settings: Release, offer: Offer, change: Change, pace: Pace | None = None
    ) -> None:
        self._store, self._settings, self._offer = store, settings, offer
        self._change = replace(change, action=SHIFT)
        self._pace = pace or Pace()
        self._begun_at, self._begun_seconds = datetime.min, 0.0

    def shift(self, begun: Serving) -> tuple[Serving, tuple[Step, ...]]:
        """Move through the shares, from the one that `begun` is at if a former attempt came so far.

        Returns the state after the last share, with the release still on trial, and the steps; no steps and `begun`
        when no reader has acknowledged anything, so that there is nobody to wait for. Raises `ReleaseRefused` when the
        release was taken back, or somebody else changed what serves meanwhile. A store that does not answer is waited
        for; whatever else ends the shift, the trial ends with it.
        """
        self._begun_at, self._begun_seconds = store_time(self._store), self._pace.seconds()
        said, unreadable = heard(self._store)
        for key in unreadable:
            _log.warning("%s cannot be read, so that reader is not waited for", key)
        names = self._registered(said, begun)
        if not names:
            _log.info("no reader follows this collection, so the shift has nobody to wait for: it is made at once")
            return begun, ()
        try:
            return self._through_shares(begun, names, Answers(said))
        except _Bad as bad:
            raise self._taken_back(bad) from None
        except (Exception, KeyboardInterrupt, SystemExit):
            self.abandon()
            raise

    def _through_shares(self, begun: Serving, names: set[str], answers: Answers) -> tuple[Serving, tuple[Step, ...]]:
        reached = self._reached(begun)
        steps, now = [], begun
        for percent in self._settings.shift:
            if percent < reached:
                continue
            if percent > reached:
                now = self._offered(now, percent)
            _log.info("%d %% of the requests: waiting until the readers have loaded it (%d)", percent, len(names))
            try:
                steps.append(self._watched(now, percent, names, answers))
            except _Bad as bad:
                raise _Bad(f"at {percent} % of the requests {bad}", now) from None
            _log.info("%s", steps[-1].line)
        return now, tuple(steps)

    def _reached(self, begun: Serving) -> int:
        """The share that a former attempt has come to with this release."""
        if begun.shift is None or begun.trial is None or begun.trial.release_id != self._offer.release_id:
            return 0
        return begun.shift.percent

    def _registered(self, said: Sequence[Heard], begun: Serving) -> set[str]:
        """The readers to wait for: those alive, and those that a former attempt gave the release to, dead or alive."""
        given = self._reached(begun) > 0
        return {
            one.said.reader
            for one in said
            if not self._is_silent(one) or (given and self._offer.release_id in _named(one.said))
        }

    def _is_silent(self, one: Heard) -> bool:
        """By the store's clock, moved on by one that nobody sets: neither this machine's time nor a reader's counts."""
        return one.is_silent(self._begun_at + timedelta(seconds=self._pace.seconds() - self._begun_seconds))

    def _offered(self, before: Serving, percent: int) -> Serving:
        offer = self._offer

        def make(now: Serving) -> Serving:
            check_same(now, before)
            return now.offered(offer.release_id, offer.manifest_sha256, percent, offer.candidate, self._change.run_id)

        return self._patiently(lambda: swap_serving(self._store, self._change, make))

    def _watched(self, now: Serving, percent: int, readers: set[str], answers: Answers) -> Step:
        """Wait until all readers have acknowledged this share, then watch it. Raises `_Bad`."""
        settings = self._settings
        for said in self._polls(now, settings.wait_minutes):
            waiting = self._waited_for(said, readers, now)
            answers.note(said.found)
            if not waiting:
                break
        else:
            raise _Bad(f"{', '.join(waiting)} did not acknowledge it within {settings.wait_minutes:g} minutes")
        _log.info("%d %% of the requests: loaded, and watched for %g minutes", percent, settings.step_minutes)
        for said in self._polls(now, settings.step_minutes):
            self._waited_for(said, readers, now)  # or it is bad
            answers.note(said.found)
            step = self._measured(percent, said, now, answers)
            if why := judged(step, settings):
                raise _Bad(why)
        if not step.readers:
            _log.warning("every reader has closed meanwhile, so nobody tells how the release does")
        return step

    def _waited_for(self, said: _Said, readers: set[str], now: Serving) -> list[str]:
        """The names of the readers that have not acknowledged yet. Adds to `readers` those that have come since."""
        readers |= {one.said.reader for one in said.found if not self._is_silent(one)}
        return [name for name in sorted(readers) if not self._has_acknowledged(name, said, now)]

    def _polls(self, now: Serving, minutes: float) -> Iterator[_Said]:
        """What readers say, again and again for so many minutes; once at least."""
        until = self._pace.seconds() + minutes * 60
        while True:
            yield self._patiently(lambda: self._poll(now))
            if self._pace.seconds() >= until:
                return
            self._pace.wait(POLL_SECONDS)

    def _poll(self, now: Serving) -> _Said:
        check_same(read_serving(self._store)[0], now)
        return _Said(*heard(self._store))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; asked again for `wait_minutes` while the store does not answer."""
        until = self._pace.seconds() + self._settings.wait_minutes * 60
        while True:
            try:
                return ask()
            except TransientError as error:
                if self._pace.seconds() >= until:
                    raise
                _log.warning("tried again in %g seconds: %s", POLL_SECONDS, error)
                self._pace.wait(POLL_SECONDS)

    def _has_acknowledged(self, name: str, said: _Said, now: Serving) -> bool:
        """Whether a reader has loaded what this state names, or has closed. Raises `_Bad` when it will not."""
        found = next((one for one in said.found if one.said.reader == name), None)
        if found is None:
            if layout.reader(name) in said.unreadable:
                raise _Bad(f"the acknowledgement of reader {name} cannot be read any more")
            return True  # it has closed in good order
        if why := found.said.why_refused(self._offer.release_id):
            raise _Bad(f"reader {name} refused it: {why}")
        if self._is_silent(found):
            raise _Bad(f"reader {name} has fallen silent; its last sign of life is of {found.heard_at:%H:%M:%S} UTC")
        return found.said.generation >= now.generation and found.said.of(self._offer.release_id) is not None

    def _measured(self, percent: int, said: _Said, now: Serving, answers: Answers) -> Step:
        trial, live = answers.total(self._offer.release_id), now.live_release
        in_shift = answers.since_the_first(live.release_id) if live else Loaded("", "")
        before = answers.total(live.release_id) if live else in_shift
        compared = in_shift if in_shift.latencies.total >= self._settings.min_queries else before
        acknowledged = sum(one.said.of(self._offer.release_id) is not None for one in said.found)
        return Step(
            percent,
            acknowledged,
            trial.queries,
            trial.errors,
            trial.latencies.quantile_ms(0.95),
            compared.latencies.quantile_ms(0.95),
        )

    def _taken_back(self, bad: _Bad) -> ReleaseRefused:
        """Take the release back, however often the store has to be asked; the error that says so."""
        before = bad.state or read_serving(self._store)[0]

        def take_back() -> None:
            if self._is_taken_back():
                return  # a swap whose answer was lost
            try:
                swap_serving(self._store, replace(self._change, action=TAKE_BACK, who=WHO, why=str(bad)), make)
            except StateUnknown as error:
                raise StoreUnreachable(str(error)) from error  # look again, then decide

        def make(current: Serving) -> Serving:
            check_same(current, before)
            return current.taken_back(str(bad))

        self._patiently(take_back)
        return ReleaseRefused(
            f"release {self._offer.release_id} was taken back: {bad}. All requests go to the live release again; what "
            f"was taken back is not released again unless something changes, or with slipway rollback --to"
        )

    def _is_taken_back(self) -> bool:
        last = read_serving(self._store)[0].changed
        return last is not None and (last.action, last.run_id) == (TAKE_BACK, self._change.run_id)

    def abandon(self) -> None:
        """End the trial, as nobody will watch it; where that fails, too, the run's retry or the next run ends it."""
        try:
            end_left_behind(self._store, self._change.run_id or "")
        except SlipwayError as error:
            _log.warning("the trial goes on until this run is tried again or another begins: %s", error)


@dataclass(frozen=True, slots=True)
class _Said:
    """What readers say at one moment, and the keys of acknowledgements that cannot be read."""

    found: list[Heard]
    unreadable: list[str]


class _Bad(Exception):
    """A shift that must be taken back; the text says why. `state` is what the shift had come to, where known."""

    def __init__(self, why: str, state: Serving | None = None) -> None:
        super().__init__(why)
        self.state = state


def check_same(now: Serving, before: Serving) -> None:
    """Raise `ReleaseRefused` unless what serves is still as this shift left it. Retention's marks change nothing."""
    if (now.live, now.slots, now.shift) != (before.live, before.slots, before.shift):
        last = now.changed
        by = f" by {last.who} ({last.action}: {last.why})" if last else ""
        raise ReleaseRefused(
            f"serving.json was changed{by} while the shift was under way: generation {now.generation} instead of "
            f"{before.generation}, so the shift ends here. Look at what is live (slipway releases)"
        )


def _named(said: Acknowledgement) -> set[str]:
    """Every release that a reader speaks of."""
    names = {said.live, said.trial}
    names |= {one.release_id for one in said.loaded} | {one.release_id for one in said.refused}
    return {name for name in names if name}


def judged(step: Step, settings: Release) -> str | None:
    """Why what was measured is too bad to go on; None when it is not, or when too little was measured to say so.

    Errors are judged from the first query on, as if there had been at least `min_queries`: one failed query among five
    says little, three say enough.
    """
    allowed = settings.max_error_share * max(step.queries, settings.min_queries)
    if step.errors > allowed:
        return (
            f"{step.errors:,} of its {step.queries:,} queries failed; max_error_share {settings.max_error_share:g} "
            f"allows {allowed:g}"
        )
    if step.queries < settings.min_queries or step.p95_ms is None or not step.live_p95_ms:
        return None
    ratio = step.p95_ms / step.live_p95_ms
    if ratio > settings.max_latency_ratio:
        return (
            f"its p95 latency was {step.p95_ms:.3g} ms, {ratio:.3g} times the {step.live_p95_ms:.3g} ms of the live "
            f"release; max_latency_ratio allows {settings.max_latency_ratio:g}"
        )
    return None
