"""What the killing of nights counts as a difference, and where it hits."""

import copy
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import is_failed, summary, table
from benchmarks.kills.deaths import Fate, FatefulStore, Moment
from benchmarks.kills.diary import Diary, read_diary
from benchmarks.kills.place import Place
from benchmarks.kills.trial import BOTH, NEW, Kill, Outcome, failure, half_done, replacing, unequal, unmaintained
from benchmarks.kills.undisturbed import CLOCK, GROUP, SWAP, Maintenance, Night

BEFORE: dict[str, Any] = {
    "sealed": ["a", "z"],
    "generation": 1,
    "live": {"chunks": ["2 rows, ab"], "answers": [["x"]], "index": "built: nothing is released yet"},
}
AFTER: dict[str, Any] = {
    "sealed": ["b"],
    "generation": 2,
    "live": {"chunks": ["3 rows, cd"], "answers": [["y"]], "index": "updated: 1 texts came and 2 went"},
}
MAINTAINED: dict[str, Any] = {**BEFORE, "sealed": ["a"]}
ENDED = {"event": "ended", "released": True, "verdict": "passed", "reason": None}


def operation(number: int, stage: str, method: str, key: str) -> dict[str, Any]:
    return {"event": "operation", "number": number, "stage": stage, "method": method, "key": key}


DIARY = [
    operation(1, "preflight", "read", "serving.json"),
    {"event": "group", "number": 1, "stage": "embed"},
    {"event": "encoded", "hashes": ["a"]},
    operation(2, "embed", "put_if", "vectors/x/y/manifest.json"),
    operation(3, "index", "upload", "candidates/c/1/index.faiss"),
    operation(4, "release", "copy", "releases/r/1/index.faiss"),
    operation(5, "release", "put_if", "releases/r/manifest.json"),
    operation(6, "release", "put_if", "serving.json"),
    operation(7, "between stages", "put", "runs/r/result.json"),
    ENDED,
]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    maintenance = Maintenance([operation(1, "maintenance", "delete", "runs/r/raw/x"), ENDED], MAINTAINED)
    return Night(1, "HNSW32", Place(tmp_path), BEFORE, AFTER, 2.0, DIARY, maintenance)


def test_every_stage_and_every_moment_that_matters_can_be_hit(night: Night) -> None:
    assert dict(night.targets) == {
        CLOCK: [],
        "preflight": [1],
        GROUP: [1],
        "embed": [2],
        "index: update of HNSW32": [3],
        "release": [4, 5, 6],
        SWAP: [5, 6],
        "between stages": [7],
        "maintenance": [1],
    }
    others = {"preflight", "embed", "release", "between stages", "maintenance"}
    assert night.stages == {"index: update of HNSW32", *others}


def test_an_index_that_was_built_anew_is_another_stage(night: Night) -> None:
    assert replace(night, after=BEFORE).named("index") == "index: build"
    assert night.named("embed") == "embed"


def test_equal_states_have_no_differences() -> None:
    assert list(unequal(AFTER, copy.deepcopy(AFTER))) == []


@pytest.mark.parametrize(("name", "value"), [("chunks", ["3 rows, xx"]), ("answers", [[]]), ("more", 1)])
def test_whatever_differs_in_the_live_release_is_told(name: str, value: object) -> None:
    other = {**AFTER, "live": {**AFTER["live"], name: value}}
    assert [told.split(":")[0] for told in unequal(AFTER, other)] == [name]


def test_another_generation_is_a_difference() -> None:
    assert list(unequal(AFTER, {**AFTER, "generation": 3})) == ["generation 3, undisturbed 2"]


def test_after_a_kill_the_old_or_the_new_release_is_live(night: Night) -> None:
    assert list(half_done(night, BEFORE)) == []
    assert list(half_done(night, AFTER)) == []
    assert len(list(half_done(night, {**BEFORE, "live": {}}))) == 1


def test_a_run_that_fails_or_is_refused_is_a_difference() -> None:
    assert list(failure([ENDED])) == []
    assert list(failure([{**ENDED, "verdict": "failed", "reason": "recall"}])) != []
    assert list(failure([{"event": "failed", "error": "boom"}])) == ["the run did not end: boom"]
    assert list(failure([])) != []


