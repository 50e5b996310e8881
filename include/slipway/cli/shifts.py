"""What commands print of shifts and of the readers that take part in them."""

from __future__ import annotations

from typing import Any

_STEP = "    {percent:>6} {readers:>8} {queries:>10} {errors:>7} {p95_ms:>9} {live_p95_ms:>9}"
_READER = "  {name:<20} {host:<16} {serves:<26} {trial:<32} {errors:>15} {p95:>9}  {heard_at}{mark}"


def steps(shift: list[dict[str, Any]]) -> list[str]:
    """The steps of a shift (see slipway.rollout.Step) as a table; nothing where there was none."""
    if not shift:
        return []
    names = {"percent": "share", "readers": "readers", "queries": "queries", "errors": "failed"}
    head = _STEP.format(**names, p95_ms="p95", live_p95_ms="live p95")
    return ["", "  the shift", head, *(_step(one) for one in shift)]


def _step(step: dict[str, Any]) -> str:
    return _STEP.format(
        percent=f"{step['percent']} %",
        readers=f"{step['readers']:,}",
        queries=f"{step['queries']:,}",
        errors=f"{step['errors']:,}",
        p95_ms=_ms(step["p95_ms"]),
        live_p95_ms=_ms(step["live_p95_ms"]),
    )


def under_way(shift: dict[str, Any] | None) -> list[str]:
    """One line of the shift that is under way; nothing when there is none."""
    if shift is None:
        return []
    return [f"  a shift is under way: {shift['release_id']} answers {shift['percent']} %, since {shift['began']}", ""]


def readers(found: dict[str, Any]) -> list[str]:
    """The readers that follow the collection (see slipway.serving.readers), and what each refused."""
    lines = ["", *(f"  {key} cannot be read: no reader of this version wrote it" for key in found["unreadable"])]
    if not found["readers"]:
        return [*lines, "  no reader follows this collection"]
    names = {"name": "reader", "host": "host", "serves": "serves", "trial": "on trial", "errors": "failed / queries"}
    lines.append(_READER.format(**names, p95="p95", heard_at="last heard", mark=""))
    for one in found["readers"]:
        lines.append(_reader(one))
        lines += [f"      refused {refused['release_id']}: {refused['why']}" for refused in one["refused"]]
    return lines


def _reader(one: dict[str, Any]) -> str:
    marks = [mark for mark, is_so in (("SILENT", "silent"), ("REFUSES", "refuses"), ("behind", "behind")) if one[is_so]]
    return _READER.format(
        name=one["name"],
        host=one["host"],
        serves=one["serves"] or "-",
        trial=f"{one['trial']} {one['percent']} %" if one["trial"] else "-",
        errors=f"{one['errors']:,} / {one['queries']:,}",
        p95=_ms(one["p95_ms"]),
        heard_at=one["heard_at"],
        mark="".join(f"  {mark}" for mark in marks),
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"
