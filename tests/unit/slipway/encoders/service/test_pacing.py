import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.encoders.service.pacing import LONGEST_PAUSE_S, Pacer, Rate, WallClock, pause, wish
from tests.unit.slipway.encoders.service.conftest import Waits


@given(st.integers(1, 1_000), st.lists(st.tuples(st.integers(1, 500), st.floats(0, 30)), min_size=1, max_size=60))
def test_no_minute_passes_the_bound_by_more_than_a_request(per_minute: int, asked: list[tuple[int, float]]) -> None:
    rate, now, begun = Rate(per_minute), 0.0, []
    for amount, later in asked:
        now += later
        begun.append((now + rate.reserve(amount, now), amount))
    for start, _ in begun:
        within = [amount for at, amount in begun if start <= at < start + 60 - 1e-6]
        assert sum(within[:-1]) <= per_minute * (1 + 1e-9)


def test_without_a_bound_nothing_waits() -> None:
    assert [Rate(None).reserve(1_000, now) for now in (0.0, 0.0, 1.0)] == [0.0, 0.0, 0.0]


def test_a_quiet_time_holds_for_every_request() -> None:
    clock = Waits()
    pacer = Pacer(Rate(None), Rate(None), clock)
    pacer.quieten(5)
    pacer.quieten(2)
    pacer.admit(1, Event())
    pacer.admit(1, Event())
    assert clock.waited == [5.0]


def test_pauses_grow_and_have_full_jitter() -> None:
    drawn = random.Random(1)
    longest = [max(pause(attempt, drawn) for _ in range(500)) for attempt in range(12)]
    assert [round(one, 1) for one in longest[:4]] == pytest.approx([0.5, 1, 2, 4], abs=0.1)
    assert max(longest) <= LONGEST_PAUSE_S
    assert min(pause(5, drawn) for _ in range(500)) < 0.2


def test_wishes_are_read_as_numbers_and_dates() -> None:
    assert [wish(told) for told in (None, "12", "0.5", "-3", "soon")] == [0, 12, 0.5, 0, 0]
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    assert wish(later) == pytest.approx(300, abs=5)
    assert wish(format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)) == 0


def test_the_wall_clock_waits_no_longer_than_it_is_wanted() -> None:
    stopped = Event()
    stopped.set()
    clock = WallClock()
    began = clock.now()
    clock.wait(3_600, stopped)
    assert clock.now() - began < 3_600
