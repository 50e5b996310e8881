"""Latencies as a histogram that adds and subtracts: what readers publish, and what a shift is judged by.

Bucket b counts the times from `2**(b / 4)` up to `2**((b + 1) / 4)` microseconds, so a quantile is exact to 19 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

STEPS = 4  # buckets a doubling
BUCKETS = 192  # the last one begins at three thousand days
_MICROSECOND_MS = 1e-3


@dataclass(frozen=True, slots=True)
class Latencies:
    """How often a search took how long: `counts` by bucket. Immutable; those that collect keep a dict of their own."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many were measured."""
        return sum(self.counts.values())

    def quantile_ms(self, share: float) -> float | None:
        """The time (ms) that `share` of the searches stayed within: its bucket's geometric middle; None without any."""
        wanted, seen = share * self.total, 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if self.counts[number] and seen >= wanted:
                return float(2 ** ((number + 0.5) / STEPS) * _MICROSECOND_MS)
        return None

    def plus(self, other: Latencies) -> Latencies:
        """Both together."""
        numbers = {*self.counts, *other.counts}
        return Latencies({number: self.counts.get(number, 0) + other.counts.get(number, 0) for number in numbers})

    def since(self, earlier: Latencies) -> Latencies:
        """What was added after `earlier`, an older state of the same collection."""
        grown = {number: count - earlier.counts.get(number, 0) for number, count in self.counts.items()}
        return Latencies({number: count for number, count in grown.items() if count > 0})


def bucket(milliseconds: float) -> int:
    """The bucket of a time; what is under a microsecond is in the first, what is over all is in the last."""
    return min(BUCKETS - 1, max(0, math.floor(math.log2(max(milliseconds / _MICROSECOND_MS, 1.0)) * STEPS)))
