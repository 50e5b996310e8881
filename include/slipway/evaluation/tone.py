"""What a difference between candidate and live release is called: one rule for sentences, plots and pages."""

from __future__ import annotations

import math
from typing import Literal

Tone = Literal["open", "plain", "better", "worse"]


def tone(low: float | None, high: float | None, floor: float) -> Tone:
    """A win or a loss only where the whole interval lies beyond what building the same index twice changes (`floor`).

    "open" is a difference without an interval, "plain" one that is neither.
    """
    if low is None or high is None:
        return "open"
    if low > floor:
        return "better"
    return "worse" if high < -floor else "plain"


def floor_of_slice(floor: float, queries: int, of_slice: int) -> float:
    """The floor of `of_slice` queries, where that of all `queries` is known: chance averages out by the square root."""
    return floor * math.sqrt(queries / of_slice)
