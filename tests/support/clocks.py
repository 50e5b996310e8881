"""A clock that a test moves by hand."""

from __future__ import annotations


class Clock:
    """Seconds; called as `time.monotonic` is."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds
