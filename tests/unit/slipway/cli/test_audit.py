"""`slipway audit`, as people and scripts call it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway import decisions
from slipway.cli import main
from slipway.decisions import Approval
from slipway.pointer import Change, swap_serving
from slipway.storage import LocalStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    monkeypatch.chdir(tmp_path)
    return LocalStore(tmp_path / "store" / "docs")


def slipway(*options: str) -> Result:
    return CliRunner().invoke(main, ["audit", "docs", "--store", "store", *options])


def test_every_change_is_told_with_who_why_from_and_to(store: LocalStore) -> None:
    swap_serving(store, Change("release", "ada", "first", "run-1"), lambda now: now.promoted("r1", "s1"))
    swap_serving(store, Change("shift", "ada", "next", "run-2", ("deletes",)), lambda now: now.offered("r2", "s2", 10))
    swap_serving(store, Change("take back", "slipway", "slow"), lambda now: now.taken_back("slow"))
    told = slipway().stdout.splitlines()
    assert [line.split("  ")[-1] for line in told[::2]] == [
        "release: nothing → r1",
        "shift at 10 %: r1 → r2",
        "take back: r1 → r1",
    ]
    assert [line.strip() for line in told[1::2]] == [
        "by ada, run run-1: first",
        "by ada, run run-2, allowed deletes: next",
        "by slipway: slow",
    ]
    found = json.loads(slipway("--json", "--last", "1").stdout)
    assert [change["changed"]["action"] for change in found["changes"]] == ["take back"]


def test_the_approval_that_a_change_was_made_by_stands_below_it(store: LocalStore) -> None:
    def decided(run_id: str, who: str, at: str, approved: bool = True) -> None:
        decisions.record(store, run_id, Approval(approved, who, f"says {who}", at, "fail", ("p95_ms",)))

    decided("other", "eve", "2026-01-01T00:00:00+00:00")
    decided("up", "bob", "2026-01-01T00:00:01+00:00", approved=False)
    decided("up", "ann", "2026-01-01T00:00:02+00:00")
    decided("up", "zoe", "2126-01-01T00:00:00+00:00")  # after it
    allowed = ("approval", "override of p95_ms")
    swap_serving(store, Change("release", "ada", "better", "up", allowed), lambda now: now.promoted("r1", "s1"))
    swap_serving(store, Change("release", "ada", "a night", "night"), lambda now: now.promoted("r2", "s2"))
    told = slipway().stdout.splitlines()
    (at,) = (number for number, line in enumerate(told) if "nothing → r1" in line)
    assert told[at + 1].strip() == "by ada, run up, allowed approval, override of p95_ms: better"
    assert told[at + 2].strip().startswith("approved by ann at 2026-01-01T00:00:02+00:00, the verdict was fail, over")
    assert "says zoe" not in "\n".join(told[at:])
    changes = json.loads(slipway("--json").stdout)["changes"]
    assert [change.get("approval", {}).get("who") for change in changes] == ["ann", None]


def test_before_the_first_release_there_is_nothing_to_tell(store: LocalStore) -> None:
    assert slipway().stdout == "docs: nothing was ever released\n"


def test_a_damaged_pointer_hides_no_change(store: LocalStore) -> None:
    swap_serving(store, Change("release", "ada", "first", "run-1"), lambda now: now.promoted("r1", "s1"))
    store.put("serving.json", b"{")
    assert "release: nothing → r1" in slipway().stdout


def test_a_damaged_record_is_told_among_the_others(store: LocalStore) -> None:
    for name in ("r1", "r2", "r3"):
        swap_serving(store, Change("release", "ada", "a night"), lambda now, name=name: now.promoted(name, "s"))
    store.put("audit/00000002.json", b"{half")
    store.put("audit/README", b"hello")
    result = slipway()
    assert result.exit_code == 0
    assert "     2  damaged: audit/00000002.json cannot be read: " in result.stdout
    assert "r2 → r3" in result.stdout
    found = json.loads(slipway("--json").stdout)["changes"]
    assert [(one["generation"], "unreadable" in one) for one in found] == [(1, False), (2, True), (3, False)]


def test_decisions_that_led_to_no_change_and_damaged_ones_are_told(store: LocalStore) -> None:
    def decide(run_id: str, approved: bool) -> None:
        answer = Approval(approved, "ann", f"on {run_id}", "2026-01-31T02:15:00+00:00", "pass")
        decisions.record(store, run_id, answer)

    decide("run-1", True)
    decide("run-2", True)
    decide("run-3", False)
    store.put("decisions/20260101T000000Z-run-0.json", b"{half")
    swap_serving(store, Change("release", "ada", "first", "run-1"), lambda now: now.promoted("r1", "s1"))
    told = slipway()
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert "approved, and not released: the candidate of run run-2" in lines[0]
    assert "rejected: the candidate of run run-3" in lines[2]
    assert "release: nothing → r1" in lines[4]
    assert "damaged: decisions/20260101T000000Z-run-0.json is not a record" in lines[6]
    assert "of run run-1" not in told.stdout
