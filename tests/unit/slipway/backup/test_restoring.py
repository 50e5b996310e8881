from dataclasses import replace
from pathlib import Path

import pytest

from slipway import layout
from slipway.backup import Restored, Restoring, back_up, back_up_all
from slipway.errors import CorruptObject, InputError, ReleaseRefused, UntrustedRelease
from slipway.index import artifact
from slipway.manifest import MANIFEST, load
from slipway.pointer import Change, audit_trail, read_serving, swap_serving
from slipway.recover import recover
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.loading import check_whole, load_release
from slipway.serving.pointing import Pointer
from slipway.serving.reader import Reader
from slipway.signing import Trusted, new_key, sign
from slipway.storage.base import ObjectStore
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.memory_store import MemoryStore
from tests.support.releases import again, publish, unit_vectors
from tests.unit.slipway.backup.conftest import empty_store


@pytest.fixture
def backup(run: Run, nights: list[str], there: CrashingStore, tmp_path: Path) -> CrashingStore:
    """A backup of the live release."""
    back_up(run.store, there, tmp_path / "scratch")
    return there


def restoring(source: ObjectStore, target: ObjectStore, folder: Path, **fields: object) -> Restoring:
    return Restoring(source, target, folder / "scratch", "ann", "the bucket was lost", **fields)  # type: ignore[arg-type]


def live_of(store: ObjectStore) -> str | None:
    live = read_serving(store)[0].live_release
    return live.release_id if live else None


def flip(store: ObjectStore, key: str) -> None:
    body = bytearray(store.read(key).body)
    body[len(body) // 2] ^= 1
    store.put(key, bytes(body))


def test_a_wiped_bucket_serves_again(backup: MemoryStore, nights: list[str], tmp_path: Path) -> None:
    wiped = empty_store("here")
    done = restoring(backup, wiped, tmp_path).release()
    assert (done.release_id, done.swapped, done.generation, done.documents, done.vectors) == (
        nights[1],
        True,
        3,
        40,
        40,
    )
    assert (done.source, done.to, done.damaged) == ("memory://there", "memory://here", {})
    now, _ = read_serving(wiped)
    assert now.changed == Change("restore", "ann", "the bucket was lost", to_release=nights[1])
    assert set(now.named) == {nights[1]}
    assert [one["generation"] for one in audit_trail(wiped)] == [1, 2, 3]
    with Reader(wiped, tmp_path / "cache") as reader:
        assert reader.search(unit_vectors(40, seed=1)[7], 1)[0].document_id == "seed1-00007"


def test_a_reader_of_the_lost_bucket_follows_the_restored_one(
    run: Run, backup: MemoryStore, nights: list[str], tmp_path: Path
) -> None:
    assert isinstance(run.store, MemoryStore)
    pointer = Pointer(run.store)
    seen = pointer.look()
    for info in list(run.store.list()):
        run.store.delete(info.key)
    restoring(backup, run.store, tmp_path).release()
    assert pointer.look().generation > seen.generation


def test_a_night_after_the_restore_releases_on_top_of_it(run: Run, backup: MemoryStore, tmp_path: Path) -> None:
    wiped = empty_store("here")
    restoring(backup, wiped, tmp_path).release()
    after = publish(replace(run, store=wiped, run_id="night-9"), 9)
    assert (after.released, after.generation) == (True, 4)


def test_withdrawn_releases_are_remembered(run: Run, nights: list[str], there: MemoryStore, tmp_path: Path) -> None:
    roll_back(run.store, "ann", "it was bad")
    back_up(run.store, there, tmp_path)
    wiped = empty_store("here")
    assert restoring(there, wiped, tmp_path).release().release_id == nights[0]
    assert read_serving(wiped)[0].withdrawn[nights[1]].why == "it was bad"


def test_another_name_gets_a_collection_of_its_own(
    run: Run, backup: MemoryStore, nights: list[str], tmp_path: Path
) -> None:
    other = empty_store("other")
    restoring(backup, other, tmp_path).release()
    assert live_of(other) == nights[1]
    assert live_of(run.store) == nights[1]


def test_a_live_collection_is_not_overwritten(run: Run, backup: MemoryStore, tmp_path: Path) -> None:
    last = publish(again(run, "night-2"), 2).release_id
    before = {info.key for info in run.store.list()}
    with pytest.raises(ReleaseRefused, match=rf"{last} is live .* --add, then make it live: slipway rollback --to"):
        restoring(backup, run.store, tmp_path).release()
    assert {info.key for info in run.store.list()} == before


def test_an_added_release_can_be_rolled_back_to(
    run: Run, backup: MemoryStore, nights: list[str], tmp_path: Path
) -> None:
    last = publish(again(run, "night-2"), 2).release_id
    for info in list(run.store.list(f"{layout.release(nights[1])}/")):
        run.store.delete(info.key)
    done = restoring(backup, run.store, tmp_path, add=True).release(nights[1])
    assert (done.swapped, done.generation, live_of(run.store)) == (False, 3, last)
    roll_back(run.store, "ann", "worse", nights[1])
    assert live_of(run.store) == nights[1]


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.SMOKE, MANIFEST])
def test_a_damaged_live_release_is_mended_where_it_lies(
    name: str, run: Run, backup: MemoryStore, nights: list[str], tmp_path: Path
) -> None:
    place = layout.release(nights[1])
    [key] = [info.key for info in run.store.list(f"{place}/") if info.key.endswith(f"/{name}")]
    flip(run.store, key)
    with pytest.raises((CorruptObject, ReleaseRefused)):
        load_release(
            run.store, nights[1], tmp_path / "before", read_serving(run.store)[0].named[nights[1]].manifest_sha256
        )
    done = restoring(backup, run.store, tmp_path, add=True).release()
    assert (done.objects, done.swapped) == (1, False)
    assert load_release(run.store, nights[1], tmp_path / "after").release_id == nights[1]


