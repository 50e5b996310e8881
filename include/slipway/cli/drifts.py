"""What commands print of drift: the newest record, and how its measures went over the last ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BARS = "▁▂▃▄▅▆▇█"
NONE = "·"  # a record in which the measure was not taken, or of vectors of another encoder
NAME = 26  # characters


def sentences(drift: Mapping[str, Any] | None) -> list[str]:
    """A run's drift in lines: its alarms, or that there is none. `drift` is what a result says of it."""
    if not drift:
        return []
    against = f"against release {drift['against']}" if drift["against"] else "nothing is live to compare with"
    quiet = f"no alarm in {len(drift['measures'])} measures, {against}"
    return [f"ALARM  {said}" for said in drift["alarms"]] or [quiet]


def page(found: Mapping[str, Any]) -> str:
    """The newest record with its alarms first, then the trend over all that were asked for."""
    from slipway.drift.record import line  # other commands show results, and need no numpy for that

    records = found["records"]
    if not records:
        return f"{found['collection']}: no run has looked for drift yet"
    newest = records[-1]
    against = f"against release {newest['against']}" if newest["against"] else "nothing to compare with"
    measures = sorted(newest["measures"], key=lambda one: not one["alarm"])
    lines = [f"{found['collection']}: {newest['at']}, run {newest['run_id']}, {against}", ""]
    lines += [f"  {'ALARM' if one['alarm'] else 'quiet'}  {one['name']:<{NAME}} {one['says']}" for one in measures]
    lines += [
        "",
        f"  the last {len(records)}, oldest first ({NONE}: not measured, or of another encoder; ! below: alarm)",
    ]
    for one in measures:
        lines += _trend(one["name"], line(records, one["name"]))
    return "\n".join(lines)


def _trend(name: str, measured: Sequence[Mapping[str, Any] | None]) -> list[str]:
    values = [one["value"] if one else None for one in measured]
    known = [value for value in values if value is not None]
    if not known:
        return []
    low, high = min(known), max(known)
    line = "".join(_bar(value, low, high) for value in values)
    marks = "".join("!" if one and one["alarm"] else " " for one in measured).rstrip()
    trend = [f"  {name:<{NAME}} {line}  {low:.4g} to {high:.4g}"]
    return [*trend, f"  {'':<{NAME}} {marks}"] if marks else trend


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None:
        return NONE
    return BARS[round((value - low) / (high - low) * (len(BARS) - 1))] if high > low else BARS[0]
