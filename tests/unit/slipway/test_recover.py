"""A lost, damaged or old serving.json comes back from the audit trail, and only from releases that are whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway import acknowledgement, layout
from slipway.acknowledgement import Acknowledgement
from slipway.errors import CorruptObject, ReleaseRefused
from slipway.manifest import MANIFEST, load
from slipway.pointer import Change, Serving, audit_trail, read_serving, swap_serving
from slipway.recover import BEYOND, newest_generation, recover
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.serving.pointing import Pointer
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish

LOSSES: dict[str, Callable[[MemoryStore], None]] = {
    "deleted": lambda store: store.delete(layout.SERVING),
    "emptied": lambda store: store.put(layout.SERVING, b""),
    "cut short": lambda store: store.put(layout.SERVING, store.read(layout.SERVING).body[:-40]),
    "another object": lambda store: store.put(layout.SERVING, b'{"schema": 2}'),
    "set back": lambda store: store.put(layout.SERVING, store.read(layout.audit(1)).body),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(CrashingStore(), tmp_path / "scratch")


@pytest.fixture
def nights(run: Run) -> list[str]:
    return [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(3)]


def lose_release(run: Run, release_id: str) -> None:
    run.store.delete(load(run.store, layout.release(release_id)).objects[0].key)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_newest_record_comes_back_with_a_higher_generation(loss: str, run: Run, nights: list[str]) -> None:
    before, _ = read_serving(run.store)
    LOSSES[loss](run.store)
    done = recover(run.store, "ann", "it was gone")
    assert (done.live, done.generation, done.record) == (nights[2], 4, 3)
    now, _ = read_serving(run.store)
    assert (now.live, now.slots) == (before.live, before.slots)
    assert now.changed == Change("restore", "ann", "it was gone", to_release=nights[2])
    assert audit_trail(run.store)[-1] == json.loads(now.to_json())
    roll_back(run.store, "ann", "as before")
    assert read_serving(run.store)[0].generation == 5


def test_a_sound_state_is_left_alone(run: Run, nights: list[str]) -> None:
    body = run.store.read(layout.SERVING).body
    with pytest.raises(ReleaseRefused, match=r"sound, at generation 3: there is nothing to recover"):
        recover(run.store, "ann", "just so")
    assert run.store.read(layout.SERVING).body == body


def test_before_the_first_release_there_is_nothing_to_recover(run: Run) -> None:
    with pytest.raises(ReleaseRefused, match=r"nothing was ever released"):
        recover(run.store, "ann", "just so")


def test_a_reason_is_asked_for(run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    with pytest.raises(ReleaseRefused, match=r"needs a reason"):
        recover(run.store, "ann", " ")


def test_what_a_newer_version_wrote_is_not_overwritten(run: Run, nights: list[str]) -> None:
    newer = json.dumps({**json.loads(run.store.read(layout.SERVING).body), "schema": 3}).encode()
    run.store.put(layout.SERVING, newer)
    with pytest.raises(ReleaseRefused, match=r"newer version"):
        recover(run.store, "ann", "it cannot be read")
    assert run.store.read(layout.SERVING).body == newer


def test_a_damaged_record_is_passed_over_and_told(run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    run.store.put(layout.audit(3), b"{")
    done = recover(run.store, "ann", "gone")
    assert (done.live, done.record, done.generation) == (nights[1], 2, 4)
    assert any("audit/00000003.json cannot be read" in note for note in done.notes)


def test_a_live_release_that_is_not_whole_makes_way_for_the_one_before(run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    lose_release(run, nights[2])
    done = recover(run.store, "ann", "gone")
    assert (done.live, done.record) == (nights[1], 2)
    assert any(nights[2] in note and "not whole" in note for note in done.notes)


def test_a_standby_that_is_not_whole_is_left_out(run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    lose_release(run, nights[1])
    done = recover(run.store, "ann", "gone")
    assert done.live == nights[2]
    assert any(f"standby release {nights[1]} is left out" in note for note in done.notes)
    assert set(read_serving(run.store)[0].named) == {nights[2]}


def test_a_trial_ends_and_the_standby_comes_back(run: Run, nights: list[str]) -> None:
    sums = read_serving(run.store)[0].slots["blue"]
    swap_serving(run.store, Change("shift", "ada", "night"), lambda now: now.offered(nights[0], "0" * 64, 10))
    run.store.delete(layout.SERVING)
    done = recover(run.store, "ann", "gone")
    now, _ = read_serving(run.store)
    assert (now.shift, done.live, set(now.named)) == (None, nights[2], {nights[1], nights[2]})
    assert sums.release_id in now.named
    assert any("trial" in note for note in done.notes)


def test_what_was_withdrawn_or_is_being_removed_never_comes_back(run: Run, nights: list[str]) -> None:
    roll_back(run.store, "ann", "bad")  # night 2 is withdrawn, night 1 live
    swap_serving(run.store, Change("retire", "ann", "old"), lambda now: replace(now, retired={nights[0]: "2026"}))
    run.store.delete(layout.SERVING)
    lose_release(run, nights[1])
    with pytest.raises(ReleaseRefused, match=r"slipway restore") as refused:
        recover(run.store, "ann", "gone")
    assert f"{nights[2]} was withdrawn (bad)" in str(refused.value)
    assert f"{nights[0]} is being removed" in str(refused.value)


def test_withdrawals_outlive_a_fall_back(run: Run, nights: list[str]) -> None:
    bad = publish(again(run, "night-3"), 3).release_id
    roll_back(run.store, "ann", "bad")
    last = publish(again(run, "night-4"), 4).release_id
    run.store.delete(layout.SERVING)
    lose_release(run, last)
    recover(run.store, "ann", "gone")
    now, _ = read_serving(run.store)
    assert set(now.withdrawn) == {bad}
    assert now.live_release is not None
    assert now.live_release.release_id == nights[2]


def test_no_release_at_all_is_refused_and_nothing_is_written(run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    for night in nights:
        run.store.delete(f"{layout.release(night)}/{MANIFEST}")
    with pytest.raises(ReleaseRefused, match=r"Restore a release from a backup"):
        recover(run.store, "ann", "gone")
    with pytest.raises(CorruptObject):
        read_serving(run.store)


def test_what_readers_and_the_damaged_object_tell_counts_for_the_generation(run: Run, nights: list[str]) -> None:
    now = datetime.now(UTC).isoformat()
    acknowledgement.publish(run.store, Acknowledgement("web", "host", 1, now, 60, generation=7, live=nights[2]))
    assert newest_generation(run.store) == 7
    run.store.put(layout.SERVING, b'{"schema": 2, "generation": 9}')
    assert newest_generation(run.store) == 9
    assert recover(run.store, "ann", "damaged").generation == 10


def test_a_rollback_that_was_never_recorded_is_told_by_those_who_saw_it(run: Run, nights: list[str]) -> None:
    assert isinstance(run.store, CrashingStore)
    run.store.die_at_write_of(layout.audit(4), 0, landed=False)
    with pytest.raises(Killed):
        roll_back(run.store, "ann", "it poisons answers")
    for name, generation, live in (("web-1", 4, nights[1]), ("web-2", 3, nights[2])):
        acknowledgement.publish(run.store, Acknowledgement(name, "host", 1, "t", 60, generation=generation, live=live))
    run.store.delete(layout.SERVING)
    done = recover(run.store, "ann", "gone")
    assert (done.live, done.record, done.generation) == (nights[2], 3, 5)
    assert done.notes[-1] == (
        f"generation 4 is known of, and 3 is put back: a change after it may have been a rollback, so see whether what "
        f"is live now is meant to be (reader web-1 saw 4 and serves {nights[1]})"
    )


def test_that_nothing_newer_is_known_of_needs_no_note(run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    assert not any("is known of" in note for note in recover(run.store, "ann", "gone").notes)


def test_a_newer_change_that_no_reader_saw_is_told_all_the_same(run: Run, nights: list[str]) -> None:
    run.store.put(layout.SERVING, b'{"schema": 2, "generation": 9}')
    note = recover(run.store, "ann", "damaged").notes[-1]
    assert note.startswith("generation 9 is known of, and 3 is put back")
    assert note.endswith("(no reader tells what it saw)")


def test_a_reader_that_is_far_beyond_all_records_is_not_believed(
    run: Run, nights: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC).isoformat()
    said = Acknowledgement("web", "host", 1, now, 60, generation=3 + BEYOND, live=nights[2])
    acknowledgement.publish(run.store, said)
    assert newest_generation(run.store) == 3 + BEYOND
    acknowledgement.publish(run.store, replace(said, generation=4 + BEYOND))
    assert newest_generation(run.store) == 3
    assert "of reader web is not counted" in caplog.text
    empty = CrashingStore()  # whose readers are ahead of its records, but not of the other's
    acknowledgement.publish(empty, replace(said, generation=3 + BEYOND))
    assert newest_generation(empty) == 0
    assert newest_generation(empty, run.store) == 3 + BEYOND


def test_a_reader_that_saw_the_lost_state_follows_the_new_one(run: Run, nights: list[str]) -> None:
    pointer = Pointer(run.store)
    seen = pointer.look()
    run.store.delete(layout.SERVING)
    run.store.delete(layout.audit(3))  # a process that died between its swap and its record
    with pytest.raises(CorruptObject):
        pointer.look()
    recover(run.store, "ann", "gone")
    after = replace(read_serving(run.store)[0], at="2999-01-01T00:00:00+00:00")  # a second later, at least
    run.store.put(layout.SERVING, after.to_json())
    assert pointer.look() == after
    assert after.generation >= seen.generation


@pytest.mark.parametrize("landed", [False, True])
def test_a_kill_at_any_write_leaves_it_lost_or_recovered(landed: bool, run: Run, nights: list[str]) -> None:
    run.store.delete(layout.SERVING)
    assert isinstance(run.store, CrashingStore)
    for number in range(2):  # the state and its record
        store = run.store.clone()
        store.die_at, store.landed = number, landed
        with pytest.raises(Killed):
            recover(store, "ann", "gone")
        if layout.SERVING not in {info.key for info in store.list()}:
            recover(store, "ann", "gone")
        now, _ = read_serving(store)
        assert (now.generation, set(now.named)) == (4, {nights[1], nights[2]})


def test_somebody_who_was_first_is_not_overwritten(
    run: Run, nights: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.store.delete(layout.SERVING)
    last = Serving.from_json(run.store.read(layout.audit(3)).body)
    theirs = replace(last, generation=4, nonce="theirs").to_json()

    def before(store: object) -> int:
        run.store.put(layout.SERVING, theirs)
        return 3

    monkeypatch.setattr("slipway.recover.newest_generation", before)
    with pytest.raises(ReleaseRefused, match=r"changed by somebody else"):
        recover(run.store, "ann", "gone")
    assert run.store.read(layout.SERVING).body == theirs
