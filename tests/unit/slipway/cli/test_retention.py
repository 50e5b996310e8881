"""`slipway retention`, `pin` and `unpin`, as people and scripts call them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.lease import Holder, held, read_lease
from slipway.pointer import read_serving
from slipway.storage import LocalStore
from tests.support.releases import a_run, again, publish
from tests.support.retaining import places_of

COLLECTION = """
sources: [{name: api, kind: lake, path: lake, id: id, text: "{body}"}]
encoder: {name: none, folder: model, dimension: 4, max_tokens: 256}
release: {keep: 2}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """The store of the collection `docs`."""
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.yaml").write_text(COLLECTION)
    return LocalStore(tmp_path / "store" / "docs")


@pytest.fixture
def releases(store: LocalStore, tmp_path: Path) -> list[str]:
    """Four releases, oldest first."""
    run = a_run(store, tmp_path / "scratch")
    return [publish(again(run, f"night-{seed}"), seed, count=12).release_id for seed in range(4)]


def slipway(command: str, *options: str) -> Result:
    return CliRunner().invoke(main, [command, "docs", *options, "--collections", ".", "--store", "store"])


def test_a_dry_run_says_of_each_release_why_and_removes_nothing(store: LocalStore, releases: list[str]) -> None:
    slipway("pin", releases[0], "--reason", "for the auditors")
    before = [info.key for info in store.list()]
    done = slipway("retention", "--dry-run")
    assert done.exit_code == 0, done.output
    title, _, *lines = done.stdout.splitlines()
    assert title.startswith("docs: 1 of 4 releases would go (")
    assert title.endswith("); the newest 2 are kept, and what is in use")
    said = [
        f"  kept      {releases[3]}  live",
        f"{'':<{len(releases[3]) + 14}}number 1 of the newest 2",
        f"  kept      {releases[2]}  on standby",
        f"{'':<{len(releases[3]) + 14}}number 2 of the newest 2",
        f"  would go  {releases[1]}  older than the newest 2 whole releases, and not in use",
    ]
    assert lines[:5] == said
    assert lines[5].startswith(f"  kept      {releases[0]}  pinned by ")
    assert lines[5].endswith(": for the auditors")
    assert [info.key for info in store.list()] == before
    assert read_lease(store) == (None, None)


def test_it_removes_and_says_what_went(store: LocalStore, releases: list[str]) -> None:
    done = slipway("retention")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("docs: 2 of 4 releases went (")
    assert f"  went      {releases[0]}  " in done.stdout
    assert places_of(store) == set(releases[2:])
    again = slipway("retention")
    assert again.stdout.splitlines()[0] == "docs: 0 of 2 releases went; the newest 2 are kept, and what is in use"
    lease, _ = read_lease(store)
    assert lease and (lease.state, lease.holder.what) == ("free", "retention")


def test_machines_get_one_document(store: LocalStore, releases: list[str]) -> None:
    told, done = (json.loads(slipway("retention", "--json", *more).stdout) for more in (["--dry-run"], []))
    assert told == done | {"dry_run": True}
    assert (done["collection"], done["keep"], done["removed"]) == ("docs", 2, releases[1::-1])
    assert [one["release_id"] for one in done["releases"]] == releases[::-1]
    assert [one["kept"] for one in done["releases"]] == [True, True, False, False]
    assert done["bytes_freed"] == sum(one["bytes"] for one in done["releases"] if not one["kept"]) > 0


def test_a_collection_without_releases(store: LocalStore) -> None:
    done = slipway("retention")
    assert (done.exit_code, done.stdout) == (
        0,
        "docs: 0 of 0 releases went; the newest 2 are kept, and what is in use\n",
    )


def test_it_waits_for_a_run_at_work_unless_it_is_told_to_take_over(store: LocalStore, releases: list[str]) -> None:
    with held(store, Holder("night-1", "ann", "run")):
        refused = slipway("retention", "--json")
        assert refused.exit_code == 3
        assert json.loads(refused.stdout)["error"]["type"] == "RunInProgress"
        assert slipway("retention", "--dry-run").exit_code == 0
        assert places_of(store) == set(releases)
    assert slipway("retention", "--take-over").exit_code == 0
    assert places_of(store) == set(releases[2:])


def test_a_pin_is_set_shown_and_taken_away(store: LocalStore, releases: list[str]) -> None:
    pinned = slipway("pin", releases[0], "--reason", "for the auditors")
    assert pinned.exit_code == 0, pinned.output
    assert pinned.stdout == f"docs: release {releases[0]} is kept until it is unpinned: for the auditors\n"
    shown = slipway("releases").stdout.splitlines()
    [line] = [number for number, line in enumerate(shown) if releases[0] in line]
    assert shown[line + 1].strip().startswith("pinned by ")
    assert shown[line + 1].endswith(": for the auditors")
    assert json.loads(slipway("releases", "--json").stdout)["pins"][releases[0]]["why"] == "for the auditors"
    slipway("retention")
    assert releases[0] in places_of(store)
    assert "is not pinned any more" in slipway("unpin", releases[0]).stdout
    slipway("retention")
    assert releases[0] not in places_of(store)
    assert read_serving(store)[0].retired == {}


def test_pins_for_machines(store: LocalStore, releases: list[str]) -> None:
    pinned = json.loads(slipway("pin", releases[0], "--reason", "for the auditors", "--json").stdout)
    assert (pinned["pinned"], pinned["release_id"], pinned["why"]) == (True, releases[0], "for the auditors")
    unpinned = json.loads(slipway("unpin", releases[0], "--json").stdout)
    assert unpinned == {"collection": "docs", "pinned": False, "release_id": releases[0]}


@pytest.mark.parametrize(
    ("command", "options", "status", "said"),
    [
        ("pin", ["2020-nothing", "--reason", "because"], 1, "there is no release 2020-nothing"),
        ("pin", ["{first}", "--reason", " "], 2, "needs a reason"),
        ("pin", ["{first}"], 2, "Missing option '--reason'"),
        ("pin", ["../escape", "--reason", "because"], 2, "../escape"),
        ("unpin", ["{first}"], 2, "is not pinned"),
    ],
)
def test_bad_input_is_refused_and_pins_nothing(
    store: LocalStore, releases: list[str], command: str, options: list[str], status: int, said: str
) -> None:
    done = slipway(command, *(option.format(first=releases[0]) for option in options))
    assert done.exit_code == status, done.output
    assert said in done.stderr
    assert list(store.list("pins/")) == []
