"""From values to places in a plot, in the units of its drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`…`high` to `start`…`end`, evenly or, with `log`, by ratios (values must be positive then)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place, rounded to a tenth; of a value outside, the nearer end."""
        low, high, at = (_log(one) if self.log else one for one in (self.low, self.high, value))
        part = min(1.0, max(0.0, (at - low) / (high - low)))
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values within the range: on an even scale at most so many."""
        return self._ratios() if self.log else self._even(most)

    def _even(self, most: int) -> list[float]:
        unit = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        for step in (unit * factor for factor in (1, 2, 5, 10)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first < most:
                break
        return [round(number * step, 10) for number in range(first, last + 1)]

    def _ratios(self) -> list[float]:
        exponents = range(math.floor(_log(self.low)), math.ceil(_log(self.high)) + 1)
        found = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
        return [value for value in found if self.low <= value <= self.high]


def around(values: Iterable[float], start: float, end: float, padding: float = 0.06, log: bool = False) -> Scale:
    """A scale that holds all values, with room at both ends; equal values stand in its middle."""
    low, high = (found := sorted(values))[0], found[-1]
    if log:
        factor = max((high / low) ** padding, 1.1)
        return Scale(low / factor, high * factor, start, end, log=True)
    room = (high - low) * padding or abs(high) * 0.1 or 1.0
    return Scale(low - room, high + room, start, end)


def _log(value: float) -> float:
    return math.log10(value)
