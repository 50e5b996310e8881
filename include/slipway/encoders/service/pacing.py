"""When the next request to a service may be sent: its rate limits, its wishes, and pauses before another attempt."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Protocol

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
LONGEST_WISH_S = 300.0  # a service that wants to be left alone for longer has failed, for this task


class Clock(Protocol):
    """Time, and waiting."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def wait(self, seconds: float, stop: Event) -> None:
        """Return after that time, or as soon as `stop` is set."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def wait(self, seconds: float, stop: Event) -> None:
        """Return after that time, or as soon as `stop` is set."""
        stop.wait(seconds)


@dataclass(slots=True)
class Rate:
    """A token bucket that holds a single request: requests are spaced so that no minute passes the bound.

    `per_minute` None sets no bound. In any minute at most `per_minute` and the amount of one request begin.
    """

    per_minute: int | None
    _free: float = 0.0

    def reserve(self, amount: int, now: float) -> float:
        """Seconds from `now` until a request of that amount may begin; the time after it is spoken for."""
        if self.per_minute is None:
            return 0.0
        begins = max(now, self._free)
        self._free = begins + amount * 60 / self.per_minute
        return begins - now


@dataclass(slots=True)
class Pacer:
    """Holds the requests of all threads to both bounds, and back while the service wants none."""

    requests: Rate
    tokens: Rate
    clock: Clock
    _quiet_until: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def admit(self, tokens: int, stop: Event) -> None:
        """Return when a request of so many tokens may be sent, or when `stop` is set."""
        with self._lock:
            now = self.clock.now()
            seconds = max(self.requests.reserve(1, now), self.tokens.reserve(tokens, now), self._quiet_until - now)
        if seconds > 0:
            self.clock.wait(seconds, stop)

    def quieten(self, seconds: float) -> None:
        """No request of any thread begins for so long."""
        with self._lock:
            self._quiet_until = max(self._quiet_until, self.clock.now() + seconds)


def pause(attempt: int, drawn: random.Random) -> float:
    """Seconds before the attempt after `attempt` (from 0): exponential backoff with full jitter.

    Uniform between 0 and `FIRST_PAUSE_S` doubled with every attempt, at most `LONGEST_PAUSE_S`, so that clients that
    failed together do not come back together (M. Brooker, "Exponential Backoff and Jitter", 2015).
    """
    return drawn.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**attempt))


def wish(retry_after: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 where it is missing or says neither."""
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
