import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.config.index import Contract
from slipway.index.contract.tried import TIE, Tried, aim, breaks, by_cost, dominates, with_front

MEASURED = st.builds(
    Tried,
    spec=st.sampled_from(["A", "B", "C", "D"]),
    memory_bytes=st.integers(1_000, 1_300),
    measured_on=st.just(10),
    recall_at_10=st.sampled_from([0.9, 0.95, 0.99]),
    p95_ms=st.sampled_from([0.5, 1.0, 2.0]),
    build_seconds=st.just(1.0),
)


@given(st.lists(MEASURED, min_size=1, max_size=12))
def test_the_cheapest_is_never_dominated(tried: list[Tried]) -> None:
    best = by_cost(tried)[0]
    assert not any(dominates(other, best) for other in tried)
    assert best.memory_bytes <= min(one.memory_bytes for one in tried) * TIE


@given(st.lists(MEASURED, max_size=12))
def test_the_order_holds_each_once(tried: list[Tried]) -> None:
    assert sorted(by_cost(tried), key=repr) == sorted(tried, key=repr)


@given(st.lists(MEASURED, min_size=1, max_size=12))
def test_the_front_holds_just_what_nothing_dominates(tried: list[Tried]) -> None:
    marked = with_front(tried)
    front = [one for one in marked if one.on_front]
    assert front
    assert not any(dominates(a, b) for a in front for b in front)
    for one in marked:
        assert one.on_front or any(dominates(other, one) for other in front)


def test_what_was_not_measured_is_not_on_the_front() -> None:
    left_out, measured = Tried("A", 1), Tried("B", 2, 10, {}, 0.9, 1.0, 1.0)
    assert [one.on_front for one in with_front([left_out, measured])] == [False, True]


def test_of_two_that_cost_the_same_the_faster_is_taken() -> None:
    small, fast = Tried("small", 1_000, 10, {}, 0.96, 3.0, 1.0), Tried("fast", 1_090, 10, {}, 0.96, 1.0, 1.0)
    large = Tried("large", 1_200, 10, {}, 1.0, 0.1, 1.0)
    assert [one.spec for one in by_cost([large, small, fast])] == ["fast", "small", "large"]


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        ({"recall_at_10": 0.97}, {"recall_at_10": "recall@10 is 0.960"}),
        ({"p95_ms": 3.7}, {"p95_ms": "p95 is 3 ms, of 3.7 ms with headroom for the rest of a search"}),
        ({"memory": 2_047}, {"memory": "it takes 2.0 KiB"}),
        ({"build_minutes": 1.9}, {"build_minutes": "building takes 2 minutes"}),
        ({"p95_ms": 3.75, "memory": 2_048, "build_minutes": 2}, {}),
    ],
)
def test_a_clause_that_is_broken_says_so(clause: dict[str, float], says: dict[str, str]) -> None:
    one = Tried("IVF4,Flat", 2_048, 10, {}, 0.96, 3.0, 120.0)
    contract = Contract.model_validate({"recall_at_10": 0.9} | clause)
    assert breaks(one, contract) == says
    judged = one.judged(contract)
    assert (judged.kept, judged.why) == (not says, "; ".join(says.values()) or "keeps every clause")


@given(st.floats(0.01, 0.999), st.integers(0, 100_000))
def test_the_aim_lies_between_the_clause_and_everything(recall: float, queries: int) -> None:
    assert recall <= aim(recall, queries) + 1e-6
    assert aim(recall, queries) <= (1 + recall) / 2 + 1e-6
    assert aim(recall, queries) >= aim(recall, 2 * queries + 1)


def test_the_aim_is_two_standard_errors_up() -> None:
    assert aim(0.95, 100) == pytest.approx(0.95 + 2 * 0.00689, abs=1e-4)
    assert aim(1.0, 100) == 1.0
