"""`make attack` in its short form, and that it finds what it looks for."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks import attack
from benchmarks.attacks import trial
from benchmarks.attacks.mutations import KINDS, SIGNATURE, meaning_changed, replace_file
from benchmarks.attacks.trial import Target, open_target
from benchmarks.attacks.victim import SPECS, Victim, make_victim
from slipway import signing
from slipway.layout import SERVING
from slipway.serving import loading
from slipway.serving.cache import Cache

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> list[Victim]:
    folder = tmp_path_factory.mktemp("victims")
    return [make_victim(folder / f"victim{n}", spec, folder / f"scratch{n}") for n, spec in enumerate(SPECS)]


@pytest.fixture(params=[False, True], ids=["local", "remote"])
def target(request: pytest.FixtureRequest, victims: list[Victim], tmp_path: Path) -> Target:
    return open_target(victims[1], tmp_path / "target", remote=request.param)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_refused_while_the_old_release_serves(target: Target, kind: str) -> None:
    for number in range(3):
        what, wrong = trial.attack(target, kind, random.Random(f"{kind} {number}"), number)
        assert wrong == [], what


def test_an_intact_release_is_accepted(target: Target) -> None:
    """Or nothing that is refused says anything."""
    target.restore(1)
    for signed in (True, False):
        assert trial._refresh(target, signed) == [f"ACCEPTED by the reader that serves (signed={signed})"]
        assert trial._open(target, signed) == [f"ACCEPTED by a new reader (signed={signed})"]
        assert not trial._serves_old(target, signed)


READ_MANIFEST = loading.read_release_manifest
BREAKS: dict[str, tuple[str, Any, str, Any]] = {
    "sums that nobody compares": ("bit flips", Cache, "fetch", lambda _self, store, sealed: store._root / sealed.key),
    "a manifest's sum that nobody compares": (
        "edited serving.json",
        loading,
        "read_release_manifest",
        lambda store, release_id, _sum, trusted: READ_MANIFEST(store, release_id, None, trusted),
    ),
    "signatures that nobody checks": ("spoilt signature", signing, "check", lambda *_: ""),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_reader_that_does_not_look_is_found(
    broken: str, victims: list[Victim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, *broken_by = BREAKS[broken]
    monkeypatch.setattr(*broken_by)
    for number in range(40):
        target = open_target(victims[0], tmp_path / f"target{number}", remote=True)
        if any("ACCEPTED" in wrong for wrong in trial.attack(target, kind, random.Random(number), number)[1]):
            return
    pytest.fail("nothing was accepted")


def test_what_means_the_same_is_no_mutation(victims: list[Victim], tmp_path: Path) -> None:
    victim = victims[0].copied(tmp_path / "copy")
    serving = (victim.folder / SERVING).read_bytes()
    signature = victim.place(victim.new) / SIGNATURE
    assert meaning_changed(victim, victims[0], serving) == set()
    replace_file(signature, json.dumps(json.loads(signature.read_bytes())).encode())
    replace_file(victim.folder / SERVING, json.dumps(json.loads(serving)).encode())
    assert meaning_changed(victim, victims[0], serving) == set()
    replace_file(signature, b"{}")
    assert meaning_changed(victim, victims[0], serving) == {SIGNATURE}


def test_a_mutation_depends_on_its_seed_and_number_alone(victims: list[Victim], tmp_path: Path) -> None:
    made = []
    for name in "ab":
        victim = victims[2].copied(tmp_path / name)
        made.append([(KINDS["bit flips"](victim, random.Random(3)), KINDS["hostile index"](victim, random.Random(4)))])
        made[-1].append(victim.object(victim.new, "index.faiss").read_bytes())
    assert made[0] == made[1]


def test_a_process_that_dies_is_named_and_the_next_mutation_goes_on(
    victims: list[Victim], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victims.json").write_text(json.dumps([asdict(victim) for victim in victims], default=str))
    run = subprocess.run

    def run_and_die(command: list[str], **options: Any) -> Any:
        result, first = Path(command[4]), int(command[6])
        if first != 0:
            return run(command, **options)
        result.write_text(json.dumps({"number": 0, "kind": "bit flips", "event": "begun"}) + "\n")
        return subprocess.CompletedProcess(command, -signal.SIGSEGV, "", "Segmentation fault")

    monkeypatch.setattr(attack.subprocess, "run", run_and_die)
    outcomes = list(attack.mutate(4, 1, tmp_path))
    assert [outcome["number"] for outcome in outcomes] == [0, 1, 2, 3]
    assert outcomes[0]["wrong"] == [f"CRASH the process ended with status {-signal.SIGSEGV}: Segmentation fault"]
    assert [outcome["wrong"] for outcome in outcomes[1:]] == [[], [], []]


def test_the_last_line_is_for_scripts() -> None:
    command = [sys.executable, "benchmarks/attack.py", "--mutations", "30", "--sequences", "3", "--seed", "11"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    assert made.pop("sequences") >= 3
    assert made == {"mutations": 30, "accepted": 0, "crashes": 0, "broken_pointers": 0}
