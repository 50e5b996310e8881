"""What a run says on standard error while it is at work: progress bars, one a stage, and what the stages log."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

_log = logging.getLogger("slipway")
# these take minutes without a bar, so all of them is shown; else warnings
_TOLD = [logging.getLogger(name) for name in ("slipway.rollout", "slipway.contract")]


class Bars:
    """A `Progress` that draws one bar for the stage at work. Use as a context manager: it shows log lines as well."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._key: tuple[str, int | None] | None = None
        self._lines = _Lines()

    def __call__(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """Show that `done` of `total` `unit`s are finished."""
        if self._bar is None or self._key != (stage, total) or done < self._bar.n:
            self.close()
            # None: no bar where standard error is no terminal, such as a cron mail
            bar: tqdm[Any] = tqdm(
                total=total,
                initial=done,  # what was done before has no part in the speed
                desc=f"{stage:<9}",
                unit=f" {unit}",
                unit_scale=unit == "tokens",  # 131k of 500k
                dynamic_ncols=True,
                mininterval=0.5,
                disable=None,
            )
            self._bar, self._key = bar, (stage, total)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the bar that is shown."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Bars:
        _log.addHandler(self._lines)
        for told in _TOLD:
            told.setLevel(logging.INFO)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
        _log.removeHandler(self._lines)
        for told in _TOLD:
            told.setLevel(logging.NOTSET)


class _Lines(logging.Handler):
    """Log records as lines between the bars: warnings, and all that is said of a shift or of a contract."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.name in {told.name for told in _TOLD}

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)
