"""How far a stage is, in the task's log: a line now and then, with the speed and the time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_S = 10.0
log = logging.getLogger("slipway.progress")


class LoggedProgress:
    """A `slipway.progress.Progress` that logs at most one line every `EVERY_S` seconds, and one at the end.

    Each record carries `stage`, `done`, `total` and `unit` for whoever listens to the logger `slipway.progress`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._first = 0  # done at the first call: what came before it has no time to be divided by
        self._started = self._said = 0.0

    def __call__(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Log that `done` of `total` `unit`s are finished, unless something was logged just now."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._first, self._started, self._said = stage, done, now, now
        elif now - self._said >= EVERY_S and done != total:
            self._said = now
        elif done != total:
            return
        seconds = now - self._started
        speed = (done - self._first) / seconds if seconds > 1 else 0.0
        text = line(stage, done, total, unit, speed)
        log.info(text, extra={"stage": stage, "done": done, "total": total, "unit": unit})


def line(stage: str, done: int, total: int | None, unit: str, speed: float) -> str:
    """One line for people: "embed: 131,072 of 500,000 tokens, 5,300 a second, 70 s left"; `speed` 0 is not known."""
    words = f"{stage}: {done:,}" + (f" of {total:,} {unit}" if total is not None else f" {unit}")
    if speed > 0:
        words += f", {speed:,.0f} a second" if speed >= 10 else f", {speed:,.2g} a second"
        if total is not None and total > done:
            words += f", {_span((total - done) / speed)} left"
    return words


def _span(seconds: float) -> str:
    """90 s, 25 min, 3 h 20 min"""
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
