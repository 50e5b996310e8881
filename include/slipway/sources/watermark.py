"""How far a table was read: the largest `updated_at` seen, and the bound from which the next reading begins.

A watermark is always a value that the database itself delivered, never this machine's clock. The next reading begins
an overlap below it, because a row may be stamped long before it is committed.

Text must be ISO 8601 in UTC (`2026-01-30 02:15:00.5Z`, `2026-01-30T02:15`). Such texts sort like their times as
long as they are written alike; `ranges` stays below all of them whichever way each one is written.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from slipway.errors import SourceSchemaError
from slipway.sources.base import Position

KIND = "watermark"
Number: TypeAlias = int | float | Decimal
Stamp: TypeAlias = datetime | date | Number
Bound: TypeAlias = Stamp | str
Range: TypeAlias = tuple[Bound, Bound | None]
"""At least the first, and below the second where there is one."""

_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?)(\.\d+)?(?:Z|[+-]00(?::?00)?)?)?", re.ASCII
)  # no other offset: texts with several would not sort by time
_EXACT = decimal.Context(prec=400, rounding=decimal.ROUND_FLOOR)


class Kind(Enum):
    """What a column of stamps holds. The value names it in a sentence."""

    INSTANT = "timestamps with a zone"
    WALL = "timestamps without a zone"
    DATE = "dates"
    NUMBER = "numbers"
    TEXT = "text"


_TYPES = {Kind.NUMBER: "number", Kind.TEXT: "text"}  # "timestamp" otherwise: the value's form says which


@dataclass(frozen=True, slots=True)
class Now:
    """The database's clock when the reading began: the instant, and what its session's wall clock shows."""

    instant: datetime
    wall: datetime

    @classmethod
    def of(cls, read: datetime) -> Now:
        """From what a driver delivers for CURRENT_TIMESTAMP: in the session's zone, or without one, taken for UTC."""
        if read.tzinfo is None:
            return cls(read.replace(tzinfo=UTC), read)
        return cls(read.astimezone(UTC), read.replace(tzinfo=None))

    def latest(self, kind: Kind) -> Stamp | None:
        """The latest stamp that is not from the future; None for numbers.

        A time without a zone may be of UTC or of the session's zone: the earlier of the two is taken.
        """
        if kind is Kind.NUMBER:
            return None
        if kind is Kind.INSTANT:
            return self.instant
        wall = min(self.wall, self.instant.replace(tzinfo=None))
        return wall.date() if kind is Kind.DATE else wall


class Tracker:
    """Keeps the largest stamp of a column of that `kind` (None: of the first value's). `where` names the source."""

    def __init__(self, where: str, column: str, kind: Kind | None) -> None:
        self.kind = kind
        self.largest: Stamp | None = None
        self._where, self._column = where, column

    def see(self, value: object) -> None:
        """Take one value into account, as a driver delivers it; None is passed over.

        Raises `SourceSchemaError` for a value that is no stamp, or of another kind than those before it.
        """
        if value is None:
            return
        kind, stamp = self._checked(value)
        if self.kind is None:
            self.kind = kind
        elif self.kind is not kind:
            raise impossible(
                self._where,
                self._column,
                f"holds {self.kind.value} and {kind.value} ({_shown(value)}), without a common order",
            )
        if self.largest is None or stamp > self.largest:  # type: ignore[operator]  # of one kind
            self.largest = stamp

    def _checked(self, value: object) -> tuple[Kind, Stamp]:
        try:
            return stamp_of(value)
        except ValueError as error:
            raise impossible(self._where, self._column, f"holds {_shown(value)}: {error}") from None


def impossible(where: str, column: str, what: str) -> SourceSchemaError:
    """The error for a column that is no watermark; `what` it holds or is."""
    return SourceSchemaError(
        f"{where}: updated_at column {column!r} {what}. Name a column of timestamps, dates, numbers or ISO 8601 text "
        "in UTC, cast it in the source's query, or remove updated_at to read all rows every night"
    )


