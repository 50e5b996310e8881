import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway import layout, lease
from slipway.errors import CorruptObject, OperationError, RunInProgress, StoreUnreachable
from slipway.lease import LEASE_SECONDS, QUEUED_SECONDS, Holder, Process, held, read_lease, release, this_process
from slipway.storage import LocalStore, ObjectStore
from tests.support.memory_store import MemoryStore

ELSEWHERE = Process("another machine", 7)
NIGHTLY = Holder("night-1", "airflow (scheduled)", "nightly run", ELSEWHERE)
OTHER = Holder("night-2", "ann", "nightly run", ELSEWHERE)
RACERS = 8


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 2, 15, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(store: ObjectStore, holder: Holder, clock: Clock, take_over: bool = False) -> None:
    with held(store, holder, take_over=take_over, clock=clock):
        pass


def holder_of(store: ObjectStore) -> Holder:
    found, _ = read_lease(store)
    assert found is not None
    assert found.state == "held"
    return found.holder


def test_the_first_run_takes_the_lease_and_keeps_it_after_the_block(clock: Clock) -> None:
    store = MemoryStore()
    assert read_lease(store) == (None, None)
    take(store, NIGHTLY, clock)
    assert holder_of(store) == NIGHTLY


def test_the_same_run_goes_on_with_it_and_its_beginning_stays(clock: Clock) -> None:
    store = MemoryStore()
    take(store, NIGHTLY, clock)
    clock.passes(600)
    take(store, NIGHTLY, clock)
    found, _ = read_lease(store)
    assert found is not None
    assert (found.since, found.renewed) == (clock.now - timedelta(seconds=600), clock.now)


def test_another_run_is_told_who_is_at_work_since_when_and_what_to_do(clock: Clock) -> None:
    store = MemoryStore()
    take(store, replace(NIGHTLY, process=Process("worker-7", 4711)), clock)
    clock.passes(300)
    with pytest.raises(RunInProgress) as told:
        take(store, OTHER, clock)
    for said in (
        "a nightly run is at work",
        "'night-1', started by airflow (scheduled), process 4711 on worker-7, since 2026-01-31 02:15 UTC",
        "last sign of life 02:15 UTC",
        "ends by itself at 02:30 UTC",
        "--take-over",
    ):
        assert said in str(told.value)
    assert holder_of(store).run_id == "night-1"


@pytest.mark.parametrize(("seconds", "free"), [(LEASE_SECONDS - 1, False), (LEASE_SECONDS, True)])
def test_a_lease_without_a_sign_of_life_ends_by_itself(clock: Clock, seconds: int, free: bool) -> None:
    store = MemoryStore()
    take(store, NIGHTLY, clock)
    clock.passes(seconds)
    if free:
        take(store, OTHER, clock)
    else:
        with pytest.raises(RunInProgress):
            take(store, OTHER, clock)
    assert holder_of(store) == (OTHER if free else NIGHTLY)


def test_a_person_may_take_it_over(clock: Clock) -> None:
    store = MemoryStore()
    take(store, NIGHTLY, clock)
    take(store, OTHER, clock, take_over=True)
    assert holder_of(store) == OTHER


def test_a_lease_that_was_given_back_is_free_and_says_whose_it_was(clock: Clock) -> None:
    store = MemoryStore()
    take(store, NIGHTLY, clock)
    release(store, NIGHTLY.run_id, clock)
    found, _ = read_lease(store)
    assert found is not None
    assert (found.state, found.holder) == ("free", NIGHTLY)
    take(store, OTHER, clock)
    assert holder_of(store) == OTHER


def test_giving_back_what_another_run_holds_or_nobody_does_changes_nothing(clock: Clock) -> None:
    store = MemoryStore()
    release(store, NIGHTLY.run_id, clock)
    assert not store.exists(layout.LEASE)
    take(store, NIGHTLY, clock)
    before = store.read(layout.LEASE)
    release(store, OTHER.run_id, clock)
    assert store.read(layout.LEASE) == before
    release(store, NIGHTLY.run_id, clock)
    freed = store.read(layout.LEASE)
    release(store, NIGHTLY.run_id, clock)
    assert store.read(layout.LEASE) == freed


def killed_process() -> Process:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    child.kill()
    child.communicate()
    return replace(this_process(), pid=child.pid)


def test_the_lease_of_a_killed_process_of_this_machine_is_taken_at_once(clock: Clock) -> None:
    store = MemoryStore()
    take(store, replace(NIGHTLY, process=killed_process()), clock)
    take(store, OTHER, clock)
    assert holder_of(store) == OTHER


