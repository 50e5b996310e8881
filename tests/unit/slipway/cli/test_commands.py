"""How options become what a run is told. The stages themselves are called end to end elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from slipway import pipeline
from slipway.checkpoint import ALLOWANCES
from slipway.cli import main
from slipway.errors import BreakerTripped, BudgetExceeded
from slipway.pipeline import Options
from slipway.run import Run
from tests.unit.slipway.results import a_result

COLLECTION = """
sources: [{name: api, kind: lake, path: lake, id: id, text: "{body}"}]
encoder: {name: none, folder: model, dimension: 4, max_tokens: 256}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.yaml").write_text(COLLECTION)
    return tmp_path


@pytest.fixture
def told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Options, dict[str, Any]]]:
    """What the pipeline was called with, call by call; it answers with a result."""
    calls: list[tuple[Options, dict[str, Any]]] = []

    def answer(run: Run, options: Options, **others: Any) -> dict[str, Any]:
        assert (run.collection.name, run.scratch.is_dir()) == ("docs", True)
        calls.append((options, others))
        return a_result()

    monkeypatch.setattr(pipeline, "run_pipeline", answer)
    monkeypatch.setattr(pipeline, "run_plan", answer)
    return calls


def slipway(command: str, *options: str) -> Result:
    return CliRunner().invoke(main, [command, "docs", "--collections", ".", "--store", "store", *options])


@pytest.mark.parametrize("command", ["run", "plan"])
def test_nothing_is_allowed_by_itself(told: list[tuple[Options, dict[str, Any]]], command: str) -> None:
    assert slipway(command, "--json").exit_code == 0
    [(options, _)] = told
    assert (options.allowed, options.full) == (frozenset(), False)


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize(
    ("option", "allowed"),
    [
        ("--allow-deletes", "deletes"),
        ("--allow-changes", "changes"),
        ("--allow-encoder-change", "encoder_change"),
        ("--allow-undecided", "undecided"),
        ("--over-budget", "over_budget"),
    ],
)
def test_each_option_allows_its_own(
    told: list[tuple[Options, dict[str, Any]]], command: str, option: str, allowed: str
) -> None:
    assert slipway(command, option).exit_code == 0
    assert told[0][0].allowed == {allowed}


def test_everything_can_be_allowed_at_once(told: list[tuple[Options, dict[str, Any]]]) -> None:
    allowances = ("--allow-deletes", "--allow-changes", "--allow-encoder-change", "--allow-undecided", "--over-budget")
    options = (*allowances, "--full", "--take-over")
    assert slipway("run", *options, "--reason", "they closed").exit_code == 0
    [(given, others)] = told
    assert (given.allowed, given.full, given.why) == (set(ALLOWANCES), True, "they closed")
    assert others == {"take_over": True}


def test_a_run_takes_nothing_over_by_itself(told: list[tuple[Options, dict[str, Any]]]) -> None:
    assert slipway("run").exit_code == 0
    assert told[0][1] == {"take_over": False}


def test_a_plan_is_printed_for_people_or_for_machines(told: list[tuple[Options, dict[str, Any]]]) -> None:
    assert json.loads(slipway("plan", "--json").stdout) == a_result()
    assert "embed 55 of 9,876 chunks" in slipway("plan").stdout


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception, result: dict[str, Any] | None) -> None:
    def fail(*_: object, **__: object) -> None:
        error.result = result  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(pipeline, "run_plan", fail)


def test_a_plan_over_its_budget_is_shown_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, BudgetExceeded("too much"), a_result())
    shown, said = slipway("plan"), slipway("plan", "--json")
    assert (shown.exit_code, said.exit_code) == (1, 1)
    assert "embed 55 of 9,876 chunks" in shown.stdout
    assert shown.stderr.endswith("BudgetExceeded: too much\n")
    made = json.loads(said.stdout)
    assert made["plan"] == a_result()["plan"]
    assert made["error"] == {"type": "BudgetExceeded", "message": "too much"}


def test_a_plan_that_a_breaker_refuses_is_shown_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, BreakerTripped("too many"), a_result())
    shown = slipway("plan")
    assert shown.exit_code == 1
    assert "embed 55 of 9,876 chunks" in shown.stdout
    assert "BreakerTripped: too many" in shown.stderr
