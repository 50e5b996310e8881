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
from datetime import UTC, datetime, timedelta

from slipway.acknowledgement import Heard, Loaded, heard, store_time
from slipway.config.collection import Release
from slipway.errors import ReleaseRefused
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.storage.base import ObjectStore

POLL_SECONDS = 2.0
SHIFT, TAKE_BACK = "shift", "take back"
WHO = "slipway"  # who takes a release back when no person does

_log = logging.getLogger("slipway.rollout")


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
    """The time that a shift goes by: `now` in UTC, and `wait` for some seconds."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    wait: Callable[[float], None] = time.sleep


def end_interrupted(store: ObjectStore, run_id: str) -> None:
    """End a shift that another run left behind when it died. Its release is not withdrawn, as nobody judged it.

    For a run that has just begun and holds the collection's lease, so that no other run can be at work on the shift.
    """
    now, _ = read_serving(store)
    if now.trial is None or (now.changed and now.changed.run_id == run_id):
        return
    why = f"the run that shifted to {now.trial.release_id} ended before the shift did"
    swap_serving(store, Change(TAKE_BACK, WHO, why, run_id), Serving.without_trial)
    _log.warning("%s: all requests go to the live release again", why)


class Rollout:
    """One release's shift, by a run that holds the lease. `change` says who shifts, why, and from which run."""

    def __init__(
        self, store: ObjectStore, settings: Release, offer: Offer, change: Change, pace: Pace | None = None
    ) -> None:
        self._store, self._settings, self._offer = store, settings, offer
        self._change = replace(change, action=SHIFT)
        self._pace = pace or Pace()
        self._store_is_ahead = timedelta()

    def shift(self, begun: Serving) -> tuple[Serving, tuple[Step, ...]]:
        """Move through the shares, from the one that `begun` is at if a former attempt came so far.

        Returns the state after the last share, with the release still on trial, and the steps; no steps and `begun`
        when no reader has acknowledged anything, so that there is nobody to wait for. Raises `ReleaseRefused` when the
        release was taken back, or somebody else changed serving.json meanwhile.
        """
        self._store_is_ahead = store_time(self._store) - self._pace.now()
        readers = self._registered()
        if not readers:
            _log.info("no reader follows this collection, so the shift has nobody to wait for: it is made at once")
            return begun, ()
        live_before = _answered(readers, _live(begun))
        names = {one.said.reader for one in readers}
        reached = self._reached(begun)
        steps, now = [], begun
        for percent in self._settings.shift:
            if percent < reached:
                continue
            if percent > reached:
                now = self._offered(now, percent)
            _log.info("%d %% of the requests: waiting until the readers have loaded it (%d)", percent, len(names))
            try:
                steps.append(self._watched(now, percent, names, live_before))
            except _Bad as bad:
                raise self._taken_back(now, percent, str(bad)) from None
            _log.info("%s", steps[-1].line)
        return now, tuple(steps)

    def _reached(self, begun: Serving) -> int:
        """The share that a former attempt has come to with this release."""
        if begun.shift is None or begun.trial is None or begun.trial.release_id != self._offer.release_id:
            return 0
        return begun.shift.percent

    def _registered(self) -> list[Heard]:
        found, unreadable = heard(self._store)
        for key in unreadable:
            _log.warning("%s cannot be read, so that reader is not waited for", key)
        return [one for one in found if not self._is_silent(one)]

    def _is_silent(self, one: Heard) -> bool:
        return one.is_silent(self._pace.now() + self._store_is_ahead)

    def _offered(self, before: Serving, percent: int) -> Serving:
        offer = self._offer

        def make(now: Serving) -> Serving:
            check_same(now, before)
            return now.offered(offer.release_id, offer.manifest_sha256, percent, offer.candidate)

        return swap_serving(self._store, self._change, make)

    def _watched(self, now: Serving, percent: int, readers: set[str], live_before: Loaded) -> Step:
        """Wait until all readers have acknowledged this share, then watch it. Raises `_Bad`."""
        settings = self._settings
        for said in self._polls(now, settings.wait_minutes):
            waiting = self._waited_for(said, readers, now)
            if not waiting:
                break
        else:
            raise _Bad(f"{', '.join(waiting)} did not acknowledge it within {settings.wait_minutes:g} minutes")
        for said in self._polls(now, settings.step_minutes):
            self._waited_for(said, readers, now)  # or it is bad
            step = self._measured(percent, said, now, live_before)
            if why := judged(step, settings):
                raise _Bad(why)
        return step

    def _waited_for(self, said: Sequence[Heard], readers: set[str], now: Serving) -> list[str]:
        """The names of the readers that have not acknowledged yet. Adds to `readers` those that have come since."""
        readers |= {one.said.reader for one in said if not self._is_silent(one)}
        return [name for name in sorted(readers) if not self._has_acknowledged(name, said, now)]

    def _polls(self, now: Serving, minutes: float) -> Iterator[list[Heard]]:
        """What readers say, again and again for so many minutes; once at least."""
        until = self._pace.now() + timedelta(minutes=minutes)
        while True:
            check_same(read_serving(self._store)[0], now)
            yield heard(self._store)[0]
            if self._pace.now() >= until:
                return
            self._pace.wait(POLL_SECONDS)

    def _has_acknowledged(self, name: str, said: Sequence[Heard], now: Serving) -> bool:
        """Whether a reader has loaded what this state names, or has closed. Raises `_Bad` when it will not."""
        found = next((one for one in said if one.said.reader == name), None)
        if found is None:
            return True  # it has closed in good order
        if why := found.said.why_refused(self._offer.release_id):
            raise _Bad(f"reader {name} refused it: {why}")
        if self._is_silent(found):
            raise _Bad(f"reader {name} has fallen silent; its last sign of life is of {found.heard_at:%H:%M:%S} UTC")
        return found.said.generation >= now.generation and found.said.of(self._offer.release_id) is not None

    def _measured(self, percent: int, said: Sequence[Heard], now: Serving, live_before: Loaded) -> Step:
        trial, live = _answered(said, self._offer.release_id), _answered(said, _live(now))
        in_shift = live.latencies.since(live_before.latencies)
        compared = in_shift if in_shift.total >= self._settings.min_queries else live.latencies
        acknowledged = sum(one.said.of(self._offer.release_id) is not None for one in said)
        return Step(
            percent,
            acknowledged,
            trial.queries,
            trial.errors,
            trial.latencies.quantile_ms(0.95),
            compared.quantile_ms(0.95),
        )

    def _taken_back(self, now: Serving, percent: int, bad: str) -> ReleaseRefused:
        """Take the release back; the error that says so."""
        why = f"at {percent} % of the requests {bad}"

        def make(current: Serving) -> Serving:
            check_same(current, now)
            return current.taken_back(why)

        swap_serving(self._store, replace(self._change, action=TAKE_BACK, who=WHO, why=why), make)
        return ReleaseRefused(
            f"release {self._offer.release_id} was taken back: {why}. All requests go to the live release again; what "
            f"was taken back is not released again unless something changes, or with slipway rollback --to"
        )


class _Bad(Exception):
    """A shift that must be taken back; the text says why."""


def check_same(now: Serving, before: Serving) -> None:
    """Raise `ReleaseRefused` unless serving.json is still as this shift left it."""
    if now.generation != before.generation:
        last = now.changed
        by = f" by {last.who} ({last.action}: {last.why})" if last else ""
        raise ReleaseRefused(
            f"serving.json was changed{by} while the shift was under way: generation {now.generation} instead of "
            f"{before.generation}, so the shift ends here. Look at what is live (slipway releases)"
        )


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


def _answered(said: Sequence[Heard], release_id: str) -> Loaded:
    """What all readers together answered with a release."""
    total = Loaded(release_id, "")
    for one in said:
        if found := one.said.of(release_id):
            total = Loaded(
                release_id,
                "",
                total.queries + found.queries,
                total.errors + found.errors,
                total.latencies.plus(found.latencies),
            )
    return total


def _live(serving: Serving) -> str:
    return serving.live_release.release_id if serving.live_release else ""
