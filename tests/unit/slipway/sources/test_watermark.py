from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import SourceSchemaError
from slipway.sources.watermark import Kind, Now, Tracker, below, position, ranges, stamp_in, stamp_of

NOON = datetime(2026, 1, 30, 12)
moments = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30))


def by_bytes(text: str) -> Any:
    return text


def past_punctuation(text: str) -> Any:
    """How a natural-language collation sorts: by letters and digits, and by punctuation only where these are equal."""
    return re.sub(r"\W", "", text), text


def lies_in(text: str, bounds: Any, order: Callable[[str], Any] = by_bytes) -> bool:
    value = order(text)
    return any(order(low) <= value and (high is None or value < order(high)) for low, high in bounds)


def spellings(moment: datetime) -> st.SearchStrategy[str]:
    """Every way to write a time that is understood. Those that leave something out stand for an earlier one."""
    clocks = st.sampled_from(["%H:%M", "%H:%M:%S", "%H:%M:%S.%f"])
    zones = st.sampled_from(["", "Z", "+00:00", "-00:00", "+0000", "+00"])
    parts = st.tuples(st.sampled_from(" T"), clocks, zones)
    timed = parts.map(lambda each: f"{moment.date()}{each[0]}{moment.strftime(each[1])}{each[2]}")
    return st.one_of(timed, st.just(str(moment.date())))


@pytest.mark.parametrize("order", [by_bytes, past_punctuation])
@given(st.data(), moments, moments)
def test_a_bound_of_text_is_never_above_a_later_time_however_it_is_written(
    order: Callable[[str], Any], data: st.DataObject, low: datetime, later: datetime
) -> None:
    later = data.draw(st.sampled_from([later, low, low + timedelta(seconds=1), low + timedelta(hours=5)]))
    text = data.draw(spellings(later))
    if stamp_of(text)[1] >= low:
        assert lies_in(text, ranges(Kind.TEXT, low), order)


@given(st.data(), moments, st.integers(min_value=1, max_value=10_000))
def test_a_bound_of_text_keeps_out_what_is_a_minute_earlier(data: st.DataObject, low: datetime, minutes: int) -> None:
    text = data.draw(spellings(low - timedelta(minutes=minutes)))

    assert lies_in(text, ranges(Kind.TEXT, low)) == (text == str(low.date()))


@pytest.mark.parametrize("order", [by_bytes, past_punctuation, str.rstrip])
@given(moments)
def test_a_text_that_is_a_day_alone_is_read_as_the_date_is(order: Callable[[str], Any], low: datetime) -> None:
    """Whatever the time of the bound, a row of that day may have been written after it; `rstrip`: as char(n) sorts."""
    day, before = str(low.date()), str(low.date() - timedelta(days=1))

    assert lies_in(day, ranges(Kind.TEXT, low), order)
    assert not lies_in(before, ranges(Kind.TEXT, low), order)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-1-30", "30.01.2026", "2026-01-30 02:15+02:00", "2026-02-30", "2026-01-30 02:15:00 UTC"],
)
def test_text_that_does_not_sort_by_time_is_refused_and_shown(text: str) -> None:
    with pytest.raises(SourceSchemaError, match=r"source 'docs'.*column 'changed'.*expected|.*out of range") as error:
        Tracker("source 'docs'", "changed", None).see(text)

    assert repr(text) in str(error.value)


@pytest.mark.parametrize("value", [True, b"x", float("nan"), float("inf"), Decimal("NaN"), NOON.time(), [1]])
def test_a_value_that_is_no_stamp_is_refused(value: object) -> None:
    with pytest.raises(SourceSchemaError, match="Name a column of timestamps"):
        Tracker("source 'docs'", "changed", None).see(value)


def test_kinds_that_have_no_common_order_are_refused() -> None:
    tracker = Tracker("source 'docs'", "changed", None)
    tracker.see(5)

    with pytest.raises(SourceSchemaError, match="holds numbers and text"):
        tracker.see("2026-01-30")


def test_the_largest_value_is_kept_and_null_passed_over() -> None:
    tracker = Tracker("source 'docs'", "changed", None)
    for value in (None, 3, Decimal("7.5"), 7.25, None):
        tracker.see(value)

    assert tracker.largest == Decimal("7.5")


def test_a_time_past_pythons_years_is_the_last_there_is() -> None:
    west = timezone(timedelta(hours=-5))

    assert stamp_of(datetime(9999, 12, 31, 23, 59, tzinfo=west))[1] == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "overlap", "expected"),
    [
        (NOON, 60, datetime(2026, 1, 30, 11)),
        (NOON, 0.5, datetime(2026, 1, 30, 11, 59, 30)),
        (NOON, 1e12, datetime.min),
        (NOON.replace(tzinfo=UTC), 60, datetime(2026, 1, 30, 11, tzinfo=UTC)),
        (date(2026, 1, 30), 0, date(2026, 1, 30)),
        (date(2026, 1, 30), 1, date(2026, 1, 29)),  # late on the 29th is a day earlier
        (100, 60, Decimal(40)),
        (0.1, 0, Decimal("0.1")),
        (Decimal(10**40), 1, Decimal(10**40 - 1)),
    ],
)
def test_a_reading_begins_an_overlap_earlier(value: Any, overlap: float, expected: Any) -> None:
    assert below(value, overlap) == expected


@given(
    st.one_of(
        moments,
        moments.map(lambda moment: moment.replace(tzinfo=UTC)),
        st.dates(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.decimals(allow_nan=False, allow_infinity=False),
        moments.map(lambda moment: moment.isoformat(" ")),
    )
)
def test_a_position_is_read_back_as_it_was(value: Any) -> None:
    kind, stamp = stamp_of(value)
    written = position(stamp, None, None, kind)

    assert written is not None
    assert stamp_in(written, kind) == (Decimal(str(stamp)) if kind is Kind.NUMBER else stamp)


@pytest.mark.parametrize("kind", [each for each in Kind if each is not Kind.WALL])
def test_a_position_of_another_kind_of_column_is_none(kind: Kind) -> None:
    written = position(NOON, None, None, Kind.WALL)

    assert written is not None
    assert stamp_in(written, kind) is None


@pytest.mark.parametrize("value", ["", "soon", "NaN", None])
def test_a_position_that_cannot_be_read_is_none(value: str | None) -> None:
    for kind, name in ((Kind.NUMBER, "number"), (Kind.TEXT, "text"), (Kind.DATE, "timestamp")):
        assert stamp_in({"kind": "watermark", "type": name, "value": value}, kind) is None


@given(st.none() | moments, st.none() | moments, moments)
def test_a_position_never_falls_and_never_passes_the_clock(
    largest: datetime | None, since: datetime | None, clock: datetime
) -> None:
    reached = position(largest, since, clock, Kind.WALL)
    if reached is None:
        assert largest is None and since is None
        return
    stamp: Any = stamp_in(reached, Kind.WALL)
    assert since is None or stamp >= since
    assert stamp <= clock or stamp == since


def test_the_clock_of_a_session_with_a_zone_bounds_what_has_none_from_below() -> None:
    east = Now.of(datetime(2026, 1, 30, 12, tzinfo=timezone(timedelta(hours=8))))

    assert east.latest(Kind.INSTANT) == datetime(2026, 1, 30, 4, tzinfo=UTC)
    assert east.latest(Kind.WALL) == east.latest(Kind.TEXT) == datetime(2026, 1, 30, 4)
    assert east.latest(Kind.DATE) == date(2026, 1, 30)
    assert east.latest(Kind.NUMBER) is None
