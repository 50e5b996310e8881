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


def within(progress: Progress, before: int, whole: int) -> Progress:
    """The progress of a part of some work, told as that of the `whole`: `before` of its units came before the part."""

    def told(stage: str, done: int, total: int | None, unit: str) -> None:
        progress(stage, before + done, whole, unit)

    return told