def test_an_old_run_may_be_refused_as_stale_and_nothing_else() -> None:
    assert list(replacing([ENDED])) == []
    assert list(replacing([{"event": "failed", "kind": "ReleaseRefused", "error": "stale"}])) == []
    assert list(replacing([{"event": "failed", "kind": "GateRefused", "error": "recall"}])) != []
    assert list(replacing([])) != []


def test_a_maintenance_keeps_what_is_live_and_the_vectors_that_an_undisturbed_one_keeps(night: Night) -> None:
    assert list(unmaintained(night, MAINTAINED)) == []
    assert len(list(unmaintained(night, {**MAINTAINED, "sealed": []}))) == 1
    assert len(list(unmaintained(night, BEFORE))) == 1
    assert len(list(unmaintained(night, {**MAINTAINED, "generation": 2}))) == 1


def test_the_last_line_adds_up_and_a_night_killed_twice_counts_in_both_lines() -> None:
    outcomes = [Outcome([Kill("index", "index", NEW), Kill("any moment", "embed", BOTH)], ["x"], 3), Outcome()]
    stages = ["embed", "index", "plan"]
    assert summary(outcomes, 9, stages) == {
        "kills": 2,
        "seed": 9,
        "differences": 1,
        "embedded_twice": 3,
        "not_hit": ["plan"],
    }
    assert table(outcomes, stages).splitlines()[2:] == [
        "| embed | 1 | 0 | 0 | 1 | 0 | 1 | 3 |",
        "| index | 1 | 0 | 1 | 0 | 0 | 1 | 3 |",
        "| plan | 0 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "",
        "not hit: plan",
    ]


def test_a_stage_that_was_not_hit_is_a_failure_where_there_were_kills_enough() -> None:
    stages = ["embed", "plan"]
    once, all_over = Outcome([Kill("embed", "embed")]), Outcome([Kill("plan", "plan")])
    assert not is_failed(summary([once] * 5, 1, stages), stages)
    assert is_failed(summary([once] * 6, 1, stages), stages)
    assert not is_failed(summary([once] * 5 + [all_over], 1, stages), stages)
    assert is_failed(summary([Outcome(differences=["x"])], 1, stages), stages)
    assert is_failed(summary([Outcome(embedded_twice=1)], 1, stages), stages)


@pytest.mark.parametrize("after", [False, True])
def test_a_process_dies_at_its_operation_before_or_after_it(tmp_path: Path, after: bool) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from benchmarks.kills.deaths import Fate, FatefulStore, Moment\n"
        "from benchmarks.kills.diary import Diary\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"fate = Fate(Diary(folder / 'diary'), Moment('operation', 2, {after}))\n"
        "store = FatefulStore(folder / 'store', fate)\n"
        "[store.put(key, b'x') for key in ('a', 'b', 'c')]\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root)
    assert done.returncode == -signal.SIGKILL
    assert [event["key"] for event in read_diary(tmp_path / "diary")] == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == (["a", "b"] if after else ["a"])


def test_an_undisturbed_store_does_what_a_store_does_and_writes_it_down(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    store = FatefulStore(tmp_path / "store", Fate(Diary(diary), None)).scoped("docs")
    version = store.put_if("one", b"1", None)
    store.copy("one", "two")
    assert (store.read("two").body, store.read("one").version) == (b"1", version)
    assert [info.key for info in store.list()] == ["one", "two"]
    store.delete("one")
    methods = [event["method"] for event in read_diary(diary)]
    assert methods == ["put_if", "read", "copy", "read", "read", "list", "delete"]


def test_a_group_is_written_down_before_the_process_dies_after_it(tmp_path: Path) -> None:
    fate = Fate(Diary(tmp_path / "diary"), Moment("group", 5, True))
    assert fate.group(["h1", "h2"], lambda: random.Random(1).random()) == random.Random(1).random()
    assert [event["event"] for event in read_diary(tmp_path / "diary")] == ["group", "encoded"]
