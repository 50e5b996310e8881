"""Cron expressions, checked when a collection file is read: Airflow would say so only when it parses the DAG."""

from __future__ import annotations

import re

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?", re.ASCII)


def check_cron(expression: str) -> str:
    """`expression` unchanged, if it is five cron fields or one of `PRESETS`. Raises ValueError saying what is wrong.

    A field is a list of `*`, numbers, ranges and steps, such as `*/15` or `mon-fri`.
    """
    if expression in PRESETS:
        return expression
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected a cron expression of five fields, or one of {', '.join(PRESETS)}")
    for text, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        for item in text.lower().split(","):
            if not _is_sound(item, low, high, words):
                raise ValueError(f"{item!r} is no {name}; expected {low} to {high}, * or a range, such as */5 or 1-5")
    return expression


def _is_sound(item: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    found = _ITEM.fullmatch(item)
    if found is None or (found["step"] and int(found["step"]) == 0):
        return False
    bounds = [_number(text, low, words) for text in (found["first"], found["last"]) if text is not None]
    return all(number is not None and low <= number <= high for number in bounds)


def _number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text in words:
        return words.index(text) + low
    return int(text) if text.isdecimal() else None
