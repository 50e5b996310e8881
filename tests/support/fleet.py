"""Readers of a shift, played by the test: each answers what serving.json says when time goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from slipway import acknowledgement
from slipway.acknowledgement import Acknowledgement, Loaded, RefusedRelease
from slipway.latencies import Latencies, bucket
from slipway.pointer import Serving, read_serving
from slipway.rollout import Pace
from tests.support.memory_store import MemoryStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Player:
    """One reader: how it answers. Latencies are in milliseconds; `refuses` gives a reason by release."""

    name: str
    queries_a_second: int = 50
    live_ms: float = 1.0
    trial_ms: float = 1.0
    error_share: float = 0.0  # of its queries on the release on trial
    refuses: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    blind: bool = False  # renews, and never loads anything new
    pid: int = 1
    answered: dict[str, Loaded] = field(default_factory=dict)

    def play(self, serving: Serving, seconds: float, now: datetime) -> Acknowledgement:
        live, trial = serving.live_release, serving.trial
        assert live is not None
        self._answer(live.release_id, self.queries_a_second * seconds, self.live_ms, 0.0, now)
        on_trial = trial.release_id if trial and not self.blind and trial.release_id not in self.refuses else None
        if on_trial and serving.shift:
            share = serving.shift.percent / 100
            self._answer(on_trial, self.queries_a_second * seconds * share, self.trial_ms, self.error_share, now)
        refused = trial.release_id if trial and trial.release_id in self.refuses else None
        return Acknowledgement(
            reader=self.name,
            host="host",
            pid=self.pid,
            at=now.isoformat(),
            every_seconds=10.0,
            generation=serving.generation if not self.blind else 1,
            live=live.release_id,
            trial=on_trial,
            percent=serving.shift.percent if on_trial and serving.shift else 0,
            loaded=tuple(self.answered.values()),
            refused=(RefusedRelease(refused, self.refuses[refused], now.isoformat()),) if refused else (),
        )

    def _answer(self, release_id: str, queries: float, each_ms: float, errors: float, now: datetime) -> None:
        before = self.answered.get(release_id, Loaded(release_id, now.isoformat()))
        count = int(queries)
        self.answered[release_id] = Loaded(
            release_id,
            before.at,
            before.queries + count,
            before.errors + int(count * errors),
            before.latencies.plus(Latencies({bucket(each_ms): count})),
        )


class Fleet:
    """Players on a store, and the time that they and a shift go by. `meanwhile` is called at each wait."""

    def __init__(self, store: MemoryStore, *players: Player, store_is_ahead: timedelta = timedelta()) -> None:
        self.store_is_ahead = store_is_ahead
        self.store, self.players, self.now = store, list(players), NOON
        self.meanwhile: Callable[[Fleet], None] = lambda fleet: None
        self.waits = 0
        store.set_clock(lambda: self.now + self.store_is_ahead)
        self.speak(0.0)

    @property
    def pace(self) -> Pace:
        return Pace(lambda: (self.now - NOON).total_seconds(), self.wait)

    def wait(self, seconds: float) -> None:
        self.waits += 1
        self.now += timedelta(seconds=seconds)
        self.meanwhile(self)
        self.speak(seconds)

    def speak(self, seconds: float) -> None:
        serving, _ = read_serving(self.store)
        for player in self.players:
            if not player.silent and serving.live_release:
                acknowledgement.publish(self.store, player.play(serving, seconds, self.now))

    def let_go(self) -> None:
        """The players hold on to what serving.json names, and to nothing else."""
        named = read_serving(self.store)[0].named
        for player in self.players:
            player.answered = {name: one for name, one in player.answered.items() if name in named}
        self.speak(0.0)

    def close(self, name: str) -> None:
        self.players = [player for player in self.players if player.name != name]
        acknowledgement.withdraw(self.store, name)
