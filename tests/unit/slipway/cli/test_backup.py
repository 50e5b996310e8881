"""`slipway backup | restore | recover | verify | drill`, as people and scripts call them."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from slipway import layout
from slipway.cli import main
from slipway.lease import Holder, held
from slipway.manifest import MANIFEST, load
from slipway.pointer import read_serving
from slipway.storage import LocalStore
from tests.support.releases import a_run, again, publish

COLLECTION = """
sources: [{name: api, kind: lake, path: lake, id: id, text: "{body}"}]
encoder: {name: none, folder: model, dimension: 16, max_tokens: 256}
release: {backup: backups}
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """The store of the collection `docs`, with two releases, and a folder configured for its backups."""
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH", "SLIPWAY_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.yaml").write_text(COLLECTION)
    store = LocalStore(tmp_path / "store" / "docs")
    run = a_run(store, tmp_path / "scratch")
    for seed in range(2):
        publish(again(run, f"night-{seed}"), seed)
    return store


def slipway(command: str, *options: str, status: int = 0) -> Result:
    done = CliRunner().invoke(main, [command, "docs", "--collections", ".", "--store", "store", *options])
    assert done.exit_code == status, done.output
    return done


def told(command: str, *options: str, status: int = 0) -> dict[str, object]:
    found = json.loads(slipway(command, *options, "--json", status=status).stdout)
    assert isinstance(found, dict)
    return found


def live(store: LocalStore) -> str:
    slot = read_serving(store)[0].live_release
    assert slot is not None
    return slot.release_id


def damage(store: LocalStore, release_id: str) -> str:
    key = load(store, layout.release(release_id)).objects[0].key
    store.put(key, bytes(len(store.read(key).body)))
    return key


def test_a_backup_brings_a_wiped_store_back(store: LocalStore, tmp_path: Path) -> None:
    was = live(store)
    assert f"docs: release {was} is in" in slipway("backup").stdout
    assert told("backup")["objects"] == 0
    shutil.rmtree(tmp_path / "store")
    done = slipway("restore", "--reason", "the disk died")
    assert f"docs: release {was} is live (generation 3): 40 documents, 40 vectors" in done.stdout
    assert live(store) == was


def test_a_whole_collection_comes_back_under_its_own_and_another_name(store: LocalStore, tmp_path: Path) -> None:
    was, objects = live(store), {info.key for info in store.list()}
    assert told("backup", "--all")["damaged"] == {}
    assert told("restore", "--all", "--as", "copy", "--reason", "to look at")["collection"] == "copy"
    assert live(LocalStore(tmp_path / "store" / "copy")) == was
    shutil.rmtree(tmp_path / "store" / "docs")
    assert told("restore", "--all", "--reason", "the disk died")["swapped"] is True
    assert {info.key for info in store.list()} >= objects


def test_a_store_named_by_option_needs_no_collection_file(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "docs.yaml").unlink()
    slipway("backup", "--to", "elsewhere")
    shutil.rmtree(tmp_path / "store")
    assert told("restore", "--from", "elsewhere", "--as", "new", "--reason", "moved")["swapped"] is True
    assert told("drill", "--from", "elsewhere")["is_live"] is False


def test_a_live_collection_refuses_a_restore_and_takes_an_addition(store: LocalStore, tmp_path: Path) -> None:
    last = live(store)
    slipway("backup")
    publish(a_run(store, tmp_path / "scratch", "night-9"), 9)
    refused = slipway("restore", "--reason", "just so", status=1)
    assert "--add" in refused.stderr
    assert "what serves was not changed" in slipway("restore", "--release", last, "--add", "--reason", "x").stdout
    slipway("rollback", "--to", last, "--reason", "worse")
    assert live(store) == last


def test_damage_is_told_mended_and_gone(store: LocalStore) -> None:
    was = live(store)
    slipway("backup")
    assert "every object is what was sealed" in slipway("verify").stdout
    key = damage(store, was)
    seen = slipway("verify", status=1)
    assert f"FAIL        {was}  live" in seen.stdout
    assert key in seen.stdout
    found = told("verify", "--release", was, status=1)
    assert (found["sound"], len(found["damaged"])) == (False, 1)  # type: ignore[arg-type]
    slipway("restore", "--release", was, "--add", "--reason", "a damaged object")
    assert told("verify")["sound"] is True


def test_a_backup_is_verified_by_its_root(store: LocalStore, tmp_path: Path) -> None:
    slipway("backup")
    assert told("verify", "--store", "backups")["sound"] is True
    damage(LocalStore(tmp_path / "backups" / "docs"), live(store))
    assert "FAIL" in slipway("verify", "--store", "backups", status=1).stdout


def test_what_cannot_be_backed_up_is_told_with_status_1(store: LocalStore) -> None:
    place = next(info.key for info in store.list("candidates/") if info.key.endswith(MANIFEST)).rpartition("/")[0]
    store.put(f"{place}/{MANIFEST}", b"{")
    assert f"DAMAGED {place}" in slipway("backup", "--all", status=1).stdout
    assert place in told("backup", "--all", status=1)["damaged"]  # type: ignore[operator]


def test_a_lost_serving_json_is_recovered(store: LocalStore) -> None:
    was = live(store)
    store.delete(layout.SERVING)
    assert "slipway recover" in slipway("releases", status=3).stderr
    assert f"docs: release {was} is live again (generation 3" in slipway("recover", "--reason", "deleted").stdout
    assert live(store) == was
    assert "nothing to recover" in slipway("recover", "--reason", "again", status=1).stderr
    store.put(layout.SERVING, b"")
    assert told("recover", "--reason", "emptied")["generation"] == 4


def test_a_drill_says_how_long_it_took_and_what_is_behind(store: LocalStore, tmp_path: Path) -> None:
    slipway("backup")
    done = slipway("drill").stdout
    assert "40 documents, 40 vectors; 4 smoke queries agreed" in done
    assert "serves now" not in done
    publish(a_run(store, tmp_path / "scratch", "night-9"), 9)
    assert f"it is not what serves now, {live(store)}" in slipway("drill").stdout


def test_without_a_backup_store_there_is_a_way_to_name_one(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "docs.yaml").write_text(COLLECTION.replace("release: {backup: backups}", ""))
    assert "release.backup" in slipway("backup", status=2).stderr
    assert "release.backup" in slipway("restore", "--reason", "x", status=2).stderr
    assert "as no backup is configured" in slipway("drill").stdout
    slipway("restore", "--all", "--release", "x", "--reason", "x", status=2)
    slipway("backup", "--all", "--release", "x", status=2)


def test_a_restore_waits_for_nobody_and_mixes_with_nobody(store: LocalStore) -> None:
    slipway("backup", "--all")
    with held(store, Holder("night-9", "airflow", "nightly run")):
        for command in (["restore", "--reason", "x"], ["backup", "--all"]):
            assert "nightly run is at work" in slipway(*command, status=3).stderr
        slipway("backup")


def test_a_damaged_release_is_listed_as_such(store: LocalStore) -> None:
    was = live(store)
    store.put(f"{layout.release(was)}/{MANIFEST}", b"{")
    shown = slipway("releases").stdout
    assert f"live       {was}  DAMAGED: " in shown
    assert "standby" in shown
