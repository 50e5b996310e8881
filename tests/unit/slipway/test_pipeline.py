"""What a run does about failures of the parts that decide nothing: drift and the report."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from slipway import layout, lease, pipeline
from slipway.cli import show
from slipway.errors import EncoderError, RunInProgress, StoreUnreachable
from slipway.pointer import read_serving
from slipway.report import page, report_of_run
from tests.support.campaigns import TEXTS, Project, a_project
from tests.support.memory_store import MemoryStore

NIGHT = "night-2"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = a_project(tmp_path, MemoryStore(), monkeypatch)
    project.night("night-1")
    project.put({**TEXTS, "000": "other text now"})
    return project


def fail(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, error: BaseException) -> None:
    def failing(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(module, name, failing)


def kept(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.store.read(layout.result(NIGHT)).body)
    return found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EncoderError("the model changed"), "EncoderError: the model changed"),
        (ZeroDivisionError("password"), "ZeroDivisionError: see the log"),
    ],
)
def test_drift_that_fails_is_told_and_stops_no_night(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    said: str,
) -> None:
    fail(monkeypatch, pipeline, "observe", error)
    with caplog.at_level(logging.ERROR):
        made = project.night(NIGHT)
    assert (made["released"], made["verdict"]) == (True, "passed")
    assert made["failed"] == [{"task": "drift", "error": said}]
    assert "drift" not in made
    assert kept(project) == made
    assert f"FAILED      drift: {said}" in show.result(made)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


def test_a_report_that_fails_loses_no_result_of_what_is_live(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail(monkeypatch, page, "render", ZeroDivisionError("plot"))
    made = project.night(NIGHT)
    assert read_serving(project.store)[0].changed.run_id == NIGHT
    assert (made["released"], made["failed"][0]["task"]) == (True, "report")
    assert "report" not in made
    assert kept(project) == made
    assert "ZeroDivisionError: plot" in caplog.text


def test_a_person_who_ends_the_run_is_obeyed_and_what_is_live_has_its_result(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, page, "render", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        project.night(NIGHT)
    assert kept(project)["released"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_drift_keeps_nobody_from_ending_the_run(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fail(monkeypatch, pipeline, "observe", error)
    with pytest.raises(type(error)):
        project.night(NIGHT)


def test_a_report_that_fails_does_not_hide_why_nothing_was_released(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, pipeline, "release", StoreUnreachable("gone"))
    fail(monkeypatch, page, "render", ZeroDivisionError("plot"))
    with pytest.raises(StoreUnreachable) as raised:
        project.night(NIGHT)
    assert raised.value.result["failed"] == [{"task": "report", "error": "ZeroDivisionError: see the log"}]
    assert report_of_run(project.store, NIGHT) is None


def test_a_run_whose_lease_was_taken_does_not_go_on_after_drift(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That another run is at work is no failure of drift, although it is found out before it."""
    reached: list[str] = []
    confirm, compare = lease.Hold.confirm, pipeline.compare

    def confirmed(hold: lease.Hold) -> None:
        if reached:
            raise RunInProgress("taken")
        confirm(hold)

    def compared(*args: Any, **kwargs: Any) -> Any:
        reached.append("side_by_side")
        return compare(*args, **kwargs)

    monkeypatch.setattr(lease.Hold, "confirm", confirmed)
    monkeypatch.setattr(pipeline, "compare", compared)
    monkeypatch.setattr(pipeline, "observe", lambda *given: reached.append("drift"))
    with pytest.raises(RunInProgress):
        project.night(NIGHT)
    assert reached == ["side_by_side"]
