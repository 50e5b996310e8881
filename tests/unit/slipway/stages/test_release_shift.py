"""The release stage with a gradual shift: what it does with the outcome, and how a retry goes on."""

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.errors import ReleaseRefused, StoreUnreachable
from slipway.pointer import Change, audit_trail, read_serving, swap_serving
from slipway.rollback import roll_back
from slipway.run import Run
from slipway.stages.release import Released, name_release, release
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.fleet import Fleet, Player
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED, a_candidate, a_run, again, an_evaluation, publish

SHIFT = {"shift": [10, 50, 100], "step_minutes": 1, "wait_minutes": 2}


def a_shifting_run(store: MemoryStore, scratch: Path) -> Run:
    return a_run(store, scratch, release=SHIFT)


def put_live(run: Run, fleet: Fleet, seed: int, generation: int | None = None) -> Released:
    candidate = a_candidate(run, seed)
    evaluation = an_evaluation(run, candidate)
    begun = read_serving(run.store)[0].generation if generation is None else generation
    return release(run, candidate, evaluation, PASSED, begun, "tester", "because", fleet.pace)


def test_the_first_release_is_made_at_once(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    done = put_live(run, Fleet(run.store, Player("web-1")), 1)
    assert (done.released, done.generation, done.shift) == (True, 1, ())


def test_a_shift_ends_with_the_release_live(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    first = publish(run, 1)
    done = put_live(again(run, "run-2"), Fleet(run.store, Player("web-1")), 2)
    now = read_serving(run.store)[0]
    assert [step["percent"] for step in done.shift] == [10, 50, 100]
    assert now.live_release.release_id == done.release_id
    assert (now.shift, now.standby_release.release_id) == (None, first.release_id)
    actions = [one["changed"]["action"] for one in audit_trail(run.store)]
    assert actions == ["release", "shift", "shift", "shift", "release"]


def test_without_readers_it_is_made_at_once(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    publish(run, 1)
    done = put_live(again(run, "run-2"), Fleet(run.store), 2)
    assert (done.released, done.generation, done.shift) == (True, 2, ())


def test_what_was_taken_back_is_not_released_by_the_next_night(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    first = publish(run, 1)
    candidate = a_candidate(run, 2)
    bad = name_release(candidate, an_evaluation(run, candidate))
    with pytest.raises(ReleaseRefused, match="was taken back"):
        put_live(again(run, "run-2"), Fleet(run.store, Player("web-1", refuses={bad: "wrong answers"})), 2)
    assert read_serving(run.store)[0].live_release.release_id == first.release_id
    for name in ("run-2", "run-3"):  # a cleared task, and the next night
        with pytest.raises(ReleaseRefused, match="was withdrawn"):
            put_live(again(run, name), Fleet(run.store, Player("web-1")), 2)
    after = roll_back(run.store, "ada", "the reader was at fault", to=bad)
    assert after.live_release.release_id == bad


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("kill_at", [0, 1, 2, 3])
def test_a_run_that_is_killed_at_any_swap_is_finished_by_its_retry(tmp_path: Path, kill_at: int, landed: bool) -> None:
    store = CrashingStore()
    run = a_shifting_run(store, tmp_path)
    publish(run, 1)
    fleet = Fleet(store, Player("web-1"))
    second = again(run, "run-2")
    generation = read_serving(store)[0].generation
    store.die_at_write_of("serving.json", kill_at, landed)
    with pytest.raises(Killed):
        put_live(second, fleet, 2, generation)
    done = put_live(second, fleet, 2, generation)
    now = read_serving(store)[0]
    assert (done.released, now.shift, now.live_release.release_id) == (True, None, done.release_id)
    generations = [one["generation"] for one in audit_trail(store)]
    assert generations == list(range(1, now.generation + 1))[: len(generations)]


def test_a_rollback_during_the_shift_wins(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    first = publish(run, 1)
    fleet = Fleet(run.store, Player("web-1"))
    fleet.meanwhile = lambda fleet: roll_back(run.store, "on-call", "odd") if fleet.waits == 40 else None
    with pytest.raises(ReleaseRefused, match="changed by on-call"):
        put_live(again(run, "run-2"), fleet, 2)
    now = read_serving(run.store)[0]
    assert (now.live_release.release_id, now.shift) == (first.release_id, None)
    assert [one.why for one in now.withdrawn.values()] == ["odd"]


def test_retentions_mark_between_the_last_share_and_the_swap_changes_nothing(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    publish(run, 1)
    fleet = Fleet(run.store, Player("web-1"))
    marks = Change("retire", "eve", "old")
    last = 92  # of the waits, in the watch of the last share
    fleet.meanwhile = lambda fleet: (
        swap_serving(run.store, marks, lambda now: replace(now, retired={"ancient": "now"}))
        if fleet.waits == last
        else None
    )
    done = put_live(again(run, "run-2"), fleet, 2)
    assert (done.released, read_serving(run.store)[0].shift) == (True, None)


def test_a_last_swap_that_fails_leaves_no_trial_and_the_retry_shifts_anew(tmp_path: Path) -> None:
    run = a_shifting_run(MemoryStore(), tmp_path)
    first = publish(run, 1)
    fleet = Fleet(run.store, Player("web-1"))
    second, generation = again(run, "run-2"), read_serving(run.store)[0].generation
    run.store.fail_next("copy", StoreUnreachable("503"))  # an attempt that fails before the shift
    with pytest.raises(StoreUnreachable):
        put_live(second, fleet, 2, generation)

    def fail(fleet: Fleet) -> None:
        now = read_serving(run.store)[0]
        if now.shift and now.shift.percent == 100:
            fleet.meanwhile = lambda fleet: None
            puts = run.store.put_if

            def put_if(key: str, body: bytes, expected: str | None) -> str:
                if b'"action": "release"' in body and key == "serving.json":
                    run.store.put_if = puts
                    raise StoreUnreachable("503")
                return puts(key, body, expected)

            run.store.put_if = put_if

    fleet.meanwhile = fail
    with pytest.raises(StoreUnreachable):
        put_live(second, fleet, 2, generation)
    now = read_serving(run.store)[0]
    assert (now.shift, now.live_release.release_id, dict(now.withdrawn)) == (None, first.release_id, {})
    done = put_live(second, fleet, 2, generation)
    assert [step["percent"] for step in done.shift] == [10, 50, 100]
