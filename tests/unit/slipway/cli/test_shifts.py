"""What commands print of shifts and readers, and `slipway releases` as people and scripts call it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway import acknowledgement, layout
from slipway.cli import main, shifts, show
from slipway.pointer import Serving, read_serving, swap_serving
from slipway.storage import LocalStore
from tests.support.playing import said
from tests.support.releases import a_run, again, publish
from tests.unit.slipway.results import a_result

STEP = {"percent": 10, "readers": 2, "queries": 12_345, "errors": 6, "p95_ms": 1.2345, "live_p95_ms": None}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """The store of `docs`: the second release is on trial at 10 %."""
    store = LocalStore(tmp_path / "store" / "docs")
    run = a_run(store, tmp_path / "scratch")
    for seed in range(2):
        publish(again(run, f"night-{seed}"), seed)
    now, _ = read_serving(store)
    trial, change = now.live_release, now.changed
    assert trial is not None
    assert change is not None

    def offer(now: Serving) -> Serving:
        back = replace(now, live=now.standby, slots={now.standby: now.slots[now.standby]})
        return back.offered(trial.release_id, trial.manifest_sha256, 10)

    swap_serving(store, change, offer)
    return store


def releases(store: LocalStore, *options: str) -> str:
    root = str(Path(str(store.local_path("serving.json"))).parents[1])
    done = CliRunner().invoke(main, ["releases", "docs", "--store", root, *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_steps_of_a_shift_are_a_table_below_the_result() -> None:
    page = show.result(a_result(shift=[STEP, STEP | {"percent": 100}]))
    table = [line.split() for line in page.splitlines()[-3:]]
    assert table[0] == ["share", "readers", "queries", "failed", "p95", "live", "p95"]
    assert table[1] == ["10", "%", "2", "12,345", "6", "1.23", "ms", "-"]
    assert "the shift" not in show.result(a_result())
    assert "the shift" not in show.result(a_result(shift=[]))


def test_a_shift_under_way_and_its_readers_are_shown(store: LocalStore) -> None:
    now, _ = read_serving(store)
    assert now.trial is not None
    assert now.live_release is not None
    acknowledgement.publish(store, said("web-1", now))
    acknowledgement.publish(store, said("web-2", now, refuses="its smoke queries find nothing"))
    page = releases(store)
    assert f"a shift is under way: {now.trial.release_id} answers 10 %, since " in page
    assert f"  trial      {now.trial.release_id}" in page
    assert f"  live       {now.live_release.release_id}" in page
    [web_1] = [line.split() for line in page.splitlines() if line.startswith("  web-1")]
    assert web_1[1:6] == ["host", now.live_release.release_id, now.trial.release_id, "10", "%"]
    assert web_1[6:9] == ["0", "/", "40"]
    assert f"refused {now.trial.release_id}: its smoke queries find nothing" in page
    assert "SILENT" not in page


def test_readers_that_are_behind_or_unreadable_are_marked(store: LocalStore) -> None:
    now, _ = read_serving(store)
    acknowledgement.publish(store, replace(said("web-1", now), generation=1))
    store.put(layout.reader("web-2"), b"{")
    page = releases(store)
    assert next(line for line in page.splitlines() if line.startswith("  web-1")).endswith("  behind")
    assert "readers/web-2.json cannot be read" in page


def test_without_readers_that_is_said(store: LocalStore) -> None:
    assert "no reader follows this collection" in releases(store)


def test_scripts_get_all_of_it_in_one_document(store: LocalStore) -> None:
    now, _ = read_serving(store)
    acknowledgement.publish(store, said("web-1", now))
    found = json.loads(releases(store, "--json"))
    assert found["shift"]["percent"] == 10
    assert [one["name"] for one in found["readers"]] == ["web-1"]
    assert found["unreadable"] == []
    assert sorted(one["state"] for one in found["releases"]) == ["live", "trial"]


def test_a_silent_reader_is_marked() -> None:
    row = {"name": "web-1", "host": "h", "serves": None, "trial": None, "percent": 0, "queries": 0, "errors": 0}
    row |= {
        "p95_ms": None,
        "heard_at": "2026-01-01T12:00:00+00:00",
        "silent": True,
        "behind": False,
        "refuses": False,
        "refused": [],
    }
    assert shifts.readers({"readers": [row], "unreadable": []})[-1].endswith("2026-01-01T12:00:00+00:00  SILENT")
