"""From settings that were tried to queries per second at a recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median


@dataclass(slots=True)
class Point:
    """A setting, the recall@10 that it gives, and the queries per second of each round."""

    setting: tuple[int, ...]
    recall: float
    speeds: list[float] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """The median of the rounds, queries per second."""
        return median(self.speeds)


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other point beats in recall and speed at once, by falling speed and so by rising recall."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (-one.recall, -one.speed)):
        if not found or point.speed > found[-1].speed:
            found.append(point)
    return found[::-1]


def speed_at(points: Sequence[Point], recall: float) -> float | None:
    """Queries per second at that recall, on the line between the two points of the front around it.

    The fastest point's where even that finds more; None where no point finds enough.
    """
    best = front(points)
    if not best or best[-1].recall < recall:
        return None
    if best[0].recall >= recall:
        return best[0].speed
    for low, high in pairwise(best):
        if high.recall >= recall:
            share = (recall - low.recall) / (high.recall - low.recall)
            return low.speed + share * (high.speed - low.speed)
    return None


def worth_timing(points: Sequence[Point], aims: Sequence[float], around: float = 0.02) -> list[Point]:
    """Of points timed once, those that may lie around an aim: the front's, and what is next to it on either side."""
    best = front(points)
    kept = []
    for number, point in enumerate(best):
        near = any(abs(point.recall - aim) <= around for aim in aims)
        beside = any(
            min(one.recall for one in pair) < aim <= max(one.recall for one in pair)
            for aim in aims
            for pair in (best[max(0, number - 1) : number + 1], best[number : number + 2])
        )
        if near or beside:
            kept.append(point)
    return kept or best[-1:]
