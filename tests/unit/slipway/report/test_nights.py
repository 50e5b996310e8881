"""Which runs of the pipeline write a report."""

from dataclasses import replace

import pytest

from slipway import checkpoint
from slipway.manifest import Draft
from slipway.report import read_document, report_of_run
from slipway.report.nights import report_night
from slipway.result import Steps, assemble
from slipway.stages.release import name_release
from tests.support.releases import FAILED
from tests.support.reports import PLAN, STAGES, a_judgement


@pytest.fixture
def made(store, tmp_path):
    return a_judgement(store, tmp_path, kind="nightly")


@pytest.fixture
def steps(made):
    given = made.reported
    return Steps(
        start=checkpoint.start_of(made.run),
        plan=Draft(made.run.store, "runs/r/plan", "plan", "r").seal(
            {name: PLAN[name] for name in ("to_embed", "chunks", "tokens")}, {"estimate": {"minutes": 135.4}}
        ),
        candidate=given.candidate,
        evaluation=given.evaluation,
        comparison=given.comparison,
        drift=given.drift,
        verdict=given.verdict,
        seconds=dict(STAGES),
    )


def test_what_a_run_judged_is_reported_and_named_by_its_result(store, made, steps):
    steps.report = report_night(made.run, steps, "run by hand")
    found = read_document(store, steps.report)
    assert (found["kind"], found["reason"], found["seconds"]) == ("nightly", "run by hand", STAGES)
    assert found["plan"] == {"to_embed": 84_211, "chunks": 84_211, "tokens": 9_876_543, "minutes": 135.4}
    assert found["comparison"]["live"] == steps.start.live_release
    assert assemble(made.run, Steps(report=steps.report))["report"] == steps.report.place


def test_a_run_that_did_not_come_to_its_gates_has_no_report(store, made, steps):
    steps.verdict = None
    assert report_night(made.run, steps, "") is None
    assert report_of_run(store, made.run.run_id) is None
    assert "report" not in assemble(made.run, Steps())


def test_a_night_in_which_nothing_changed_has_no_report(made, steps):
    steps.start = replace(steps.start, live_release=name_release(steps.candidate, steps.evaluation))
    assert report_night(made.run, steps, "") is None


def test_what_is_live_and_fails_a_gate_now_is_reported(made, steps):
    steps.start = replace(steps.start, live_release=name_release(steps.candidate, steps.evaluation))
    steps.verdict = FAILED
    assert report_night(made.run, steps, "").facts["outcome"] == "fail"


def test_the_newest_report_of_a_run_is_its_own(store, made, steps):
    first = report_night(made.run, steps, "")
    other = replace(made.run, run_id=f"{made.run.run_id}-more")
    report_night(other, steps, "")
    assert report_of_run(store, made.run.run_id) == first
