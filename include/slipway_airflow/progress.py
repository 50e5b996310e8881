"""How far a stage is, in the task's log: a line now and then, with the speed and the time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_S = 5.0
log = logging.getLogger("slipway.progress")


class LoggedProgress:
    """A `slipway.progress.Progress` that logs at most one line every `EVERY_S` seconds, and one at the end.

    Each record carries `stage`, `done`, `total` and `unit` for whoever listens to the logger `slipway.progress`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._started = self._said = 0.0

    def __call__(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Log that `done` of `total` `unit`s are finished, unless something was logged just now."""
        now = self._clock()
        if stage != self._stage:
            self._stage, self._started, self._said = stage, now, now
        finished = done == total
        if now - self._said < EVERY_S and not finished:
            return
        self._said = now
        text = line(stage, done, total, unit, now - self._started)
        log.info(text, extra={"stage": stage, "done": done, "total": total, "unit": unit})


def line(stage: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    """One line for people: "embed: 2,048 of 11,200 chunks, 231 a second, 40 s left"."""
    speed = done / seconds if seconds > 0 else 0.0
    words = f"{stage}: {done:,}" + (f" of {total:,} {unit}" if total is not None else f" {unit}")
    if speed:
        words += f", {speed:,.0f} a second" if speed >= 10 else f", {speed:,.1f} a second"
        if total is not None and total > done:
            words += f", {(total - done) / speed:,.0f} s left"
    return words
