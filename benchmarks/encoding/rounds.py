"""Interleaved rounds: every system encodes the same texts, one after another, round after round."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.encoding.systems import STOCK, System


@dataclass(frozen=True, slots=True)
class Measured:
    """What one system did: tokens per second and the ratio to stock, round by round; its smallest cosine to stock."""

    name: str
    numbers: str
    tokens_per_second: list[float]
    ratios: list[float]
    cosine_min: float
    flops: list[float]  # floating-point operations a second that the model needed, without padding

    @property
    def speed(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.tokens_per_second)

    @property
    def ratio(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.ratios)


@dataclass(frozen=True, slots=True)
class Work:
    """The texts of one round, their tokens as the model reads them, and the operations that it needs for them."""

    texts: Sequence[str]
    tokens: int
    flops: float


def measured(systems: Sequence[System], works: Sequence[Work], between: Callable[[], None]) -> list[Measured]:
    """Every system on every round's texts. The order turns from round to round; `between` is called in each round."""
    seconds: dict[str, list[float]] = {system.name: [] for system in systems}
    cosines: dict[str, list[float]] = {system.name: [] for system in systems}
    for number, work in enumerate(works):
        turn = number % len(systems)
        made = {}
        for system in [*systems[turn:], *systems[:turn]]:
            made[system.name], took = system.encode(work.texts)
            seconds[system.name].append(took)
        for name, vectors in made.items():
            cosines[name].append(float(np.min(np.sum(vectors * made[STOCK], axis=1))))
        between()
        print(f"round {number + 1} of {len(works)} done", file=sys.stderr, flush=True)
    return [
        Measured(
            system.name,
            system.numbers,
            [work.tokens / took for work, took in zip(works, seconds[system.name], strict=True)],
            [first / took for first, took in zip(seconds[STOCK], seconds[system.name], strict=True)],
            min(cosines[system.name]),
            [work.flops / took for work, took in zip(works, seconds[system.name], strict=True)],
        )
        for system in systems
    ]
