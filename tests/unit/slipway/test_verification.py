"""The scrub: whatever is altered, lost or strange is told with its key, and one damage hides no other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import layout
from slipway.backup import back_up
from slipway.errors import ReleaseRefused, StoreUnreachable
from slipway.manifest import MANIFEST, Manifest, load
from slipway.pointer import read_serving
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.signing import Trusted, new_key, sign
from slipway.storage import LocalStore
from slipway.verification import Checked, verify
from tests.support.crashing_store import CrashingStore
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish


@pytest.fixture
def run(tmp_path: Path) -> Run:
    store = CrashingStore()
    store.url = "memory://here"
    return a_run(store, tmp_path / "scratch")


@pytest.fixture
def nights(run: Run) -> list[str]:
    return [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(3)]


def manifest_of(run: Run, release_id: str) -> Manifest:
    return load(run.store, layout.release(release_id))


def by_id(checked: tuple[Checked, ...]) -> dict[str, Checked]:
    return {one.release_id: one for one in checked}


def test_a_sound_store_passes_release_by_release(run: Run, nights: list[str], tmp_path: Path) -> None:
    found = verify(run.store, tmp_path / "work")
    assert found.sound
    assert found.damaged == []
    assert [(one.release_id, one.state, one.result) for one in found.releases] == [
        (one, state, "pass") for one, state in sorted(zip(nights, (None, "standby", "live"), strict=True), reverse=True)
    ]
    manifest = manifest_of(run, nights[0])
    checked = by_id(found.releases)[nights[0]]
    assert checked.objects == len(manifest.objects) + 1
    assert checked.bytes == manifest.size_bytes + len(run.store.read(f"{manifest.place}/{MANIFEST}").body)
    assert not list((tmp_path / "work").rglob("*.*"))


def test_nothing_is_written_and_no_cache_is_asked(run: Run, nights: list[str], tmp_path: Path) -> None:
    assert isinstance(run.store, MemoryStore)
    sealed = manifest_of(run, nights[0]).objects[0]
    good = run.store.read(sealed.key).body
    run.store.put(sealed.key, bytes(len(good)))
    kept = tmp_path / "work" / sealed.key  # what a former scrub may have left
    kept.parent.mkdir(parents=True)
    kept.write_bytes(good)
    run.store.calls.clear()
    assert not verify(run.store, tmp_path / "work").sound
    assert {method for method, _ in run.store.calls} <= {"read", "list", "download", "exists"}


DAMAGES: dict[str, Callable[[MemoryStore, str], None]] = {
    "altered": lambda store, key: store.put(key, bytes(len(store.read(key).body))),
    "cut short": lambda store, key: store.put(key, store.read(key).body[:-1]),
    "gone": lambda store, key: store.delete(key),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("night", [0, 1, 2])
def test_each_damage_is_told_with_its_key_and_the_rest_is_looked_at(
    damage: str, night: int, run: Run, nights: list[str], tmp_path: Path
) -> None:
    objects = manifest_of(run, nights[night]).objects
    for sealed in objects[:2]:
        DAMAGES[damage](run.store, sealed.key)  # type: ignore[arg-type]
    found = verify(run.store, tmp_path)
    assert not found.sound
    assert {one.result for one in found.releases if one.release_id != nights[night]} == {"pass"}
    bad = by_id(found.releases)[nights[night]]
    assert (bad.result, [one.key for one in bad.findings]) == ("fail", [sealed.key for sealed in objects[:2]])
    assert bad.objects == len(objects) - 2 + 1
    assert [line.split(": ")[0] for line in found.damaged] == [sealed.key for sealed in objects[:2]]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"schema": 1}'])
def test_a_manifest_that_cannot_be_read_stops_nothing(body: bytes, run: Run, nights: list[str], tmp_path: Path) -> None:
    key = f"{layout.release(nights[1])}/{MANIFEST}"
    run.store.put(key, body)
    found = verify(run.store, tmp_path)
    assert [one.result for one in map(by_id(found.releases).get, nights) if one] == ["pass", "fail", "pass"]
    assert [finding.key for finding in by_id(found.releases)[nights[1]].findings] == [key]


@pytest.mark.parametrize("night", [0, 1, 2])
def test_an_edited_manifest_is_found_by_what_named_it(night: int, run: Run, nights: list[str], tmp_path: Path) -> None:
    """Night 0 is in no slot any more: the audit trail remembers its sum."""
    key = f"{layout.release(nights[night])}/{MANIFEST}"
    run.store.put(key, run.store.read(key).body.replace(b'"run_id": "night', b'"run_id": "might'))
    found = verify(run.store, tmp_path, nights[night])
    assert [finding.key for finding in found.releases[0].findings] == [key]
    assert "audit trail says" in found.damaged[0]


def test_a_release_that_serving_json_names_and_that_is_not_there_fails(
    run: Run, nights: list[str], tmp_path: Path
) -> None:
    for info in list(run.store.list(f"{layout.release(nights[2])}/")):
        run.store.delete(info.key)
    found = by_id(verify(run.store, tmp_path).releases)[nights[2]]
    assert (found.state, found.result) == ("live", "fail")


def test_what_no_manifest_names_is_told_and_fails_nothing(run: Run, nights: list[str], tmp_path: Path) -> None:
    stray, unfinished = f"{layout.release(nights[0])}/dead/index", f"{layout.release('never')}/beef/index"
    run.store.put(stray, b"1")
    run.store.put(unfinished, b"2")
    found = verify(run.store, tmp_path)
    assert found.sound
    results = by_id(found.releases)
    assert [(one.key, one.damage) for one in results[nights[0]].findings] == [(stray, False)]
    assert results["never"].result == "unfinished"


def test_a_release_that_retention_removes_meanwhile_is_no_damage(
    run: Run, nights: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, download = layout.release(nights[0]), run.store.download

    def removed(key: str, path: Path) -> None:
        if key.startswith(place):
            for info in list(run.store.list(f"{place}/")):
                run.store.delete(info.key)
        download(key, path)

    monkeypatch.setattr(run.store, "download", removed)
    found = verify(run.store, tmp_path)
    assert found.sound
    assert by_id(found.releases)[nights[0]].result == "removed"


def test_signatures_are_checked_where_keys_are_given(run: Run, nights: list[str], tmp_path: Path) -> None:
    _, key = new_key()
    trusted = Trusted({key.key_id: key.public})
    for night in nights[1:]:
        sign(run.store, night, run.store.read(f"{layout.release(night)}/{MANIFEST}").body, key)
    found = by_id(verify(run.store, tmp_path, trusted=trusted).releases)
    assert [found[night].result for night in nights] == ["fail", "pass", "pass"]
    assert found[nights[0]].findings[0].key == layout.signature(nights[0])
    assert (found[nights[0]].signed_by, found[nights[2]].signed_by) == (None, key.key_id)
    assert verify(run.store, tmp_path).sound


def test_a_lost_serving_json_is_told_and_the_releases_are_looked_at(
    run: Run, nights: list[str], tmp_path: Path
) -> None:
    run.store.put(layout.SERVING, b"{")
    found = verify(run.store, tmp_path)
    assert not found.sound
    assert found.serving is not None
    assert [one.result for one in found.releases] == ["pass"] * 3


def test_a_backup_has_no_serving_json_and_is_looked_at_the_same(run: Run, nights: list[str], tmp_path: Path) -> None:
    there = MemoryStore("memory://there")
    back_up(run.store, there, tmp_path)
    found = verify(there, tmp_path)
    assert found.sound
    assert [one.release_id for one in found.releases] == [nights[2]]


def test_one_release_by_name_and_one_that_is_not_there(run: Run, nights: list[str], tmp_path: Path) -> None:
    run.store.put(manifest_of(run, nights[0]).objects[0].key, b"")
    assert [one.result for one in verify(run.store, tmp_path, nights[2]).releases] == ["pass"]
    with pytest.raises(ReleaseRefused, match="there is no release nowhere"):
        verify(run.store, tmp_path, "nowhere")


def test_a_store_that_does_not_answer_is_an_error_and_no_damage(run: Run, nights: list[str], tmp_path: Path) -> None:
    assert isinstance(run.store, MemoryStore)
    run.store.fail_next("download", StoreUnreachable("no answer"))
    with pytest.raises(StoreUnreachable):
        verify(run.store, tmp_path)


def test_before_the_first_release_there_is_nothing_to_look_at(run: Run, tmp_path: Path) -> None:
    found = verify(run.store, tmp_path)
    assert (found.sound, found.releases) == (True, ())


def test_a_withdrawn_release_is_looked_at_too(run: Run, nights: list[str], tmp_path: Path) -> None:
    roll_back(run.store, "ann", "bad")
    assert by_id(verify(run.store, tmp_path).releases)[nights[2]].state == "withdrawn"


def test_a_local_folder_is_read_where_it_lies(tmp_path: Path) -> None:
    run = a_run(LocalStore(tmp_path / "store" / "docs"), tmp_path / "scratch")
    live = publish(run).release_id
    assert verify(run.store, tmp_path / "work").sound
    path = run.store.local_path(manifest_of(run, live).objects[0].key)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    assert not verify(run.store, tmp_path / "work").sound
    assert path.exists()


@given(st.data())
def test_no_flipped_bit_of_a_release_passes(release: tuple[CrashingStore, str, Path], data: st.DataObject) -> None:
    store, release_id, folder = release
    altered = store.clone()
    keys = [info.key for info in altered.list(f"{layout.release(release_id)}/")]
    key = data.draw(st.sampled_from(keys))
    body = bytearray(altered.read(key).body)
    where = data.draw(st.integers(0, len(body) * 8 - 1))
    body[where // 8] ^= 1 << where % 8
    altered.put(key, bytes(body))
    assert not verify(altered, folder).sound


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[CrashingStore, str, Path]:
    folder = tmp_path_factory.mktemp("release")
    store = CrashingStore()
    made = publish(a_run(store, folder)).release_id
    assert read_serving(store)[0].named.keys() == {made}
    return store, made, folder
