"""Where the marks of each plot stand. The drawings are made of these in pages/figures.html.

Lengths are in units of a drawing that is `WIDTH` wide and grows and shrinks with the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.evaluation.tone import tone
from slipway.report.formats import short, signed
from slipway.report.scale import Scale, around

WIDTH = 420
ROW = 30
LABELS, VALUES = 138, 356  # a forest's plot lies between its labels and its values
LETTERS = 18  # of a label that fit
STEADY = 0.02  # a trend that moves by less than this part of its value looks flat
CLOSE, LINE = 110, 16  # how long and how high a note is


@dataclass(frozen=True, slots=True)
class Tick:
    """A round value on an axis: where, and as text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One difference: its point, interval (None: there is none), margin and noise band (None: there is none)."""

    label: str
    name: str
    y: float
    x: float
    interval: tuple[float, float] | None
    margin: float | None
    noise: tuple[float, float] | None
    tone: str
    value: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Differences with their intervals, one row each."""

    height: int
    zero: float
    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]


def forest(
    rows: Sequence[tuple[str, Mapping[str, Any]]], margins: Sequence[float | None], floors: Sequence[float | None]
) -> Forest:
    """A plot of differences. `rows`: (name, {"difference", "low", "high"}), with a margin and a noise floor each."""
    shown = [value for _, one in rows for value in (one["difference"], one["low"], one["high"]) if value is not None]
    shown += [0.0, *(-margin for margin in margins if margin is not None)]
    shown += [sign * floor for floor in floors if floor is not None for sign in (1, -1)]
    scale = around(shown, LABELS, VALUES)
    height = ROW * len(rows) + 42
    made = tuple(
        _forest_row(scale, number, name, one, margin, floor)
        for number, ((name, one), margin, floor) in enumerate(zip(rows, margins, floors, strict=True))
    )
    return Forest(height, scale(0), made, _ticks(scale, signs=True))


def _forest_row(
    scale: Scale, number: int, name: str, one: Mapping[str, Any], margin: float | None, floor: float | None
) -> ForestRow:
    low, high = one["low"], one["high"]
    return ForestRow(
        label=name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…",
        name=name,
        y=ROW * number + ROW / 2,
        x=scale(one["difference"]),
        interval=None if low is None or high is None else (scale(low), scale(high)),
        margin=None if margin is None else scale(-margin),
        noise=None if floor is None else (scale(-floor), scale(floor)),
        tone=tone(low, high, floor or 0.0),
        value=signed(one["difference"]),
    )


@dataclass(frozen=True, slots=True)
class Note:
    """A word beside a point."""

    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a plot: where, what it is, and where its name is written, if it is."""

    x: float
    y: float
    name: str
    kind: str = "rung"
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall against latency."""

    height: int
    points: tuple[Point, ...]
    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def curve(
    sweep: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any], live: Mapping[str, float] | None
) -> Curve | None:
    """recall@10 over p95 of each search-time setting, and of the live release where that is known.

    None where nothing was measured. The latency's axis is one of ratios.
    """
    if not sweep:
        return None
    measured = [(max(one["p95_ms"], 1e-3), one["recall_at_10"]) for one in sweep]
    known = live and live.get("p95_ms") and live.get("recall_at_10") is not None
    other = [(max(live["p95_ms"], 1e-3), live["recall_at_10"])] if live and known else []
    across = around([x for x, _ in measured + other], 48, WIDTH - 14, 0.1, log=True)
    recalls = [y for _, y in measured + other]
    up = around([*recalls, min(1.0, max(recalls) + 0.002), min(recalls) - 0.002], 204, 12, 0.08)
    points = [_rung(across(x), up(y), one["parameters"], chosen) for (x, y), one in zip(measured, sweep, strict=True)]
    line = " ".join(f"{point.x},{point.y}" for point in sorted(points, key=lambda point: point.x))
    noted = [point.note for point in points if point.note]
    points += [_live(across(x), up(y), noted) for x, y in other]
    return Curve(246, tuple(points), line, _ticks(across), _ticks(up))


def setting(parameters: Mapping[str, Any]) -> str:
    """Search-time parameters in words: efSearch 64."""
    return ", ".join(f"{name} {value}" for name, value in parameters.items()) or "no parameters"


def _rung(x: float, y: float, parameters: Mapping[str, Any], chosen: Mapping[str, Any]) -> Point:
    is_chosen = parameters == chosen
    return Point(x, y, setting(parameters), "chosen" if is_chosen else "rung", _note(x, y) if is_chosen else None)


def _live(x: float, y: float, noted: Sequence[Note]) -> Point:
    note = _note(x, y)
    if any(abs(other.y - note.y) < LINE and abs(other.x - note.x) < CLOSE for other in noted):
        note = Note(note.x, max(other.y for other in noted) + LINE, note.anchor)
    return Point(x, y, "live release", "live", note)


def _note(x: float, y: float) -> Note:
    """Below and right of a point, where a curve of recall leaves room; at the right edge above and left of it."""
    return Note(x + 8, y + 18, "start") if x < WIDTH - CLOSE else Note(x - 8, y - 10, "end")


@dataclass(frozen=True, slots=True)
class Trend:
    """One measure over the last runs: a line, the heights of its thresholds, its alarms, and where it stands now."""

    line: str
    thresholds: tuple[float, ...]
    alarms: tuple[tuple[float, float], ...]
    last: tuple[float, float]


def trend(measures: Sequence[Mapping[str, Any]]) -> Trend | None:
    """A line through what each run saw, oldest first, in a drawing of 240 × 56; None where fewer than two measured."""
    seen = [one for one in measures if one["value"] is not None]
    if len(seen) < 2:
        return None
    values = [float(one["value"]) for one in seen]
    steady = [values[-1] * (1 + sign * STEADY) for sign in (1, -1)]
    limits = _limits(seen[-1])
    up = around([*values, *steady, *limits], 50, 6, 0.05)
    across = Scale(0, len(values) - 1, 6, 234)
    places = [(across(number), up(value)) for number, value in enumerate(values)]
    alarms = tuple(place for place, one in zip(places, seen, strict=True) if one["alarm"])
    line = " ".join(f"{x},{y}" for x, y in places)
    return Trend(line, tuple(up(limit) for limit in limits), alarms, places[-1])


def _limits(measure: Mapping[str, Any]) -> list[float]:
    """What the value may not pass. Where there is a value before, the threshold is what it may differ from that by."""
    threshold, before = measure["threshold"], measure["before"]
    if threshold is None:
        return []
    limits = [threshold] if before is None else [before + threshold, before - threshold]
    return [float(limit) for limit in limits if limit >= 0]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a histogram: its left side, top and height, how many it stands for, and of what."""

    x: float
    y: float
    height: float
    count: int
    of: int


BAR_FLOOR, BAR_WIDTH = 132, 30


def histogram(counts: Sequence[int]) -> tuple[Bar, ...]:
    """A bar for each count, in a drawing 170 high."""
    up = Scale(0, max(max(counts), 1), BAR_FLOOR, 22)
    step = (WIDTH - 16) / len(counts)
    return tuple(
        Bar(round(8 + number * step + (step - BAR_WIDTH) / 2, 1), up(one), round(BAR_FLOOR - up(one), 1), one, number)
        for number, one in enumerate(counts)
    )


def _ticks(scale: Scale, signs: bool = False) -> tuple[Tick, ...]:
    return tuple(Tick(scale(value), _tick(value, signs)) for value in scale.ticks())


def _tick(value: float, signs: bool) -> str:
    return f"+{short(value)}" if signs and value > 0 else short(value)
