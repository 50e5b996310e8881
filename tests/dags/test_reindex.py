"""Whole upgrades through Airflow, from a static model to MiniLM and back, with nobody to ask."""

import pytest

from tests.dags.bench import NOTES, asset_events

HELD = len(NOTES) + 3  # notes and guides
JUDGED = "judging: {min_queries: 5, resamples: 1000}\nreindex: {sample: 0, margin: 0.05}\n"
GATES = "{recall_at_10: 0.99}"
ASKED = {"reason": "people ask in sentences", "approval": False}


@pytest.fixture
def static(bench):
    """The collection after a night with a small static model."""
    bench.write_static_encoder("small", 8)
    bench.describe(GATES, JUDGED, encoder="small")
    night = bench.run(reason="first night")
    assert night.state == "success", night.result
    return night.result["release_id"]


def live(bench):
    serving = bench.serving()
    return serving["slots"][serving["live"]]["release_id"]


def test_an_upgrade_goes_live_by_its_gates_and_the_way_back_is_refused(bench, static):
    upgrade = bench.run_dag("reindex", ASKED | {"encoder": "minilm"})
    made = upgrade.result
    assert upgrade.state == "success", made
    assert upgrade.tasks["sample"] == "skipped"
    assert {upgrade.tasks[name] for name in ("preflight", "build", "judge", "approve", "release")} == {"success"}
    assert made["released"] is True
    assert made["release_id"] == live(bench) != static
    assert (made["plan"]["chunks"], made["plan"]["to_embed"], made["embedded"]) == (HELD, HELD, HELD)
    assert made["plan"]["workers"] == 1
    assert made["asked"]["encoder"] == "minilm"
    assert made["approval"]["approved"] is True
    assert made["verdict"] == "passed"
    assert {"preflight", "build", "judge", "release"} <= made["seconds"].keys()
    assert bench.serving()["changed"]["why"] == ASKED["reason"]
    [event] = asset_events("slipway/tiny/release")[-1:]
    assert event["release_id"] == made["release_id"]
    assert not bench.lease("reindex-lease.json")

    kept, candidates = bench.serving(), len(list((bench.store / "candidates").iterdir()))
    bench.describe(GATES, JUDGED)
    back = bench.run_dag("reindex", ASKED | {"encoder": "small"})
    assert back.state == "failed"
    assert back.tasks["judge"] == "success"
    assert back.tasks["approve"] == "failed"
    assert back.tasks["release"] == "upstream_failed"
    assert back.tasks["report"] == "success"
    assert back.result["released"] is False
    assert back.result["verdict"] == "failed"
    assert back.result["approval"]["approved"] is False
    assert "NotApproved" in back.result["reason"]
    gates = {gate["metric"]: gate for gate in back.result["gates"]}
    assert gates["recall_at_10"]["passed"] is True
    assert "interval" in gates["ndcg_at_10"]["reason"]
    assert gates["ndcg_at_10"]["reason"] in back.result["reason"]
    low, high = (back.result["comparison"]["metrics"]["ndcg_at_10"][bound] for bound in ("low", "high"))
    assert low < high < -0.05  # the margin
    assert made["report"] is not None
    assert back.result["embedded"] == 0  # the nights' vectors were found
    assert bench.serving() == kept
    assert not bench.lease("reindex-lease.json")
    assert len(list((bench.store / "candidates").iterdir())) == candidates  # the refused one was cleared up


def test_a_misspelt_parameter_and_an_upgrade_to_the_same_are_refused_by_the_first_task(bench, static):
    misspelt = bench.run_dag("reindex", ASKED | {"encoder": "minilm", "indx": "Flat"})
    assert misspelt.tasks["preflight"] == "failed"
    assert "parameters that this DAG does not have: indx" in misspelt.result["reason"]
    same = bench.run_dag("reindex", ASKED | {"encoder": "small"})
    assert same.tasks["preflight"] == "failed"
    assert "would change nothing" in same.result["reason"]
    assert live(bench) == static


def test_a_budget_that_does_not_suffice_stops_before_any_embedding_and_shows_the_plan(bench, static):
    ended = bench.run_dag("reindex", ASKED | {"encoder": "minilm", "budget_hours": 1e-9})
    assert ended.tasks["preflight"] == "failed"
    assert "BudgetExceeded" in ended.result["reason"]
    assert ended.result["plan"]["to_embed"] == HELD
    assert ended.result.get("embedded", 0) == 0


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"encoder": "minilm"},
        {"reason": "because"},
        {"encoder": "unheard of", "reason": "because"},
        {"encoder": "minilm", "reason": "x"},
        {"encoder": "minilm", "reason": "because", "sample": -1},
        {"encoder": "minilm", "reason": "because", "budget_hours": 0},
        {"encoder": "minilm", "reason": "because", "approval": "yes"},
    ],
)
def test_no_run_is_made_of_an_incomplete_form(bench, conf):
    """What the API server does with what a form or a client sends."""
    import os

    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["tiny__reindex"]
    form = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).params
    with pytest.raises(ValueError, match=r"Invalid input for param"):
        form.deep_merge(conf).validate()
    assert form.deep_merge({"encoder": "minilm", "reason": "because"}).validate()["sample"] == 2000
