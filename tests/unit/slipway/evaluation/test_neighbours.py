import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.evaluation.neighbours import overlap, rank_biased_overlap


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("abc", "abc", 1.0), ("abc", "cba", 1.0), ("abcd", "abxy", 0.5), ("", "", 1.0), ("a", "", 0.0), ("ab", "a", 0.5)],
)
def test_overlap(one: str, other: str, expected: float) -> None:
    assert overlap(list(one), list(other)) == expected


def test_only_the_first_k_count() -> None:
    assert overlap(list("abc"), list("xyc"), k=2) == 0.0


@pytest.mark.parametrize(
    ("one", "other", "p", "expected"),
    [
        ("abcde", "abcde", 0.9, 1.0),
        ("abc", "xyz", 0.9, 0.0),
        ("", "", 0.9, 1.0),
        ("a", "", 0.9, 0.0),
        ("ab", "ba", 0.5, 0.5),  # agreement 0 at depth 1, 1 at depth 2 and after: (1 − p)/p · p² + p²
        ("ab", "ac", 0.5, 0.75),  # 1, 1/2 and then 1/2: (1 − p)/p · (p + p²/2) + p²/2
        ("a", "ab", 0.5, 1.0),  # what is not seen is taken to agree as what is
    ],
)
def test_rank_biased_overlap(one: str, other: str, p: float, expected: float) -> None:
    assert rank_biased_overlap(list(one), list(other), p) == pytest.approx(expected)


rankings = st.lists(st.integers(0, 15), unique=True, max_size=10).map(lambda found: [str(one) for one in found])


@given(rankings, rankings)
def test_both_ways_are_the_same_and_between_none_and_all(one: list[str], other: list[str]) -> None:
    found = rank_biased_overlap(one, other)
    assert -1e-9 <= found <= 1 + 1e-9
    assert found == pytest.approx(rank_biased_overlap(other, one))
    assert rank_biased_overlap(one, one) == pytest.approx(1.0)