def test_a_sound_release_is_left_as_it_is(run: Run, backup: MemoryStore, tmp_path: Path) -> None:
    done = restoring(backup, run.store, tmp_path).release()
    assert (done.objects, done.swapped, done.generation) == (0, False, 2)


def test_what_retention_removes_is_not_put_back_under_its_hands(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    publish(again(run, "night-2"), 2)
    back_up(run.store, there, tmp_path, nights[0])
    swap_serving(run.store, Change("retire", "ann", "old"), lambda now: replace(now, retired={nights[0]: "2026"}))
    with pytest.raises(ReleaseRefused, match=r"removed by retention"):
        restoring(there, run.store, tmp_path, add=True).release(nights[0])


def test_a_damaged_backup_is_refused_and_nothing_goes_live(
    run: Run, backup: MemoryStore, nights: list[str], tmp_path: Path
) -> None:
    flip(backup, load(backup, layout.release(nights[1])).objects[0].key)
    wiped = empty_store("here")
    with pytest.raises(CorruptObject):
        restoring(backup, wiped, tmp_path).release()
    assert f"{layout.release(nights[1])}/{MANIFEST}" not in {info.key for info in wiped.list()}
    assert read_serving(wiped)[0].generation == 0


def test_an_altered_manifest_in_the_backup_is_refused(backup: MemoryStore, nights: list[str], tmp_path: Path) -> None:
    key = f"{layout.release(nights[1])}/{MANIFEST}"
    backup.put(key, backup.read(key).body + b" ")
    with pytest.raises(CorruptObject, match=r"SHA-256"):
        restoring(backup, empty_store("here"), tmp_path).release()


def test_an_unsigned_backup_is_refused_where_keys_are_trusted(backup: MemoryStore, tmp_path: Path) -> None:
    _, key = new_key()
    wiped = empty_store("here")
    with pytest.raises(UntrustedRelease):
        restoring(backup, wiped, tmp_path, trusted=Trusted({key.key_id: key.public})).release()
    assert list(wiped.list()) == []


def test_no_backup_and_no_reason_are_refused(run: Run, backup: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no backup of a live release"):
        restoring(empty_store("empty"), empty_store("here"), tmp_path).release()
    with pytest.raises(InputError, match=r"no finished backup of a whole collection"):
        restoring(backup, empty_store("here"), tmp_path).everything()
    with pytest.raises(ReleaseRefused, match=r"needs a reason"):
        replace(restoring(backup, empty_store("here"), tmp_path), why="").release()
    with pytest.raises(InputError, match=r"not apart"):
        restoring(backup, backup, tmp_path).release()


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_kill_at_any_write_names_nothing_that_is_not_whole_and_the_next_restore_ends_it(
    landed: bool, whole: bool, run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    (back_up_all if whole else back_up)(run.store, there, tmp_path / "scratch")
    wanted = {nights[0], nights[1]} if whole else {nights[1]}

    def restore(store: ObjectStore) -> Restored:
        work = restoring(there, store, tmp_path)
        return work.everything() if whole else work.release()

    for kills in range(1000):
        wiped = empty_store("here")
        wiped.die_at, wiped.landed = kills, landed
        try:
            restore(wiped)
            break
        except Killed:
            assert_nothing_broken(wiped)
        restore(wiped)
        now, _ = read_serving(wiped)
        assert (set(now.named), live_of(wiped), now.generation) == (wanted, nights[1], 3)
        for slot in now.named.values():
            check_whole(wiped, slot.release_id, slot.manifest_sha256)
    assert kills > 8


def assert_nothing_broken(store: ObjectStore) -> None:
    try:
        now, _ = read_serving(store)
    except CorruptObject:  # the audit trail is there already, serving.json is not
        return
    for slot in now.named.values():
        check_whole(store, slot.release_id, slot.manifest_sha256)


def test_a_whole_collection_comes_back_with_all_that_it_is_made_of(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    run.store.put(layout.result("night-1"), b'{"released": true}')
    back_up_all(run.store, there, tmp_path)
    wiped = empty_store("here")
    done = restoring(there, wiped, tmp_path).everything()
    assert (done.release_id, done.swapped, done.generation, done.damaged) == (nights[1], True, 3, {})
    new = {layout.audit(3)}
    assert {info.key for info in wiped.list()} == {info.key for info in run.store.list()} | new
    assert read_serving(wiped)[0].slots == read_serving(run.store)[0].slots
    roll_back(wiped, "ann", "the standby came along")
    assert live_of(wiped) == nights[0]


def test_a_trial_that_was_under_way_is_not_taken_up_again(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    slot = read_serving(run.store)[0].named[nights[0]]
    offer = Change("shift", "ada", "a night")
    swap_serving(run.store, offer, lambda now: now.offered(slot.release_id, slot.manifest_sha256, 10))
    back_up_all(run.store, there, tmp_path)
    wiped = empty_store("here")
    restoring(there, wiped, tmp_path).everything()
    now, _ = read_serving(wiped)
    assert (now.shift, live_of(wiped), set(now.named)) == (None, nights[1], set(nights))


def test_a_standby_that_no_reader_trusts_is_found_before_it_is_needed(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    _, key = new_key()
    back_up_all(run.store, there, tmp_path)
    sign(there, nights[1], there.read(f"{layout.release(nights[1])}/{MANIFEST}").body, key)
    trusted = Trusted({key.key_id: key.public})
    wiped = empty_store("here")
    with pytest.raises(UntrustedRelease, match=nights[0]):
        restoring(there, wiped, tmp_path, trusted=trusted).everything()
    assert layout.SERVING not in {info.key for info in wiped.list()}


def test_a_whole_collection_mends_what_was_lost_beside_a_live_release(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    back_up_all(run.store, there, tmp_path)
    last = publish(again(run, "night-2"), 2).release_id
    lost = load(run.store, layout.release(nights[0])).objects[0].key
    run.store.delete(lost)
    with pytest.raises(ReleaseRefused, match=last):
        restoring(there, run.store, tmp_path).everything()
    done = restoring(there, run.store, tmp_path, add=True).everything()
    assert (done.objects, done.swapped, live_of(run.store)) == (1, False, last)
    check_whole(run.store, nights[0])


def test_pins_and_results_that_are_there_stay_and_the_damaged_come_back(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    kept, lost, cut = (layout.pin(nights[0]), layout.pin(nights[1]), layout.result("night-1"))
    for key in (kept, lost, cut):
        run.store.put(key, b'{"why": "then"}')
    back_up_all(run.store, there, tmp_path)
    run.store.put(kept, b'{"why": "now"}')
    run.store.put(cut, b'{"why')
    run.store.delete(lost)
    restoring(there, run.store, tmp_path, add=True).everything()
    assert run.store.read(kept).body == b'{"why": "now"}'
    assert run.store.read(cut).body == run.store.read(lost).body == b'{"why": "then"}'


def test_a_restore_that_was_killed_before_the_swap_can_be_recovered_too(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path
) -> None:
    back_up_all(run.store, there, tmp_path)
    wiped = empty_store("here")
    wiped.die_at_write_of(layout.SERVING, 0, landed=False)
    with pytest.raises(Killed):
        restoring(there, wiped, tmp_path).everything()
    assert recover(wiped, "ann", "the restore was killed").live == nights[1]


def test_the_other_histories_generation_is_passed_too(run: Run, backup: MemoryStore, tmp_path: Path) -> None:
    """Where serving.json was lost in a store with a history of its own, the number goes above both."""
    other = empty_store("other")
    for name in ("a", "b", "c", "d", "e"):
        swap_serving(other, Change("release", "bob", "of another"), lambda now, name=name: now.promoted(name, "sum"))
    other.delete(layout.SERVING)
    done = restoring(backup, other, tmp_path).release()
    assert done.generation == 6
    assert [one["generation"] for one in audit_trail(other)] == [1, 2, 3, 4, 5, 6]
