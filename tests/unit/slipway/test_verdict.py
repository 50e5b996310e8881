"""The verdict on a candidate: which gates, against what, and what the run was allowed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import checkpoint
from slipway.checkpoint import Start
from slipway.config.collection import Collection
from slipway.config.metrics import PER_QUERY
from slipway.manifest import Draft, Manifest
from slipway.pipeline import verdict
from slipway.run import Run
from slipway.stages.release import release
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, an_evaluation, publish

GOLDEN = {"golden": {"queries": "/golden.jsonl"}}
METRICS = dict.fromkeys(PER_QUERY, 0.5)


def evaluated(run: Run, **metrics: float) -> Manifest:
    """An evaluation with golden queries."""
    made = an_evaluation(run, a_candidate(run, seed=9))
    facts = {"metrics": METRICS | metrics, "golden": "g" * 64}
    return Draft(run.store, f"evaluations/{len(metrics)}", "evaluate", "1").seal({}, {**made.facts, **facts})


def compared(run: Run, low: float, high: float, other: str = "e" * 16, spec: str = "Flat") -> Manifest:
    """A comparison of every metric, with the candidate's encoder and index spec."""
    one = {"candidate": 0.5, "live": 0.5 - (low + high) / 2, "difference": (low + high) / 2}
    one |= {"low": low, "high": high, "changed": 50, "worse": 20}
    facts: dict[str, Any] = {
        "encoders": {"candidate": {"fingerprint": other}, "live": {"fingerprint": "e" * 16}},
        "specs": {"candidate": spec, "live": "Flat"},
        "queries": 100,
        "alpha": 0.05,
        "slice_alpha": 0.05,
        "dropped": [],
        "min_queries": 20,
        "metrics": dict.fromkeys(PER_QUERY, one),
        "by_slice": {},
        "noise": None,
    }
    return Draft(run.store, f"comparisons/{low}{high}{other}{spec}", "compare", "1").seal({}, facts)


def begun(
    run: Run, allowed: tuple[str, ...] = (), settings: dict[str, Any] | None = None, encoder: str = "e" * 16
) -> Run:
    checkpoint.begin(run, Start(0, None, encoder, allowed=allowed, settings=settings or {}))
    return run


def campaign_on(run: Run, other: str = "f" * 16, spec: str = "Flat") -> Run:
    """Another run on the same store, whose beginning gave it this encoder and index."""
    index = {"spec": spec}
    made = replace(run, run_id="campaign", collection=changed(run.collection, index=index))
    return begun(made, settings={"index": index}, encoder=other)


def changed(collection: Collection, **fields: Any) -> Collection:
    return Collection.model_validate(collection.model_dump() | fields)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path, **GOLDEN, gates={"ndcg_at_10": {"max_drop": 0.02}})


def test_a_night_is_judged_by_its_comparison(run: Run) -> None:
    publish(run)
    for low, high, outcome in ((-0.01, 0.01, "pass"), (-0.09, -0.05, "fail"), (-0.05, 0.01, "undecided")):
        found = verdict(run, evaluated(run), compared(run, low, high))
        assert found.outcome == outcome
        assert [gate.metric for gate in found.gates] == ["ndcg_at_10"]


def test_what_is_undecided_passes_where_the_run_was_allowed_that(run: Run) -> None:
    publish(run)
    begun(run, allowed=("undecided",))
    assert verdict(run, evaluated(run), compared(run, -0.05, 0.01)).outcome == "pass"
    assert verdict(run, evaluated(run), compared(run, -0.09, -0.05)).outcome == "fail"


def test_a_first_run_has_nothing_to_lose(run: Run) -> None:
    found = verdict(run, evaluated(run), None)
    assert found.passed
    assert "no live release" in found.gates[0].reason


def test_a_live_release_that_was_not_compared_leaves_the_gate_undecided(run: Run) -> None:
    publish(run)
    assert verdict(run, evaluated(run), None).outcome == "undecided"


@pytest.mark.parametrize(("other", "spec"), [("f" * 16, "Flat"), ("e" * 16, "HNSW32")])
def test_a_campaign_is_judged_by_more_than_the_file_has(tmp_path: Path, other: str, spec: str) -> None:
    run = a_run(MemoryStore(), tmp_path, **GOLDEN, index={"spec": "Flat"})
    publish(run)
    comparison = compared(run, -0.09, -0.05, other, spec)
    assert verdict(run, evaluated(run), comparison).gates == ()
    campaign = campaign_on(run, other, spec)
    found = verdict(campaign, evaluated(campaign), comparison)
    assert [(gate.metric, gate.kind, gate.passed) for gate in found.gates] == [
        ("ndcg_at_10", "relevance", False),
        ("recall_at_10", "index", False),
    ]
    begun(run, settings={"index": {"spec": "Flat"}})  # a night that follows what is live
    assert verdict(run, evaluated(run), comparison).gates == ()


def test_only_a_campaign_must_not_lose_in_what_was_not_asked(tmp_path: Path) -> None:
    gates = {"ndcg_at_10": {"max_drop": 0.001}}
    run = a_run(MemoryStore(), tmp_path, **GOLDEN, index={"spec": "Flat"}, gates=gates)
    publish(run)
    assert verdict(run, evaluated(run), compared(run, 0.0, 0.0)).passed
    campaign = campaign_on(run)
    found = {gate.metric: gate for gate in verdict(campaign, evaluated(campaign), compared(run, 0.0, 0.0)).gates}
    assert found["ndcg_at_10"].undecided
    assert "in what was not asked" in found["ndcg_at_10"].reason
    assert found["recall_at_10"].passed  # of the index, which answers any vector


WITH_SIZES = {"recall_at_100": 0.5, "index_bytes": 100.0, "p95_ms": 2.0}


def test_another_golden_file_leaves_sizes_and_times_judged_and_the_rest_undecided(tmp_path: Path) -> None:
    gates = {name: {"max_drop": 0} for name in WITH_SIZES}
    run = a_run(MemoryStore(), tmp_path, **GOLDEN, gates=gates)
    candidate = a_candidate(run)
    release(run, candidate, an_evaluation(run, candidate, **WITH_SIZES), PASSED, 0, "tester", "because")
    found = verdict(run, evaluated(run, **WITH_SIZES | {"index_bytes": 101.0}), compared(run, 0.0, 0.0))
    told = {gate.metric: (gate.passed, gate.undecided) for gate in found.gates}
    assert told == {"recall_at_100": (False, True), "index_bytes": (False, False), "p95_ms": (True, False)}
    assert "judged by another golden file" in found.gates[0].reason


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"golden": None, "metrics": {}}, "there are no golden queries to judge an upgrade by: add some, or approve"),
        ({"judged_held": 0}, "not one judged document is in the collection"),
        ({"judged_held": 3}, "the live release could not be searched, as it is damaged or its model is not"),
    ],
)
def test_a_campaign_that_was_not_compared_is_undecided_and_says_why(run: Run, facts: dict[str, Any], says: str) -> None:
    publish(run)
    campaign = campaign_on(run)
    made = Draft(run.store, "evaluations/x", "evaluate", "1").seal({}, {**evaluated(run).facts, **facts})
    found = verdict(campaign, made, None)
    assert found.outcome == "undecided"
    assert [gate.metric for gate in found.gates] == ["ndcg_at_10", "recall_at_10"]
    assert all(says in reason for reason in found.reasons)


def test_what_must_be_found_is_judged_without_a_gate(run: Run) -> None:
    found = verdict(run, evaluated(run, must_find_rate=0.5), None)
    assert found.reasons == ["must_find_rate 0.5: under the minimum 1"]
