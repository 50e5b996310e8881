"""How stages tell how far they are, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work is done."""

    def __call__(self, stage: str, done: int, total: int | None, unit: str) -> None:
        """`done` of `total` (None: unknown) `unit`s of `stage` are finished."""
        ...


def no_progress(stage: str, done: int, total: int | None, unit: str) -> None:
    """Tell nobody."""
