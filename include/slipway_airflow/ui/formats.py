"""How the pages write numbers and times. What is no number is shown as a dash: stored results are not trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from slipway import sizes

NONE = "–"


def count(value: Any) -> str:
    """12,345"""
    return f"{value:,.0f}" if is_number(value) else NONE


def share(value: Any) -> str:
    """0.987"""
    return f"{value:.3f}" if is_number(value) else NONE


def milliseconds(value: Any) -> str:
    """1.23 ms"""
    return f"{value:.3g} ms" if is_number(value) else NONE


def number(value: Any) -> str:
    """0.01235"""
    return f"{value:.4g}" if is_number(value) else NONE


def size(value: Any) -> str:
    """12.3 MiB"""
    return sizes.size(value) if is_number(value) else NONE


def duration(value: Any) -> str:
    """0.4 s, 12 s, 3 min 20 s"""
    if not is_number(value):
        return NONE
    if value < 10:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def minutes(value: Any) -> str:
    """under a minute, 12 min, 3 h 20 min"""
    if not is_number(value):
        return NONE
    if value < 1:
        return "under a minute"
    hours, rest = divmod(round(value), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


def moment(value: Any) -> str:
    """2026-11-21 02:15 UTC, of an ISO 8601 time; anything else as it is."""
    try:
        return f"{datetime.fromisoformat(str(value)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(value)


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    """`value` where it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else []


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list; none where `value` is no list."""
    return [row for row in sequence(value) if isinstance(row, Mapping)]
