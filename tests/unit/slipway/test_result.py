"""What the stages of a run left → its result."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slipway import planned, result
from slipway.checkpoint import Start
from slipway.evaluation.gates import GateResult, Verdict
from slipway.manifest import Draft, Manifest
from slipway.result import Steps
from slipway.run import Run
from slipway.stages.embed import Embedded
from slipway.stages.release import Released
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run
from tests.unit.slipway.drift.records import a_measure, a_record
from tests.unit.slipway.results import COMPARED, UPDATE


@dataclass(frozen=True)
class Counts:
    documents: int
    rows: int


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


def sealed(run: Run, place: str, counts: dict[str, int], **facts: Any) -> Manifest:
    return Draft(run.store, place, place, place).seal(counts, facts)


def a_plan(run: Run, **facts: Any) -> Manifest:
    counts = {"added": 1, "changed": 2, "deleted": 3, "unchanged": 4}
    counts |= {"chunks": 9, "reused": 7, "to_embed": 2, "tokens": 50}
    return sealed(run, f"runs/{run.run_id}/plan", counts, encoder="e", shards=[], **facts)


ESTIMATE = {"minutes": 0.1, "tokens_per_second": 500.0, "measured": "assumed", "bytes": 7, "index_bytes": None}


def test_before_the_first_stage_there_is_little_to_say(run: Run) -> None:
    assert result.assemble(run, Steps()) == {
        "collection": "test",
        "run_id": "run-1",
        "released": False,
        "release_id": None,
        "seconds": {},
    }


def test_how_each_source_was_read_is_told(run: Run) -> None:
    raw = [
        sealed(run, "raw/a", {"rows": 12, "deleted": 3}, source="a", mode="changes", reason="since noon"),
        sealed(run, "raw/b", {"rows": 5, "deleted": 0}, source="b", mode="full", reason="first reading"),
    ]
    cleaned = [sealed(run, "documents/b", {"rows": 5, "documents": 3, "rejected": 1}, source="b")]
    made = result.assemble(run, Steps(raw=raw, cleaned=cleaned))
    assert made["sources"] == [
        {"source": "a", "mode": "changes", "reason": "since noon", "rows": 12, "deleted": 3, "cleaned": None},
        {"source": "b", "mode": "full", "reason": "first reading", "rows": 5, "deleted": 0, "cleaned": 4},
    ]


def test_what_the_run_was_told_is_kept(run: Run) -> None:
    made = result.assemble(run, Steps(start=Start(3, None, "e", full=True, allowed=("deletes",))))
    assert (made["allowed"], made["full"]) == (["deletes"], True)


def test_the_plan_is_told_with_its_estimate(run: Run) -> None:
    made = result.assemble(run, Steps(plan=a_plan(run, estimate=ESTIMATE)))["plan"]
    assert made == {
        **{"added": 1, "changed": 2, "deleted": 3, "unchanged": 4},
        **{"chunks": 9, "reused": 7, "to_embed": 2, "tokens": 50},
        **{"minutes": 0.1, "tokens_per_second": 500.0, "measured": "assumed", "bytes": 7},
    }


@pytest.mark.parametrize("facts", [{}, {"estimate": None}, {"estimate": [1]}, {"estimate": {}}])
def test_a_plan_of_another_version_is_told_without_an_estimate(run: Run, facts: dict[str, Any]) -> None:
    assert planned.numbers(a_plan(run, **facts)).keys() == set(planned.COUNTS)


def test_a_runs_plan_is_found_by_its_id(run: Run) -> None:
    assert planned.find_plan(run.store, "run-1") is None
    made = a_plan(run)
    assert planned.find_plan(run.store, "run-1") == made


def a_built_candidate(run: Run, **facts: Any) -> Manifest:
    spec = {"factory": "Flat", "reason": "few", "metric": "l2"}
    return sealed(run, "candidates/c", {"vectors": 3, "index_bytes": 4}, spec=spec, dimension=2, **facts)


def test_how_the_index_came_about_is_told(run: Run) -> None:
    made = result.assemble(run, Steps(candidate=a_built_candidate(run, update=UPDATE), reconciled=Counts(3, 4)))
    assert made["index"]["update"] == UPDATE
    assert made["reconciled"] == {"documents": 3, "rows": 4}


def test_how_many_shards_the_index_was_built_in_is_told(run: Run) -> None:
    facts = {"built_in": 8, "build": "builds/b", "apart": ""}
    made = result.assemble(run, Steps(candidate=a_built_candidate(run, shards=facts)))
    assert made["index"]["shards"] == {"built_in": 8, "apart": ""}


def test_a_candidate_of_an_older_version_tells_of_no_update(run: Run) -> None:
    made = result.assemble(run, Steps(candidate=a_built_candidate(run)))
    assert not {"update", "shards"} & made["index"].keys()
    assert "reconciled" not in made


@pytest.mark.parametrize(
    ("embedded", "released", "nothing"), [(0, False, True), (0, True, False), (5, False, False), (5, True, False)]
)
def test_nothing_changed_when_nothing_was_embedded_and_the_candidate_was_live(
    run: Run, embedded: int, released: bool, nothing: bool
) -> None:
    steps = Steps(plan=a_plan(run), embedded=[Embedded(0, embedded, 0, 1, 1.0)])
    assert "nothing_changed" not in result.assemble(run, steps)
    steps.released = Released(released, "r1", 1, "because")
    assert result.assemble(run, steps)["nothing_changed"] is nothing


def test_the_speed_of_embedding_is_that_of_all_shards(run: Run) -> None:
    shards = [
        Embedded(0, 5, 0, 1_000, 9.0, 2.0, 500.0, "cpu", "openvino"),
        Embedded(1, 5, 0, 3_000, 9.0, 2.0, 1_500.0, "cpu", "openvino"),
        Embedded(2, 0, 5, 0, 0.1),
    ]
    made = result.assemble(run, Steps(plan=a_plan(run), embedded=shards))
    assert made["embedding"] == {
        "tokens": 4_000,
        "seconds": 4.0,
        "tokens_per_second": 1_000.0,
        "device": "cpu",
        "backend": "openvino",
    }
    assert "embedding" not in result.assemble(run, Steps(plan=a_plan(run), embedded=shards[2:]))


def test_a_comparison_with_the_live_release_is_told_with_its_intervals(run: Run) -> None:
    facts = COMPARED | {"by_slice": {}, "dropped": [], "gone": []}
    made = result.assemble(run, Steps(comparison=sealed(run, "comparisons/00ff", {"queries": 20}, **facts)))
    assert made["comparison"] == {"place": "comparisons/00ff", "by_slice": {}, **COMPARED}


def test_a_verdict_that_nobody_could_reach_is_called_undecided(run: Run) -> None:
    open_gate = GateResult("ndcg_at_10", 0.5, False, "too few", undecided=True)
    good, bad = GateResult("p95_ms", 1.0, True, "fast"), GateResult("p95_ms", 9.0, False, "slow")
    for gates, word in (((open_gate, good), "undecided"), ((open_gate, bad), "failed"), ((good,), "passed")):
        made = result.assemble(run, Steps(verdict=Verdict(gates)))
        assert made["verdict"] == word
    assert "reason" not in made


def test_alarms_of_drift_are_told_in_sentences_and_measures_in_numbers(run: Run) -> None:
    facts = a_record(1, a_measure("mmd", 0.7, alarm=True, threshold=0.1), a_measure("mean_norm", 1.0))
    made = result.assemble(run, Steps(drift=sealed(run, "drift/1", {"alarms": 1}, **facts)))["drift"]
    assert (made["place"], made["against"]) == ("drift/1", "r1")
    assert made["alarms"] == ["what mmd says"]
    expected = {"name": "mmd", "group": "vectors", "value": 0.7, "before": None, "threshold": 0.1, "alarm": True}
    assert made["measures"][0] == expected