def test_a_process_that_lives_or_that_cannot_be_judged_from_here_keeps_its_lease(clock: Clock) -> None:
    dead = killed_process()
    for process in (
        this_process(),
        replace(dead, host="another-machine"),
        replace(dead, pid_space="pid:[another container]"),
        replace(dead, pid=0),
        None,
    ):
        store = MemoryStore()
        take(store, replace(NIGHTLY, process=process), clock)
        with pytest.raises(RunInProgress):
            take(store, OTHER, clock)


def test_somebody_elses_process_is_alive(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError(pid, signal)

    monkeypatch.setattr(os, "kill", forbidden)
    store = MemoryStore()
    take(store, replace(NIGHTLY, process=this_process()), clock)
    with pytest.raises(RunInProgress):
        take(store, OTHER, clock)


def test_a_dag_run_may_wait_for_a_slot_between_two_tasks(clock: Clock) -> None:
    store = MemoryStore()
    take(store, Holder("night-1", "airflow (scheduled)", "DAG run"), clock)
    clock.passes(QUEUED_SECONDS - 1)
    with pytest.raises(RunInProgress, match="ends by itself at 04:15 UTC"):
        take(store, OTHER, clock)
    clock.passes(1)
    take(store, OTHER, clock)
    assert holder_of(store) == OTHER


@pytest.mark.parametrize("kind", ["memory", "local"])
@pytest.mark.parametrize("before", ["nothing", "free", "expired"])
def test_of_many_that_race_exactly_one_gets_it(tmp_path: Path, clock: Clock, kind: str, before: str) -> None:
    store: ObjectStore = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    if before != "nothing":
        take(store, NIGHTLY, clock)
        clock.passes(LEASE_SECONDS)
    if before == "free":
        release(store, NIGHTLY.run_id, clock)
    barrier = threading.Barrier(RACERS)

    def race(number: int) -> str | None:
        barrier.wait(60)
        try:
            take(store, Holder(f"run-{number}", "racer", "nightly run"), clock)
        except RunInProgress:
            return None
        return f"run-{number}"

    with ThreadPoolExecutor(RACERS) as pool:
        winners = [name for name in pool.map(race, range(RACERS)) if name]
    assert winners == [holder_of(store).run_id]


def test_parallel_tasks_of_one_run_all_go_on(tmp_path: Path, clock: Clock) -> None:
    store = LocalStore(tmp_path)
    barrier = threading.Barrier(RACERS)

    def task(number: int) -> None:
        barrier.wait(60)
        with held(store, replace(NIGHTLY, who=f"task {number}"), clock=clock) as hold:
            hold.beat()
            hold.check()

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(task, range(RACERS)))
    assert holder_of(store).run_id == NIGHTLY.run_id


def test_a_beat_is_a_sign_of_life_with_a_nonce_of_its_own(clock: Clock) -> None:
    store = MemoryStore()
    with held(store, NIGHTLY, clock=clock) as hold:
        bodies = [store.read(layout.LEASE).body]
        for _ in range(2):
            hold.beat()
            bodies.append(store.read(layout.LEASE).body)
    assert len(set(bodies)) == 3  # although the clock stood still
    clock.passes(LEASE_SECONDS - 1)
    with held(store, NIGHTLY, clock=clock) as hold:
        hold.beat()
    clock.passes(LEASE_SECONDS - 1)
    with pytest.raises(RunInProgress):
        take(store, OTHER, clock)


class Told(MemoryStore):
    """Says when the lease was written for the third time."""

    def __init__(self) -> None:
        super().__init__()
        self.renewed = threading.Event()
        self.writes = 0

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        version = super().put_if(key, body, expected)
        self.writes += 1
        if self.writes >= 3:
            self.renewed.set()
        return version


def test_a_thread_beats_while_the_block_runs_and_is_gone_afterwards(clock: Clock) -> None:
    store = Told()
    with held(store, NIGHTLY, clock=clock, renew_every=0.001):
        assert store.renewed.wait(60)
    assert "slipway-lease" not in [thread.name for thread in threading.enumerate()]


