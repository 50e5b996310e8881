import json
from pathlib import Path

import pytest

from slipway import layout
from slipway.backup import Restoring, back_up, back_up_all, backups, newest
from slipway.backup.backing_up import check_apart
from slipway.errors import CorruptObject, InputError, ObjectMissing, ReleaseRefused, UntrustedRelease
from slipway.manifest import MANIFEST, load
from slipway.pins import list_pins, pin, unpin
from slipway.pointer import Change, audit_trail, swap_serving
from slipway.run import Run
from slipway.serving.loading import check_whole, load_release
from slipway.signing import Trusted, new_key, sign
from slipway.storage import LocalStore
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_candidate, again, publish
from tests.unit.slipway.backup.conftest import empty_store


def keys(store: MemoryStore, prefix: str = "") -> set[str]:
    return {info.key for info in store.list(prefix)}


def test_the_live_release_and_the_audit_trail_go_with_their_index(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    done = back_up(run.store, there, tmp_path)
    assert (done.name, done.release_id, done.generation, done.to) == (nights[1], nights[1], 2, "memory://there")
    manifest = load(run.store, layout.release(nights[1]))
    wanted = {*(one.key for one in manifest.objects), f"{manifest.place}/{MANIFEST}"}
    assert keys(there) == wanted | {"audit/00000001.json", "audit/00000002.json", f"backups/{nights[1]}.json"}
    assert done.objects == len(wanted) + 2
    assert load_release(there, nights[1], tmp_path / "cache").release_id == nights[1]
    made = newest(there)
    assert (made.release_id, made.generation, made.was_live, made.source) == (nights[1], 2, True, "memory://here")


def test_what_is_there_is_not_copied_again(run: Run, nights: list[str], there: MemoryStore, tmp_path: Path) -> None:
    first = back_up(run.store, there, tmp_path)
    there.calls.clear()
    second = back_up(run.store, there, tmp_path)
    assert (second.objects, second.bytes, second.present) == (0, 0, first.objects)
    assert {key for method, key in there.calls if method in {"upload", "put"}} == {f"backups/{nights[1]}.json"}


def test_an_older_release_by_name_is_never_what_a_restore_takes_by_itself(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    back_up(run.store, there, tmp_path)
    back_up(run.store, there, tmp_path, nights[0])
    assert {one.name: one.was_live for one in backups(there)} == {nights[0]: False, nights[1]: True}
    assert newest(there).release_id == nights[1]


def test_the_newest_backup_is_that_of_the_highest_generation(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    for seed in (3, 1, 2):
        made = publish(again(run, f"night-{seed}"), seed).release_id
        back_up(run.store, there, tmp_path)
        assert newest(there).release_id == made


@pytest.mark.parametrize("landed", [False, True])
def test_a_kill_at_any_write_leaves_no_backup_that_is_not_whole(
    landed: bool, run: Run, nights: list[str], tmp_path: Path
) -> None:
    kills = 0
    while True:
        there = empty_store("there")
        there.die_at, there.landed = kills, landed
        try:
            back_up(run.store, there, tmp_path)
            break
        except Killed:
            kills += 1
        for one in backups(there):
            check_whole(there, one.release_id, one.manifest_sha256)
        if f"{layout.release(nights[1])}/{MANIFEST}" in keys(there):
            check_whole(there, nights[1])
        back_up(run.store, there, tmp_path)
        assert load_release(there, newest(there).release_id, tmp_path / "cache")
    assert kills == len(load(run.store, layout.release(nights[1])).objects) + 4  # 2 records, the manifest, the index
    assert not list(tmp_path.glob("from/**/*.*"))


def test_a_damaged_release_is_refused_and_no_backup_of_it_is_known(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    sealed = load(run.store, layout.release(nights[1])).objects[0]
    run.store.put(sealed.key, bytes(sealed.size_bytes))
    with pytest.raises(CorruptObject, match=sealed.key):
        back_up(run.store, there, tmp_path)
    run.store.delete(sealed.key)
    with pytest.raises(ReleaseRefused, match=r"missing or cut short"):
        back_up(run.store, there, tmp_path)
    assert backups(there) == []
    with pytest.raises(InputError, match=r"no backup of a live release"):
        newest(there)


def test_an_altered_manifest_is_refused_by_the_sum_of_the_audit_trail(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    third = publish(again(run, "night-2"), 2).release_id
    key = f"{layout.release(nights[0])}/{MANIFEST}"  # in no slot any more
    assert third != nights[0]
    run.store.put(key, run.store.read(key).body + b" ")
    with pytest.raises(CorruptObject, match=r"has SHA-256"):
        back_up(run.store, there, tmp_path, nights[0])


def test_another_manifest_under_the_same_id_is_not_overwritten(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    key = f"{layout.release(nights[1])}/{MANIFEST}"
    there.put(key, run.store.read(key).body + b" ")
    with pytest.raises(ReleaseRefused, match=r"one of them was altered"):
        back_up(run.store, there, tmp_path)
    assert there.read(key).body.endswith(b" ")


def test_a_store_inside_the_other_and_another_collections_backup_are_refused(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"not apart"):
        back_up(run.store, run.store.scoped("backup"), tmp_path)
    swap_serving(there, Change("release", "bob", "of another"), lambda now: now.promoted("r1", "s1"))
    swap_serving(there, Change("release", "bob", "of another"), lambda now: now.promoted("r2", "s2"))
    with pytest.raises(ReleaseRefused, match=r"another history"):
        back_up(run.store, there, tmp_path)


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_link_to_the_store_is_no_backup_of_it(inside: str, tmp_path: Path) -> None:
    (tmp_path / "here" / inside).mkdir(parents=True)
    (tmp_path / "there").symlink_to(tmp_path / "here" / inside)
    here, there = LocalStore(tmp_path / "here"), LocalStore(tmp_path / "there")
    for pair in ((here, there), (there, here), (here, there.scoped("docs"))):
        with pytest.raises(InputError, match=r"not apart"):
            check_apart(*pair)
    check_apart(here, LocalStore(tmp_path / "here-too"))


def test_before_the_first_release_there_is_nothing_to_back_up(run: Run, there: MemoryStore, tmp_path: Path) -> None:
    for copy in (back_up, back_up_all):
        with pytest.raises(ReleaseRefused, match=r"nothing is released"):
            copy(run.store, there, tmp_path)


def test_a_signature_goes_along_and_an_unsigned_release_is_not_trusted(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    _, key = new_key()
    trusted = Trusted({key.key_id: key.public})
    with pytest.raises(UntrustedRelease, match=r"not signed"):
        back_up(run.store, there, tmp_path, trusted=trusted)
    assert backups(there) == []
    sign(run.store, nights[1], run.store.read(f"{layout.release(nights[1])}/{MANIFEST}").body, key)
    back_up(run.store, there, tmp_path, trusted=trusted)
    assert load_release(there, nights[1], tmp_path / "cache", trusted=trusted).release_id == nights[1]


def test_everything_is_copied_but_what_belongs_to_the_moment(
    run: Run, nights: list[str], there: CrashingStore, tmp_path: Path
) -> None:
    run.store.put(layout.result("night-1"), b'{"released": true}')
    run.store.put(layout.pin(nights[0]), b"{}")
    run.store.put(layout.vector_probe("space", "k"), b"what a service made at first")
    for key in ("readers/web.json", "clock/1234", "candidates/half/abcd/index", layout.LEASE):
        run.store.put(key, b"{}")
    done = back_up_all(run.store, there, tmp_path)
    left = {"readers/web.json", "clock/1234", "candidates/half/abcd/index", layout.LEASE, layout.SERVING}
    assert keys(there) == keys(run.store) - left | {"backups/collection.json"}
    assert done.damaged == {}
    assert [one.generation for one in backups(there)] == [2]
    assert backups(there)[0].state.live_release.release_id == nights[1]
    there.calls.clear()
    again_done = back_up_all(run.store, there, tmp_path)
    assert again_done.objects == 0
    assert ("upload", "anything") not in there.calls
    assert not [key for method, key in there.calls if method == "upload"]


def test_a_changed_result_is_copied_again(run: Run, nights: list[str], there: MemoryStore, tmp_path: Path) -> None:
    key = layout.result("night-1")
    run.store.put(key, b"1")
    back_up_all(run.store, there, tmp_path)
    run.store.put(key, b"2")
    back_up_all(run.store, there, tmp_path)
    assert there.read(key).body == b"2"


def test_a_pin_that_was_removed_leaves_the_backup_too(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    pin(run.store, nights[0], "ann", "an audit")
    pin(run.store, nights[1], "ann", "an audit")
    back_up_all(run.store, there, tmp_path)
    unpin(run.store, nights[0])
    back_up_all(run.store, there, tmp_path)
    wiped = empty_store("here")
    Restoring(there, wiped, tmp_path, "ann", "it was lost").everything()
    assert set(list_pins(wiped)) == {nights[1]}


def test_a_damaged_output_is_told_and_keeps_nothing_else_from_being_copied(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    candidate = a_candidate(run, 9)
    run.store.delete(candidate.objects[0].key)
    broken = f"{layout.candidate('feed')}/{MANIFEST}"
    run.store.put(broken, b"{")
    done = back_up_all(run.store, there, tmp_path)
    assert set(done.damaged) == {candidate.place, layout.candidate("feed")}
    assert f"{candidate.place}/{MANIFEST}" not in keys(there)
    assert broken not in keys(there)
    for night in nights:
        check_whole(there, night)


def test_a_collection_whose_standby_is_damaged_is_not_taken_for_backed_up(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    sealed = load(run.store, layout.release(nights[0])).objects[0]
    run.store.put(sealed.key, bytes(sealed.size_bytes))
    with pytest.raises(ReleaseRefused, match=nights[0]):
        back_up_all(run.store, there, tmp_path)
    assert backups(there) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": 1}', json.dumps({"schema": 2}).encode()])
def test_an_entry_that_cannot_be_read_is_named(body: bytes, there: MemoryStore) -> None:
    there.put("backups/x.json", body)
    with pytest.raises(CorruptObject, match=r"backups/x.json"):
        backups(there)


def test_a_release_that_is_not_there_is_named(run: Run, nights: list[str], there: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises((ReleaseRefused, ObjectMissing), match="nowhere"):
        back_up(run.store, there, tmp_path, "nowhere")


def test_the_audit_trail_is_whole_in_the_backup(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    back_up(run.store, there, tmp_path)
    swap_serving(run.store, Change("retire", "ann", "tidying"), lambda now: now)
    back_up(run.store, there, tmp_path)
    assert audit_trail(there) == audit_trail(run.store)
