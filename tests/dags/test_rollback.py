"""The rollback DAG, run for real on a local store with releases of random vectors."""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from slipway.errors import ReleaseRefused
from slipway.lease import Holder, held
from slipway.pointer import audit_trail, read_serving, swap_serving
from slipway.storage import LocalStore
from tests.dags.bench import asset_events
from tests.support.releases import a_run, publish

REASON = "prices are missing from the answers"


@dataclass(frozen=True)
class Ended:
    """A finished run of the DAG: its state, what its task returned and failed with, and its run id."""

    state: str
    done: dict[str, Any] | None
    failure: str | None
    run_id: str


@pytest.fixture
def store(bench):
    return LocalStore(bench.store)


@pytest.fixture
def releases(store, tmp_path):
    """The ids of three releases, oldest first; the last one is live."""
    run = a_run(store, tmp_path / "scratch")
    return [publish(replace(run, run_id=f"night-{seed}"), seed).release_id for seed in range(3)]


def run_dag(retries=0, **conf):
    """Run `tiny__rollback` to its end; tries follow each other at once."""
    from airflow.dag_processing.dagbag import DagBag

    from slipway_airflow.steps import FAILURE

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert not bag.import_errors
    dag = bag.dags["tiny__rollback"]
    for task in dag.tasks:
        task.retries, task.retry_exponential_backoff, task.retry_delay = retries, 0, timedelta(seconds=1)
    dag_run = dag.test(run_conf=conf)
    [instance] = dag_run.get_task_instances()
    done, failure = (instance.xcom_pull(task_ids="roll_back", key=key) for key in ("return_value", FAILURE))
    return Ended(str(dag_run.state), done, failure, dag_run.run_id)


def serving(store):
    return read_serving(store)[0]


def live(store):
    return serving(store).live_release.release_id


def test_without_more_than_a_reason_the_standby_release_is_live_again(store, releases):
    events = len(asset_events("slipway/tiny/release"))
    ended = run_dag(reason=REASON)
    assert (ended.state, ended.failure) == ("success", None)
    now = serving(store)
    assert ended.done == {"live": releases[1], "generation": 4, "withdrawn": [releases[2]]}
    assert (now.live_release.release_id, now.generation) == (releases[1], 4)
    assert now.withdrawn[releases[2]].why == REASON
    assert (now.changed.action, now.changed.why) == ("rollback", REASON)
    assert now.changed.run_id.startswith("rollback-")
    told = asset_events("slipway/tiny/release")
    assert len(told) == events + 1
    assert told[-1] == {"release_id": releases[1], "generation": 4}


def test_a_retained_release_can_be_named(store, releases):
    ended = run_dag(reason=REASON, to=f" {releases[0]} ")
    assert ended.done == {"live": releases[0], "generation": 4, "withdrawn": [releases[2]]}
    assert live(store) == releases[0]


def test_it_does_not_wait_for_a_run_at_work_which_is_stale_then(store, releases, tmp_path):
    begun = serving(store).generation
    with held(store, Holder("night-3", "ann", "DAG run")):
        assert run_dag(reason=REASON).state == "success"
    from slipway.stages.release import release
    from tests.support.releases import PASSED, a_candidate, an_evaluation

    run = a_run(store, tmp_path / "scratch", "night-3")
    candidate = a_candidate(run, 7)
    with pytest.raises(ReleaseRefused, match=r"stale"):
        release(run, candidate, an_evaluation(run, candidate), PASSED, begun, "ann", "a night")
    assert live(store) == releases[1]


@pytest.mark.parametrize("reason", ["   ", "\n\t\n"])
def test_an_empty_reason_is_wrong_input(store, releases, reason):
    ended = run_dag(retries=2, reason=reason)
    assert ended.state == "failed"
    assert ended.failure.startswith("InputError: the run was started without a reason")
    assert live(store) == releases[2]


@pytest.mark.parametrize("conf", [{}, {"reason": ""}, {"reason": None}, {"to": "x"}, {"reason": REASON, "to": 7}])
def test_no_run_is_made_of_an_incomplete_form(store, releases, conf):
    """What the API server does with what a form or a client sends."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["tiny__rollback"]
    form = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).params
    with pytest.raises(ValueError, match=r"Invalid input for param (reason|to)"):
        form.deep_merge(conf).validate()
    assert form.deep_merge({"reason": REASON}).validate() == {"reason": REASON, "to": None}


def test_an_unknown_parameter_is_refused(store, releases):
    ended = run_dag(reason=REASON, release=releases[0])
    assert ended.state == "failed"
    assert "parameters that this DAG does not have: release; it has reason, to" in ended.failure
    assert live(store) == releases[2]


def test_a_standby_release_that_was_withdrawn_has_to_be_named(store, releases):
    assert run_dag(reason=REASON).state == "success"
    ended = run_dag(retries=2, reason="worse still")
    assert ended.state == "failed"
    assert ended.failure.startswith(f"ReleaseRefused: the standby release {releases[2]} was withdrawn ({REASON})")
    assert "name it" in ended.failure
    assert live(store) == releases[1]
    assert run_dag(reason="it was good", to=releases[2]).done["live"] == releases[2]
    assert releases[2] not in serving(store).withdrawn


@pytest.mark.parametrize(
    ("to", "failure"),
    [
        ("20200101T000000-0a1b2c3d", "ReleaseRefused: there is no release 20200101T000000-0a1b2c3d; see slipway"),
        ("../serving.json", "InputError: "),
    ],
)
def test_a_release_that_is_not_there_is_refused(store, releases, to, failure):
    ended = run_dag(retries=2, reason=REASON, to=to)
    assert ended.state == "failed"
    assert ended.failure.startswith(failure)
    assert live(store) == releases[2]


@pytest.fixture
def on_trial(store, releases):
    """The release before is live and the newest one is on trial."""
    trial = serving(store).live_release
    change = serving(store).changed

    def offer(now):
        back = replace(now, live=now.standby, slots={now.standby: now.standby_release})
        return back.offered(trial.release_id, trial.manifest_sha256, 10)

    swap_serving(store, replace(change, action="shift"), offer)
    return trial.release_id


def test_during_a_shift_the_release_on_trial_is_taken_back(store, releases, on_trial):
    ended = run_dag(reason=REASON)
    assert ended.done == {"live": releases[1], "generation": 5, "withdrawn": [on_trial]}
    assert serving(store).shift is None
    assert serving(store).withdrawn[on_trial].why == REASON


def test_during_a_shift_another_release_can_be_named(store, releases, on_trial):
    ended = run_dag(reason=REASON, to=releases[0])
    assert ended.done == {"live": releases[0], "generation": 5, "withdrawn": sorted([on_trial, releases[1]])}
    assert serving(store).shift is None


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_retry_after_a_kill_between_swap_and_answer_changes_nothing(
    store, releases, monkeypatch, meanwhile, tmp_path
):
    from slipway import rollback

    tries = []
    real = rollback.outcome

    def killed_once(after):
        tries.append(after.generation)
        if len(tries) == 1:
            if meanwhile:  # and somebody releases before the retry
                publish(a_run(store, tmp_path / "scratch", "night-3"), 7)
            raise SystemExit(9)
        return real(after)

    monkeypatch.setattr(rollback, "outcome", killed_once)
    ended = run_dag(retries=1, reason=REASON)
    assert ended.state == "success"
    assert tries == [4, 4]
    assert ended.done == {"live": releases[1], "generation": 4, "withdrawn": [releases[2]]}
    assert [one["changed"]["action"] for one in audit_trail(store)][3:] == ["rollback", *["release"] * meanwhile]
