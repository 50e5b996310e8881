"""`slipway retention`, `slipway pin` and `slipway unpin`, as people and scripts call them."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway.cli import main
from slipway.lease import Holder, held, read_lease
from slipway.manifest import MANIFEST
from slipway.pointer import read_serving
from slipway.storage import LocalStore
from tests.support.retaining import Shop, places_of

COLLECTION = """
sources: [{name: api, kind: lake, path: lake, id: id, text: "{body}"}]
encoder: {name: none, folder: model, dimension: 16, max_tokens: 256}
release: {keep: 2}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), 4)


@pytest.fixture
def names(shop: Shop) -> list[str]:
    """Oldest first; the last one is live."""
    return shop.names


@pytest.fixture
def store(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """The store of the collection `docs`, with four releases."""
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.yaml").write_text(COLLECTION)
    store = LocalStore(tmp_path / "store" / "docs")
    for info in shop.store.list():
        store.put(info.key, shop.store.read(info.key).body)
        at = info.modified_at.timestamp()  # which tells releases of one second apart
        os.utime(store.local_path(info.key), (at, at))
    return store


def slipway(command: str, *options: str) -> Result:
    return CliRunner().invoke(main, [command, "docs", *options, "--collections", ".", "--store", "store"])


def fates(said: str) -> dict[str, str]:
    """What a listing says of each release: its fate, by id."""
    lines = [line.rsplit("  ", 2) for line in said.splitlines() if line.startswith("  ") and line[2] != " "]
    return {name: fate.strip() for fate, name, _ in lines}


def test_it_says_of_every_release_what_becomes_of_it_and_why(store: LocalStore, names: list[str]) -> None:
    done = slipway("retention")
    assert done.exit_code == 0, done.output
    title, _, first, second, *_ = done.stdout.splitlines()
    assert title.startswith("docs: 2 of 4 releases went (")
    assert first.endswith(f"kept      {names[3]}  live")
    assert second.strip() == "number 1 of the newest 2"
    assert fates(done.stdout) == {names[3]: "kept", names[2]: "kept", names[1]: "went", names[0]: "went"}
    assert places_of(store) == set(names[2:])
    assert slipway("retention").stdout.startswith("docs: 0 of 2 releases went; the newest 2 are kept")


def test_a_dry_run_says_the_same_and_removes_nothing(store: LocalStore, names: list[str]) -> None:
    told = slipway("retention", "--dry-run")
    assert told.exit_code == 0, told.output
    assert fates(told.stdout) == {names[3]: "kept", names[2]: "kept", names[1]: "would go", names[0]: "would go"}
    assert places_of(store) == set(names)
    assert read_lease(store) == (None, None)


def test_machines_get_one_document(store: LocalStore, names: list[str]) -> None:
    done = json.loads(slipway("retention", "--json").stdout)
    assert (done["collection"], done["dry_run"], done["keep"]) == ("docs", False, 2)
    assert set(done["removed"]) == set(names[:2])
    assert [(one["release_id"], one["kept"]) for one in done["releases"]] == [
        (name, name in names[2:]) for name in reversed(names)
    ]
    assert all(one["why"] for one in done["releases"])
    assert done["bytes_freed"] == sum(one["bytes"] for one in done["releases"] if not one["kept"]) > 0


def test_it_ends_what_a_killed_retention_began(store: LocalStore, names: list[str]) -> None:
    serving = json.loads(store.read("serving.json").body)
    store.put("serving.json", json.dumps(serving | {"retired": {names[0]: "2026-01-01T00:00:00+00:00"}}).encode())
    store.delete(f"releases/{names[0]}/{MANIFEST}")
    assert "retention began to remove it at 2026-01-01T00:00:00+00:00" in slipway("retention").stdout
    assert places_of(store) == set(names[2:])
    assert read_serving(store)[0].retired == {}


def test_it_waits_for_a_run_at_work_unless_it_is_told_to_take_over(store: LocalStore, names: list[str]) -> None:
    with held(store, Holder("night-1", "ann", "run")):
        pass
    refused = slipway("retention")
    assert refused.exit_code == 3
    assert "RunInProgress: a run is at work on this collection: run 'night-1', started by ann" in refused.stderr
    assert places_of(store) == set(names)
    assert slipway("retention", "--take-over").exit_code == 0
    assert places_of(store) == set(names[2:])


def test_a_pin_keeps_a_release_until_it_is_taken_away(store: LocalStore, names: list[str]) -> None:
    pinned = slipway("pin", names[0], "--reason", "the court wants to see it")
    assert pinned.exit_code == 0, pinned.output
    assert pinned.stdout.endswith("is kept until it is unpinned: the court wants to see it\n")
    told = json.loads(slipway("retention", "--json").stdout)
    [why] = [one["why"] for one in told["releases"] if one["release_id"] == names[0]]
    assert why[0].startswith("pinned by ")
    assert why[0].endswith(": the court wants to see it")
    assert places_of(store) == {names[0], *names[2:]}
    assert json.loads(slipway("unpin", names[0], "--json").stdout) == {
        "collection": "docs",
        "pinned": False,
        "release_id": names[0],
    }
    assert slipway("retention").exit_code == 0
    assert places_of(store) == set(names[2:])


def test_what_cannot_be_pinned_or_unpinned_is_refused(store: LocalStore, names: list[str]) -> None:
    refused = slipway("pin", "r9", "--reason", "x")
    assert (refused.exit_code, "there is no release r9" in refused.stderr) == (1, True)
    for options in ((names[1],), (names[1], "--reason", " ")):
        assert slipway("pin", *options).exit_code == 2
    refused = slipway("unpin", names[1])
    assert (refused.exit_code, "is not pinned" in refused.stderr) == (2, True)
