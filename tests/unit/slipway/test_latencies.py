import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.latencies import Latencies, bucket

TIMES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200)


def of(times: list[float]) -> Latencies:
    counts: dict[int, int] = {}
    for time in times:
        counts[bucket(time)] = counts.get(bucket(time), 0) + 1
    return Latencies(counts)


@given(TIMES, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_exact_to_a_bucket(times: list[float], share: float) -> None:
    exact = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)]
    measured = of(times).quantile_ms(share)
    assert measured is not None
    assert exact / 1.2 <= measured <= exact * 1.2


@given(TIMES, TIMES)
def test_what_is_added_can_be_taken_out_again(first: list[float], second: list[float]) -> None:
    assert of(first).plus(of(second)).since(of(first)).total == len(second)
    assert of(first).plus(of(second)).since(of(first)).counts == of(second).counts


def test_nothing_measured_has_no_quantile() -> None:
    assert Latencies().quantile_ms(0.5) is None
    assert Latencies().total == 0


@pytest.mark.parametrize(("time", "number"), [(0.0, 0), (0.001, 0), (0.002, 4), (1.024, 40), (-1.0, 0)])
def test_buckets_are_quarters_of_a_doubling(time: float, number: int) -> None:
    assert bucket(time) == number
