"""A release that was withdrawn since its backup does not come back by itself, and stays withdrawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slipway import layout
from slipway.backup import Restoring, back_up, back_up_all
from slipway.drill import drill
from slipway.errors import ReleaseRefused
from slipway.pointer import Change, Serving, Slot, read_serving, swap_serving
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.storage.base import ObjectStore
from tests.support.crashing_store import CrashingStore
from tests.support.memory_store import MemoryStore
from tests.support.releases import again, publish
from tests.unit.slipway.backup.conftest import empty_store


@pytest.fixture
def restore(run: Run, there: CrashingStore, tmp_path: Path) -> Callable[..., Restoring]:
    """A restore into the collection's store, or another."""

    def made(target: ObjectStore = run.store, *, add: bool = False) -> Restoring:
        return Restoring(there, target, tmp_path / "scratch", "ann", "it was lost", add)

    return made


def state(store: ObjectStore) -> Serving:
    return read_serving(store)[0]


def live_of(store: ObjectStore) -> str | None:
    live = state(store).live_release
    return live.release_id if live else None


def withdrawn_after(run: Run, there: MemoryStore, folder: Path, copy: Callable[..., object]) -> None:
    """A backup of the live release, which is rolled back then; serving.json is lost after that."""
    copy(run.store, there, folder / "scratch")
    roll_back(run.store, "ann", "it was bad")
    run.store.delete(layout.SERVING)


def test_the_only_backup_is_of_a_withdrawn_release(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    withdrawn_after(run, there, tmp_path, back_up)
    before = {info.key for info in run.store.list()}
    with pytest.raises(ReleaseRefused, match=rf"withdrawn since \({nights[1]}; .*--release"):
        restore().release()
    assert {info.key for info in run.store.list()} == before
    done = restore().release(nights[1])  # whoever names it wants it
    assert (done.swapped, live_of(run.store), state(run.store).withdrawn) == (True, nights[1], {})


def test_the_newest_backup_that_was_not_withdrawn_is_taken(
    run: Run, there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    good = publish(again(run, "night-0"), 0).release_id
    back_up(run.store, there, tmp_path / "scratch")
    bad = publish(again(run, "night-1"), 1).release_id
    withdrawn_after(run, there, tmp_path, back_up)
    assert restore().release().release_id == good
    assert (live_of(run.store), state(run.store).withdrawn[bad].why) == (good, "it was bad")


def test_a_whole_collection_does_not_make_it_live_either(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    withdrawn_after(run, there, tmp_path, back_up_all)
    with pytest.raises(ReleaseRefused, match=rf"{nights[1]}, .* was withdrawn since \(it was bad\).*--all --add"):
        restore().everything()
    assert restore(add=True).everything().swapped is False
    assert restore().release(nights[0]).swapped
    assert (live_of(run.store), set(state(run.store).withdrawn)) == (nights[0], {nights[1]})


def test_a_backup_of_the_trail_alone_tells_an_empty_store(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    back_up_all(run.store, there, tmp_path / "scratch")
    roll_back(run.store, "ann", "it was bad")
    back_up(run.store, there, tmp_path / "scratch")
    wiped = empty_store("here")
    with pytest.raises(ReleaseRefused, match=r"was withdrawn since"):
        restore(wiped).everything()
    assert restore(wiped).release().release_id == nights[0]
    assert set(state(wiped).withdrawn) == {nights[1]}


def test_what_was_withdrawn_or_retired_since_a_whole_backup_stays_so(
    run: Run, there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    nights = [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(2)]
    back_up_all(run.store, there, tmp_path / "scratch")
    bad = publish(again(run, "night-2"), 2).release_id
    roll_back(run.store, "ann", "it was bad")
    retired = {nights[0]: "2026", "older": "2026"}  # the first stands in a slot of the backup's state, and comes back
    swap_serving(run.store, Change("retire", "ann", "old"), lambda now: replace(now, slots=slots(now), retired=retired))
    run.store.delete(layout.SERVING)
    assert restore().everything().swapped
    now = state(run.store)
    assert (set(now.named), set(now.withdrawn), set(now.retired)) == (set(nights), {bad}, {"older"})
    roll_back(run.store, "ann", "the standby is one to go back to")


def slots(now: Serving) -> dict[str, Slot]:
    """The live slot alone."""
    return {now.live: now.slots[now.live]}


def test_beside_a_live_release_nothing_is_refused(
    run: Run, nights: list[str], there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    """It stays what it was, withdrawn: only its objects are mended."""
    back_up_all(run.store, there, tmp_path / "scratch")
    roll_back(run.store, "ann", "it was bad")
    before = state(run.store)
    restore(add=True).everything()
    restore(add=True).release(nights[1])
    assert state(run.store) == before


def test_a_drill_restores_what_a_restore_takes(
    run: Run, there: MemoryStore, tmp_path: Path, restore: Callable[..., Restoring]
) -> None:
    good = publish(again(run, "night-0"), 0).release_id
    back_up(run.store, there, tmp_path / "scratch")
    publish(again(run, "night-1"), 1)
    back_up(run.store, there, tmp_path / "scratch")
    roll_back(run.store, "ann", "it was bad")
    done = drill(run.store, there, tmp_path / "drill")
    assert (done.release_id, done.is_live) == (good, True)
