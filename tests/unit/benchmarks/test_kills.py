"""What the killing of nights counts as a difference, and where it hits."""

import copy
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import summary, table
from benchmarks.kills.deaths import Fate, FatefulStore, Moment
from benchmarks.kills.diary import Diary, read_diary
from benchmarks.kills.place import Place
from benchmarks.kills.trial import Kill, Outcome, failure, half_done, unequal
from benchmarks.kills.undisturbed import CLOCK, GROUP, SWAP, Night

BEFORE: dict[str, Any] = {"sealed": ["a"], "generation": 1, "live": {"chunks": ["2 rows, ab"], "answers": [["x"]]}}
AFTER: dict[str, Any] = {"sealed": ["b"], "generation": 2, "live": {"chunks": ["3 rows, cd"], "answers": [["y"]]}}
ENDED = {"event": "ended", "released": True, "verdict": "passed", "reason": None}


def operation(number: int, stage: str, method: str, key: str) -> dict[str, Any]:
    return {"event": "operation", "number": number, "stage": stage, "method": method, "key": key}


DIARY = [
    operation(1, "preflight", "read", "serving.json"),
    {"event": "group", "number": 1, "stage": "embed"},
    {"event": "encoded", "hashes": ["a"]},
    operation(2, "embed", "put_if", "vectors/x/y/manifest.json"),
    operation(3, "release", "copy", "releases/r/1/index.faiss"),
    operation(4, "release", "put_if", "releases/r/manifest.json"),
    operation(5, "release", "put_if", "serving.json"),
    operation(6, "between stages", "put", "runs/r/result.json"),
    ENDED,
]


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(1, Place(tmp_path), BEFORE, AFTER, 2.0, DIARY)


def test_every_stage_and_every_moment_that_matters_can_be_hit(night: Night) -> None:
    assert dict(night.targets) == {
        CLOCK: [],
        "preflight": [1],
        GROUP: [1],
        "embed": [2],
        "release": [3, 4, 5],
        SWAP: [4, 5],
        "between stages": [6],
    }


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


def test_the_last_line_adds_up_and_a_night_killed_twice_counts_in_both_lines() -> None:
    outcomes = [Outcome(0, [Kill("index", "index", "retry"), Kill("any moment", "embed")], ["x"], 3), Outcome(1)]
    assert summary(outcomes, 9) == {"kills": 2, "seed": 9, "differences": 1, "embedded_twice": 3}
    assert table(outcomes).splitlines()[2:] == [
        "| embed | 1 | 0 | 1 | 0 | 1 | 3 |",
        "| index | 1 | 1 | 0 | 0 | 1 | 3 |",
    ]


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
