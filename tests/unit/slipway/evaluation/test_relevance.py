import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.evaluation.golden import GoldenQuery
from slipway.evaluation.relevance import must_find_rate, relevance


def golden(query_id: str, relevant: dict[str, int], part: str = "all") -> GoldenQuery:
    return GoldenQuery(query_id, "words", relevant, part, "judging")


def dcg(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 2) for rank, grade in enumerate(grades[:10]))


def by_hand(relevant: dict[str, int], found: Sequence[str]) -> dict[str, float]:
    grades = [relevant.get(document, 0) for document in found]
    ranks = [rank for rank, grade in enumerate(grades[:10], 1) if grade]
    return {
        "ndcg_at_10": dcg(grades) / dcg(sorted(relevant.values(), reverse=True)),
        "mrr_at_10": 1 / ranks[0] if ranks else 0.0,
        "hit_rate_at_1": float(bool(ranks) and ranks[0] == 1),
        "hit_rate_at_10": float(bool(ranks)),
    }


def test_a_query_worked_out_with_pencil_and_paper() -> None:
    overall, _, by_query = relevance([golden("q", {"a": 3, "b": 1, "c": 2})], [["x", "a", "y", "b"]])
    # gains 0, 3, 0, 1 against 3, 2, 1
    ndcg = (3 / math.log2(3) + 1 / math.log2(5)) / (3 + 2 / math.log2(3) + 1 / 2)
    assert overall["ndcg_at_10"] == pytest.approx(ndcg, abs=1e-6)
    assert (overall["mrr_at_10"], overall["hit_rate_at_1"], overall["hit_rate_at_10"]) == (0.5, 0.0, 1.0)
    assert by_query["q"]["ndcg_at_10"] == pytest.approx(ndcg)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdefghijklmno"), st.integers(1, 3), min_size=1),
            st.permutations("abcdefghijklmnopqrst"),
            st.integers(0, 20),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_metric_is_the_formula(cases: list[tuple[dict[str, int], list[str], int]]) -> None:
    queries = [golden(f"q{number}", case[0]) for number, case in enumerate(cases)]
    ranked = [found[:count] for _, found, count in cases]
    overall, _, by_query = relevance(queries, ranked)
    expected = [by_hand(dict(query.relevant), found) for query, found in zip(queries, ranked, strict=True)]
    for query, one in zip(queries, expected, strict=True):
        assert by_query[query.query_id] == pytest.approx(one)
    for name in overall:
        assert overall[name] == pytest.approx(sum(one[name] for one in expected) / len(expected), abs=1e-6)


def test_a_query_that_found_nothing_counts_as_zero() -> None:
    overall, _, by_query = relevance([golden("q1", {"a": 1}), golden("q2", {"a": 1})], [["a"], []])
    assert set(overall.values()) == {0.5}
    assert set(by_query["q2"].values()) == {0.0}


def test_when_nothing_was_found_at_all_everything_is_zero() -> None:
    overall, by_slice, _ = relevance([golden("q1", {"a": 1}), golden("q2", {"a": 1})], [[], []])
    assert set(overall.values()) == {0.0}
    assert set(by_slice["all"].values()) == {0.0}


def test_documents_keep_the_order_in_which_they_were_shown() -> None:
    """However many there are: by name, "z" would come last and "a" first."""
    found = [f"{letter}{number:02d}" for number in range(4) for letter in "zyxwvutsrqponmlkjihgfedcba"]
    for rank in (0, 4, 9, 10, 50):
        overall, _, _ = relevance([golden("q", {found[rank]: 1})], [found])
        assert overall["mrr_at_10"] == pytest.approx(1 / (rank + 1) if rank < 10 else 0, abs=1e-6)


def test_slices_are_judged_apart() -> None:
    queries = [golden("q1", {"a": 1}, "typos"), golden("q2", {"a": 1}, "tasks"), golden("q3", {"a": 1}, "typos")]
    overall, by_slice, _ = relevance(queries, [["a"], ["b", "a"], ["b"]])
    assert list(by_slice) == ["tasks", "typos"]
    assert by_slice["typos"]["hit_rate_at_10"] == 0.5
    assert by_slice["tasks"] | {"ndcg_at_10": 0} == {
        "mrr_at_10": 0.5,
        "hit_rate_at_1": 0.0,
        "hit_rate_at_10": 1.0,
        "ndcg_at_10": 0,
    }
    assert overall["hit_rate_at_10"] == pytest.approx(2 / 3, abs=1e-6)


def test_ids_of_any_characters_are_told_apart() -> None:
    queries = [golden("q 1\t", {"api: a b": 1}), golden("ü", {"é": 1})]
    assert relevance(queries, [["api: a b"], ["é"]])[0]["hit_rate_at_1"] == 1.0


def test_what_the_collection_does_not_hold_must_not_be_found() -> None:
    queries = [GoldenQuery("q1", "one", {"a": 1}, "all", "judging", ("a", "b", "gone"))]
    assert must_find_rate(queries, [["a", "c"]], {"a", "b", "c"}) == 0.5
    assert must_find_rate(queries, [["c"]], {"c"}) is None
