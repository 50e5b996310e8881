"""The golden queries of the demo collection are well formed and judge documents that exist."""

import json
from collections import Counter
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[3] / "include" / "golden" / "pydocs.jsonl"
SLICES = {"task", "keyword", "error", "misspelled"}
TUNING_SHARE = 0.4


@pytest.fixture(scope="module")
def queries() -> list[dict[str, object]]:
    return [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


def _relevant(query: dict[str, object]) -> dict[str, int]:
    relevant = query["relevant"]
    assert isinstance(relevant, dict)
    return relevant


def test_there_are_enough_and_each_is_asked_once(queries: list[dict[str, object]]) -> None:
    assert len(queries) >= 100
    assert len({query["query_id"] for query in queries}) == len(queries)
    assert len({str(query["query"]).lower() for query in queries}) == len(queries)


def test_every_query_has_the_same_fields(queries: list[dict[str, object]]) -> None:
    for query in queries:
        assert set(query) == {"query_id", "query", "slice", "part", "relevant"}
        assert str(query["query_id"]).startswith(f"{query['slice']}-")


def test_both_parts_hold_every_slice_in_proportion(queries: list[dict[str, object]]) -> None:
    parts = Counter((query["part"], query["slice"]) for query in queries)
    assert set(parts) == {(part, name) for part in ("tuning", "judging") for name in SLICES}
    tuning = sum(count for (part, _), count in parts.items() if part == "tuning")
    assert abs(tuning / len(queries) - TUNING_SHARE) < 0.05


def test_every_query_has_a_full_answer_and_grades_in_range(queries: list[dict[str, object]]) -> None:
    for query in queries:
        grades = set(_relevant(query).values())
        assert grades <= {1, 2, 3}, query["query_id"]
        assert 3 in grades, query["query_id"]


def test_every_judged_document_survives_cleaning(queries: list[dict[str, object]], survivors: dict[str, str]) -> None:
    missing = {
        str(query["query_id"]): sorted(set(_relevant(query)) - survivors.keys())
        for query in queries
        if not set(_relevant(query)) <= survivors.keys()
    }
    assert missing == {}