def stamp_of(value: object) -> tuple[Kind, Stamp]:
    """A driver's value as a stamp; one beyond Python's years is the last or first there is. Raises ValueError."""
    if isinstance(value, datetime):
        return (Kind.WALL, value) if value.tzinfo is None else (Kind.INSTANT, _in_utc(value))
    if isinstance(value, date):
        return Kind.DATE, value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if not _is_finite(value):
            raise ValueError("nothing comes after it")
        return Kind.NUMBER, value
    if isinstance(value, str):
        return Kind.TEXT, _parsed(value)
    raise ValueError(f"{type(value).__name__} is no kind of time or number")


def _is_finite(value: Number) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    return isinstance(value, int) or math.isfinite(value)


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # 9999-12-31 stands for "never" in many tables
        return (datetime.max if value.year > 1 else datetime.min).replace(tzinfo=UTC)


def _parsed(text: str) -> datetime:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("expected ISO 8601 in UTC, such as 2026-01-30 02:15:00 or 2026-01-30T02:15:00.123Z")
    day, clock, fraction = match.groups()
    return datetime.fromisoformat(f"{day}T{clock or '00:00'}").replace(
        microsecond=int(f"{fraction or '.'}000000"[1:7])  # cut, never rounded up
    )


def position(largest: Stamp | None, since: Stamp | None, latest: Stamp | None, kind: Kind | None) -> Position | None:
    """What to go on from: the `largest` stamp seen, at most the `latest` that the database's clock allows, and never
    below the stamp that this reading went on from. None where no stamp was ever seen.
    """
    if kind is None or (largest is None and since is None):
        return None
    reached: Any = largest
    if reached is None or (since is not None and reached < since):
        reached = since
    if latest is not None and reached > latest:
        reached = latest if since is None else max(latest, since)
    value = reached.isoformat() if isinstance(reached, date) else str(reached)
    return {"kind": KIND, "type": _TYPES.get(kind, "timestamp"), "value": value}


def stamp_in(since: Position, kind: Kind) -> Stamp | None:
    """The stamp of a position; None when it is of another kind than the column is now, or cannot be read."""
    value = str(since.get("value"))
    if since.get("type") != _TYPES.get(kind, "timestamp"):
        return None
    try:
        if kind is Kind.NUMBER:
            number = Decimal(value)
            return number if number.is_finite() else None
        if kind is Kind.DATE:
            return date.fromisoformat(value) if len(value) == len("2026-01-30") else None
        stamp = datetime.fromisoformat(value)
    except (ValueError, decimal.InvalidOperation):
        return None
    zoned = stamp.tzinfo is not None
    return stamp if zoned == (kind is Kind.INSTANT) and len(value) > len("2026-01-30") else None


def below(stamp: Stamp, overlap: float) -> Stamp:
    """The stamp an overlap earlier: minutes for times, units for numbers. For dates, the day that this falls on."""
    if isinstance(stamp, datetime):
        return _earlier(stamp, overlap)
    if isinstance(stamp, date):
        return _earlier(datetime.combine(stamp, time()), overlap).date()
    exact = stamp if isinstance(stamp, Decimal) else Decimal(str(stamp))
    return _EXACT.subtract(exact, Decimal(str(overlap)))


def _earlier(stamp: datetime, minutes: float) -> datetime:
    try:
        return stamp - timedelta(minutes=minutes)
    except OverflowError:
        return datetime.min.replace(tzinfo=stamp.tzinfo)


def ranges(kind: Kind, low: Stamp) -> Sequence[Range]:
    """What a column's values must lie in, one or the other, to be at least `low`.

    Text is compared as text: with "T" or a space before the time, with or without seconds, fraction and zone. A prefix
    sorts before all that it begins, so the bound is cut to the minute, and to the day at midnight; a space sorts before
    "T", so each has a range of its own on the first day. The digits stand at the same places in all of them, so this
    holds in every collation, also in those that pass over punctuation. A text that is a day alone may have been written
    at any time of it, so that of the first day is read as well, as a date would be. Its range ends before the first
    digit of a time, not before the space: some databases do not count a space at the end of a text.
    """
    if kind is not Kind.TEXT:
        return [(low, None)]
    assert isinstance(low, datetime)
    day, clock = low.date().isoformat(), low.strftime("%H:%M")
    if clock == "00:00":
        return [(day, None)]
    return [(f"{day}T{clock}", None), (f"{day} {clock}", f"{day}T"), (day, f"{day} 0")]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