def test_a_lease_that_was_taken_over_is_noticed_by_check_and_at_the_end(clock: Clock) -> None:
    store = MemoryStore()
    reached = False
    lost = pytest.raises(RunInProgress, match=r"taken over: .*run 'night-2', started by ann")
    with lost, held(store, NIGHTLY, clock=clock) as hold:
        take(store, OTHER, clock, take_over=True)
        hold.check()  # nothing is known of it yet
        hold.beat()
        with pytest.raises(RunInProgress):
            hold.check()
        reached = True
    assert reached
    assert holder_of(store) == OTHER


def test_a_machine_that_slept_asks_before_it_goes_on(clock: Clock) -> None:
    store = MemoryStore()
    with pytest.raises(RunInProgress, match="taken over"), held(store, NIGHTLY, clock=clock) as hold:
        clock.passes(LEASE_SECONDS)
        take(store, OTHER, clock)
        hold.check()
        raise AssertionError("it went on")


def test_a_lease_that_was_given_back_under_a_task_is_lost(clock: Clock) -> None:
    store = MemoryStore()
    with pytest.raises(RunInProgress, match="given back"), held(store, NIGHTLY, clock=clock) as hold:
        release(store, NIGHTLY.run_id, clock)
        hold.beat()


def test_an_error_of_the_block_is_not_hidden_by_a_lost_lease(clock: Clock) -> None:
    store = MemoryStore()
    with pytest.raises(ZeroDivisionError), held(store, NIGHTLY, clock=clock) as hold:
        take(store, OTHER, clock, take_over=True)
        hold.beat()
        raise ZeroDivisionError


def test_a_store_that_does_not_answer_once_loses_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    with held(store, NIGHTLY, clock=clock) as hold:
        store.fail_next("put_if", StoreUnreachable("no answer"))
        hold.beat()
        hold.check()
        assert "no answer" in caplog.text
        clock.passes(LEASE_SECONDS - 1)
        hold.beat()
    found, _ = read_lease(store)
    assert found is not None
    assert found.renewed == clock.now


def test_a_fault_of_the_renewal_itself_does_not_vanish(clock: Clock) -> None:
    store = MemoryStore()
    with pytest.raises(ZeroDivisionError), held(store, NIGHTLY, clock=clock) as hold:
        store.fail_next("read", ZeroDivisionError())
        hold.beat()


def test_a_store_that_does_not_answer_at_the_beginning_is_an_error(clock: Clock) -> None:
    store = MemoryStore()
    store.fail_next("put_if", StoreUnreachable("no answer"))
    with pytest.raises(StoreUnreachable):
        take(store, NIGHTLY, clock)


def test_a_run_of_one_process_gives_the_lease_back_whatever_happened(clock: Clock) -> None:
    store = MemoryStore()
    with lease.alone(store, NIGHTLY, clock=clock):
        assert holder_of(store) == NIGHTLY
        with pytest.raises(RunInProgress), lease.alone(store, OTHER, clock=clock):
            raise AssertionError("two at once")
        assert holder_of(store) == NIGHTLY
    with pytest.raises(ZeroDivisionError), lease.alone(store, OTHER, clock=clock):
        raise ZeroDivisionError
    take(store, NIGHTLY, clock)


def test_a_lease_that_cannot_be_given_back_does_not_undo_what_was_done(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    with lease.alone(store, NIGHTLY, clock=clock):
        store.fail_next("put_if", StoreUnreachable("no answer"))
    assert "ends by itself: no answer" in caplog.text
    assert holder_of(store) == NIGHTLY


class Contended(MemoryStore):
    """Somebody else writes the lease between every read and write."""

    def read(self, key: str) -> object:  # type: ignore[override]
        found = super().read(key)
        super().put(key, json.dumps(json.loads(found.body) | {"nonce": os.urandom(4).hex()}).encode())
        return found


def test_a_lease_that_never_stands_still_is_an_error_and_no_endless_loop(clock: Clock) -> None:
    store = Contended()
    store.put(layout.LEASE, lease.Lease("free", NIGHTLY, clock.now, clock.now, "").to_json())
    with pytest.raises(OperationError, match="50 times in a row"):
        take(store, NIGHTLY, clock)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"schema": 2}', b'{"schema": 1}', b'{"schema": 1, "holder": {"process": null}}'],
)
def test_bad_input_a_lease_that_cannot_be_read_is_corrupt_and_says_what_to_do(clock: Clock, body: bytes) -> None:
    store = MemoryStore()
    store.put(layout.LEASE, body)
    with pytest.raises(CorruptObject, match=r"lease\.json"):
        take(store, NIGHTLY, clock)
    assert store.read(layout.LEASE).body == body
