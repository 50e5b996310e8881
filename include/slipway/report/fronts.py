"""The index contract in a report: what was tried, memory against recall, and which of it was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.report import formats
from slipway.report.plots import WIDTH, Tick
from slipway.report.scale import Scale, around
from slipway.sizes import size

SHOWN = 12  # of what was not tried


@dataclass(frozen=True, slots=True)
class Mark:
    """One candidate in the plot: where, what it is, and whether it is "chosen", on the "front" or "tried"."""

    x: float
    y: float
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Front:
    """recall@10 over memory, the line through the Pareto front, and a row each for the table."""

    marks: tuple[Mark, ...]
    line: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    rows: tuple[tuple[str, str, str, str, str, str], ...]
    left_out: int


def front(contract: Mapping[str, Any] | None) -> Front | None:
    """The drawing of a candidate's fact `contract`; None where there is no contract."""
    if contract is None:
        return None
    measured = [one for one in contract["front"] if one["measured_on"]]
    others = [one for one in contract["front"] if not one["measured_on"]]
    rows = tuple(_row(one) for one in [*measured, *others[:SHOWN]])
    left_out = max(0, len(others) - SHOWN)
    if not measured:
        return Front((), "", (), (), rows, left_out)
    across = around([one["memory_bytes"] / 2**20 for one in measured], 48, WIDTH - 14, 0.1, log=True)
    recalls = [one["recall_at_10"] for one in measured]
    up = around([*recalls, contract["clauses"]["recall_at_10"]], 204, 12, 0.08)
    marks = tuple(_mark(one, contract["spec"], across, up) for one in measured)
    line = " ".join(f"{mark.x},{mark.y}" for mark in sorted(marks, key=_place) if mark.kind != "tried")
    return Front(marks, line, _ticks(across), _ticks(up), rows, left_out)


def was_tried(contract: Mapping[str, Any]) -> bool:
    """Whether the contract's index was looked for in this run; else the choice of an earlier one was taken over."""
    return bool(contract["how"] == "tried")


def _mark(one: Mapping[str, Any], chosen: str, across: Scale, up: Scale) -> Mark:
    kind = "chosen" if one["spec"] == chosen and one["kept"] else "front" if one["on_front"] else "tried"
    said = f"{one['spec']}: recall@10 {one['recall_at_10']:.3f}, {size(one['memory_bytes'])}"
    return Mark(across(one["memory_bytes"] / 2**20), up(one["recall_at_10"]), said, kind)


def _place(mark: Mark) -> tuple[float, float]:
    return mark.x, mark.y


def _row(one: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    """Spec, recall, p95, memory, seconds of building, and what became of it."""
    return (
        one["spec"],
        formats.share(one["recall_at_10"]),
        formats.metric(one["p95_ms"], "p95_ms"),
        size(one["memory_bytes"]),
        "–" if one["build_seconds"] is None else formats.seconds(one["build_seconds"]),
        one["why"],
    )


def _ticks(scale: Scale) -> tuple[Tick, ...]:
    return tuple(Tick(scale(value), formats.short(value)) for value in scale.ticks())


def clauses(contract: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    """(clause, what was asked, what was measured on the whole index) of each clause of the contract."""
    asked, seen = contract["clauses"], contract["confirmed"]
    rows = [
        ("recall@10", formats.share(asked["recall_at_10"]), formats.share(seen["recall_at_10"])),
        ("p95", formats.metric(asked["p95_ms"], "p95_ms"), formats.metric(seen["p95_ms"], "p95_ms")),
        ("memory", formats.metric(asked["memory"], "memory_bytes"), size(seen["memory_bytes"])),
        ("building", _minutes(asked["build_minutes"]), formats.seconds(seen["build_seconds"])),
    ]
    return [row for row in rows if row[1] != "–"]


def _minutes(asked: float | None) -> str:
    return formats.metric(asked, "build_minutes")
