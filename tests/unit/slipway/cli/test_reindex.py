"""`slipway reindex`, as people and scripts call it, on a small collection with two encoders."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from slipway import decisions, layout
from slipway.cli import main
from slipway.cli import reindex as command
from slipway.lease import read_lease
from slipway.pointer import read_serving
from slipway.storage import LocalStore
from tests.support.campaigns import NAME, TEXTS, Project, a_project

ASKED = ("--encoder", "new", "--reason", "a better model", "--sample", "0")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    project = a_project(tmp_path, LocalStore(tmp_path / "store" / NAME), monkeypatch)
    golden = {"queries": str(project.judge(dict(list(TEXTS.items())[:30])))}
    project.write(golden=golden, gates={"recall_at_10": 0.9})
    project.night("night-1")
    return project


def slipway(*options: str, name: str = "reindex", typed: str = "") -> Result:
    return CliRunner().invoke(
        main, [name, NAME, "--collections", "collections", "--store", "store", *options], input=typed
    )


def made(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def kept(project: Project, run_id: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(project.store.read(layout.result(run_id)).body)
    return told


def impossible(project: Project) -> None:
    """A gate that nothing passes."""
    project.write(golden={"queries": str(project.folder / "golden.jsonl")}, gates={"p95_ms": {"max": 1e-9}})


def test_the_plan_is_printed_and_nothing_is_embedded(project: Project) -> None:
    done = slipway(*ASKED, "--plan")
    assert done.exit_code == 0, done.output
    assert "the plan, nothing embedded" in done.stdout
    assert "40 of 40 chunks" in done.stdout
    assert "on 1 workers" in done.stdout
    assert {space for space, _ in project.embedded} == {"old"}
    lease, _ = read_lease(project.store, layout.REINDEX_LEASE)
    assert lease and lease.state == "free"


def test_without_a_terminal_it_waits_and_goes_on_when_it_is_approved(project: Project) -> None:
    waiting = made(slipway(*ASKED, "--json"))
    assert (waiting["status"], waiting["verdict"], waiting["released"]) == ("waiting", "pass", False)
    done = slipway(*ASKED, "--json", "--approve", "--comment", "as measured")
    assert done.exit_code == 0, done.output
    told = made(done)
    assert (told["status"], told["released"], told["generation"]) == ("released", True, 2)
    assert (told["candidate"], told["approval"]["comment"]) == (waiting["candidate"], "as measured")
    assert max(project.embedded.values()) == 1
    assert kept(project, told["run_id"]) == told
    assert set(told) >= {
        "collection",
        "run_id",
        "encoder",
        "plan",
        "sample",
        "gates",
        "metrics",
        "comparison",
        "seconds",
    }
    trail = slipway(name="audit").stdout
    assert "a better model\n        approved by" in trail
    assert "as measured" in trail


def test_what_passes_goes_live_without_approval(project: Project) -> None:
    told = made(slipway(*ASKED, "--json", "--no-approval"))
    assert (told["status"], told["approval"]["who"]) == ("released", "slipway")


def test_what_fails_is_refused_without_approval(project: Project) -> None:
    impossible(project)
    done = slipway(*ASKED, "--json", "--no-approval")
    told = made(done)
    assert (done.exit_code, told["status"], told["verdict"]) == (1, "refused", "fail")
    assert told["error"]["type"] == "NotApproved"
    assert not project.store.exists(f"{told['candidate']}/manifest.json")
    assert kept(project, told["run_id"])["why"] == told["why"]
    assert read_serving(project.store)[0].generation == 1
    assert "rejected: the candidate of run" in slipway(name="audit").stdout


def test_a_failed_gate_must_be_named_to_be_overridden(project: Project) -> None:
    impossible(project)
    done = slipway(*ASKED, "--approve", "--comment", "latency is fine")
    assert done.exit_code == 2
    assert "not named as overridden: p95_ms. Nothing is decided" in done.stderr
    assert decisions.all(project.store) == []
    done = slipway(*ASKED, "--approve", "--comment", "latency is fine", "--override", "p95_ms")
    assert done.exit_code == 0, done.output
    assert "over the failed gates p95_ms: latency is fine" in done.stdout


def test_at_a_terminal_the_verdict_is_shown_and_asked_about(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "at_terminal", lambda: True)
    done = slipway(*ASKED, typed="n\nnot today\n")
    assert done.exit_code == 1
    assert "The verdict is 'pass'. Approve and release it?" in done.stdout
    assert "rejected the candidate: not today" in done.stderr
    done = slipway(*ASKED, typed="y\n\n")
    assert done.exit_code == 0, done.output
    assert "is live (generation 2)" in done.stdout


def test_at_a_terminal_failed_gates_are_overridden_one_by_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible(project)
    monkeypatch.setattr(command, "at_terminal", lambda: True)
    done = slipway(*ASKED, typed="y\ny\nlatency is fine\n")
    assert done.exit_code == 0, done.output
    assert "Override this failed gate?" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--encoder", "nobody", "--reason", "why not"), "encoder: got 'nobody'; expected one of minilm, new, old"),
        (("--encoder", "new", "--reason", " x "), "reason: got ' x '"),
        (("--encoder", "old", "--reason", "why not"), "would change nothing"),
        (("--encoder", "new", "--reason", "why not", "--index", "HNWS32"), "HNWS32"),
        (("--encoder", "new", "--reason", "why not", "--index", "{spek: Flat}"), "index: field spek"),
        ((*ASKED, "--approve", "--no-approval"), "exclude each other"),
        ((*ASKED, "--comment", "fine"), "belong to --approve"),
    ],
)
def test_what_is_wrong_is_named_before_any_work(project: Project, options: tuple[str, ...], says: str) -> None:
    done = slipway(*options)
    assert says in done.stderr
    assert done.exit_code in (1, 2)
    assert not [info.key for info in project.store.list("runs/") if "manual" in info.key]
