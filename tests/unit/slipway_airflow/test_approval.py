"""The task that asks a person: what it puts to them, which answers it takes, and what it keeps of them."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from slipway import checkpoint, decisions
from slipway.checkpoint import Start
from slipway.decisions import Approval
from slipway.reindex.asking import CAMPAIGN, Asked, Campaign
from slipway_airflow import approval
from slipway_airflow.approval import Approve
from slipway_airflow.campaign import approval_of
from slipway_airflow.steps import FAILURE
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run

PASSED = {"metric": "recall_at_10", "value": 0.99, "passed": True, "reason": "recall_at_10 0.99: at least 0.95"}
FAILED = {"metric": "ndcg_at_10", "value": 0.4, "passed": False, "reason": "ndcg_at_10: −0.1 (−0.12 to −0.08)"}
UNSURE = {"metric": "mrr_at_10", "value": 0.4, "passed": False, "undecided": True, "reason": "mrr_at_10: too few"}
OUTCOMES = {"pass": [PASSED], "undecided": [PASSED, UNSURE], "fail": [PASSED, FAILED, UNSURE]}
ANN = {"id": "7", "name": "ann"}


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """A campaign that has begun and may be asked about; `asks` says whether a person is to be."""
    run = a_run(MemoryStore(), tmp_path, "reindex-manual__1")

    def begin(asks):
        asked = Asked("minilm", "", "better", "ada", 0, asks, None)
        settings = {CAMPAIGN: Campaign(asked, "e" * 16).as_json()}
        checkpoint.begin(run, Start(3, "r1", "f" * 16, settings=settings))
        return run

    @contextmanager
    def open_campaign(lease=True):
        assert not lease  # nobody waits for whoever is asked
        yield run

    monkeypatch.setattr(approval, "open_campaign", open_campaign)
    return begin


class Instance:
    """The task instance of `approve`, as far as the task looks at it."""

    id, dag_id, run_id, map_index = "ti-1", "pydocs__reindex", "manual__2026-11-21T02:15:00+00:00", -1

    def __init__(self):
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed[key] = value


def task(outcome, hours=72.0):
    judged = {"outcome": outcome, "gates": OUTCOMES[outcome], "report": None, "comparison": {}}
    return Approve(task_id="approve", judged=judged, hours=hours)


def context(asks=True):
    ti = Instance()
    return {"ti": ti, "task_instance": ti, "params": {"approval": asks, "reason": "a newer model"}}


def answered(chosen="Approve", user=ANN, **fields):
    """What Airflow resumes the task with."""
    return {
        "chosen_options": [chosen],
        "params_input": fields,
        "responded_by_user": user,
        "responded_at": datetime(2026, 11, 21, 10, tzinfo=UTC),
        "timedout": user is None,
    }


def kept(run):
    return decisions.all(run.store)


def test_a_person_is_asked_with_the_verdict_the_gates_and_the_reports_address(campaign, monkeypatch):
    campaign(True)
    put = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **given: put.update(given)
    )
    with pytest.raises(TaskAwaitingInput) as parked:
        task("fail", hours=5).execute(context())
    assert parked.value.timeout.total_seconds() == 5 * 3600
    assert put["subject"] == "pydocs: release the new index? It failed its gates"
    assert r"ndcg\_at\_10: −0.1 \(−0.12 to −0.08\)" in put["body"]
    assert "/slipway/dags/pydocs__reindex/runs/manual__2026-11-21T02%3A15%3A00%2B00%3A00/report" in put["body"]
    assert (put["options"], put["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert list(put["params"]) == ["comment", "override"]
    assert put["params"]["comment"]["value"] is None


@pytest.fixture
def questions(monkeypatch):
    """What was put to Airflow."""
    put = []
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **given: put.append(given["subject"])
    )
    return put


def test_the_same_question_is_put_again_after_an_answer_that_lacked_words(campaign, questions):
    campaign(True)
    for _ in range(2):
        with pytest.raises(TaskAwaitingInput):
            task("fail").execute(context())
    assert len(questions) == 2


def test_no_other_question_is_put_in_a_run_as_airflow_would_show_the_first(campaign, questions):
    campaign(True)
    with pytest.raises(TaskAwaitingInput):
        task("pass").execute(context())
    again = context()
    with pytest.raises(AirflowFailException, match=r"InputError: this run has asked before .* start a new run"):
        task("fail").execute(again)
    assert len(questions) == 1
    assert again["ti"].pushed[FAILURE].startswith("InputError")


def test_an_answer_to_another_question_is_not_taken(campaign, questions):
    run = campaign(True)
    with pytest.raises(TaskAwaitingInput):
        task("pass").execute(context())
    for chosen in ("Approve", "Reject"):
        with pytest.raises(AirflowFailException, match="InputError: this run has asked before"):
            task("undecided").execute_complete(context(), answered(chosen, comment="fine"))
    assert kept(run) == []


def test_an_approval_is_the_same_after_its_way_through_json():
    given = Approval(True, "ann", "fine", "2026-11-21T10:00:00+00:00", "fail", ("ndcg_at_10", "p95_ms"))
    assert approval_of(json.loads(json.dumps(given.as_json()))) == given
    assert approval_of(given.as_json()) == given


def test_what_passed_needs_an_approval_and_no_words(campaign):
    run = campaign(True)
    given = task("pass").execute_complete(context(), answered())
    assert (given["approved"], given["who"], given["outcome"], given["overrode"]) == (True, "ann", "pass", [])
    assert [one["who"] for one in kept(run)] == ["ann"]
    assert kept(run)[0]["run_id"] == run.run_id


def test_a_failed_gate_is_passed_by_its_name_and_a_comment_only(campaign):
    run = campaign(True)
    for fields in ({}, {"comment": "we know"}, {"override": "ndcg_at_10"}, {"comment": "x", "override": "mrr_at_10"}):
        asked = context()
        with pytest.raises(AirflowFailException, match=r"InputError: .*clear this task to be asked again"):
            task("fail").execute_complete(asked, answered(**fields))
        assert asked["ti"].pushed[FAILURE].startswith("InputError")
    assert kept(run) == []  # nothing was decided, and the candidate stays
    given = task("fail").execute_complete(context(), answered(comment=" we know ", override=" ndcg_at_10, mrr_at_10 "))
    assert (given["comment"], given["overrode"]) == ("we know", ["ndcg_at_10"])
    assert kept(run)[0]["overrode"] == ["ndcg_at_10"]


def test_what_is_undecided_needs_a_comment(campaign):
    campaign(True)
    with pytest.raises(AirflowFailException, match="comment"):
        task("undecided").execute_complete(context(), answered(comment="  "))
    assert task("undecided").execute_complete(context(), answered(comment="sure"))["approved"] is True


def test_a_rejection_fails_the_task_and_is_kept(campaign):
    run = campaign(True)
    asked = context()
    with pytest.raises(AirflowFailException, match=r"NotApproved: ann rejected the candidate: not now"):
        task("pass").execute_complete(asked, answered("Reject", comment="not now"))
    assert asked["ti"].pushed[FAILURE].startswith("NotApproved")
    assert [(one["approved"], one["who"]) for one in kept(run)] == [(False, "ann")]


def test_no_answer_in_time_is_a_rejection(campaign):
    run = campaign(True)
    with pytest.raises(AirflowFailException, match=r"NotApproved: nobody approved the candidate in time"):
        task("pass").execute_complete(context(), answered("Reject", None, comment="", override=""))
    assert [one["approved"] for one in kept(run)] == [False]


def test_a_field_that_is_not_asked_for_is_refused(campaign):
    run = campaign(True)
    with pytest.raises(AirflowFailException, match=r"not asked for: overide; it takes comment, override"):
        task("fail").execute_complete(context(), answered(comment="x", overide="ndcg_at_10"))
    assert kept(run) == []


def test_where_nobody_is_to_be_asked_the_gates_decide(campaign, monkeypatch):
    def asked(**given):
        raise AssertionError("somebody was asked")

    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", asked)
    run = campaign(False)
    assert task("pass").execute(context(asks=False))["approved"] is True
    for outcome in ("undecided", "fail"):
        with pytest.raises(AirflowFailException, match="NotApproved") as refused:
            task(outcome).execute(context(asks=False))
        assert OUTCOMES[outcome][-1]["reason"] in str(refused.value)
    assert {one["approved"] for one in kept(run)} <= {True, False}


@pytest.mark.parametrize(
    ("base", "start"), [("", "/slipway/"), ("https://air.example/a/", "https://air.example/a/slipway/")]
)
def test_the_reports_address_is_below_airflows_own(monkeypatch, base, start):
    monkeypatch.setattr(approval, "conf", SimpleNamespace(get=lambda *given, **more: base))
    assert approval.report_address("a__reindex", "m/1") == f"{start}dags/a__reindex/runs/m%2F1/report"
