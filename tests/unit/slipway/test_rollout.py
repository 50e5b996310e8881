"""Shifts with readers that are played by the test, in a time of its own."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from slipway.acknowledgement import Loaded
from slipway.config.collection import Release
from slipway.errors import ReleaseRefused, StateUnknown, StoreUnreachable
from slipway.latencies import Latencies, bucket
from slipway.pointer import Change, Serving, audit_trail, read_serving, swap_serving
from slipway.rollout import Offer, Rollout, Step, end_interrupted, end_left_behind, judged
from tests.support.fleet import Fleet, Player
from tests.support.memory_store import MemoryStore

CHANGE = Change("release", "ada", "a night", "run-2")
NEW = Offer("new", "sum of new", "candidates/new")
SETTINGS = Release(shift=(10, 50, 100), step_minutes=1, wait_minutes=2, min_queries=100)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    for name in ("older", "old"):
        swap_serving(
            store, replace(CHANGE, run_id="run-1"), lambda now, name=name: now.promoted(name, f"sum of {name}")
        )
    return store


def serving(store: MemoryStore) -> Serving:
    return read_serving(store)[0]


def shift(fleet: Fleet, settings: Release = SETTINGS, begun: Serving | None = None) -> tuple[Serving, tuple[Step, ...]]:
    return Rollout(fleet.store, settings, NEW, CHANGE, fleet.pace).shift(begun or serving(fleet.store))


def assert_taken_back(store: MemoryStore, why: str) -> None:
    now = serving(store)
    assert now.live_release is not None
    assert (now.live_release.release_id, now.shift) == ("old", None)
    assert now.standby_release is not None
    assert now.standby_release.release_id == "older"
    assert why in now.withdrawn["new"].why
    assert now.withdrawn["new"].candidate == "candidates/new"
    assert now.changed is not None
    assert (now.changed.action, now.changed.who, now.changed.run_id) == ("take back", "slipway", "run-2")


def test_a_good_release_moves_through_all_shares_and_stays_on_trial(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"), Player("web-2"))
    after, steps = shift(fleet)
    assert [step.percent for step in steps] == [10, 50, 100]
    assert {step.readers for step in steps} == {2}
    assert after == serving(store)
    assert after.shift is not None
    assert (after.trial and after.trial.release_id, after.shift.percent) == ("new", 100)
    moves = [(one["changed"]["action"], (one["shift"] or {}).get("percent")) for one in audit_trail(store)][2:]
    assert moves == [("shift", 10), ("shift", 50), ("shift", 100)]
    assert fleet.waits >= 3 * 30  # a minute each, watched every two seconds


def test_what_was_measured_is_told(store: MemoryStore) -> None:
    _, steps = shift(Fleet(store, Player("web-1", queries_a_second=100, live_ms=1.0, trial_ms=1.5)))
    last = steps[-1]
    assert last.queries > steps[0].queries > 0
    assert last.errors == 0
    assert last.p95_ms == pytest.approx(1.5, rel=0.2)
    assert last.live_p95_ms == pytest.approx(1.0, rel=0.2)


def test_a_step_is_told_in_a_line() -> None:
    step = Step(50, 2, 12_345, 6, 1.2345, None)
    line = "50 % of the requests: 2 readers, 12,345 queries, 6 failed, p95 1.23 ms, that of the live release unknown"
    assert step.line == line
    assert "1 reader, " in replace(step, readers=1).line


def test_without_readers_there_is_nobody_to_wait_for(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(store)
    begun = serving(store)
    with caplog.at_level("INFO", "slipway.rollout"):
        assert shift(fleet) == (begun, ())
    assert serving(store) == begun
    assert "no reader follows this collection" in caplog.text


def test_a_reader_that_died_before_the_shift_is_not_waited_for(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("dead", silent=False), Player("web-1"))
    fleet.players[0].silent = True
    fleet.wait(60)
    assert {step.readers for step in shift(fleet)[1]} == {1}
    assert serving(store).trial is not None


@pytest.mark.parametrize("minutes", [-90, 90])
def test_clocks_that_differ_make_nobody_silent(store: MemoryStore, minutes: int) -> None:
    fleet = Fleet(store, Player("web-1"), Player("dead"), store_is_ahead=timedelta(minutes=minutes))
    fleet.players[1].silent = True
    fleet.wait(60)
    assert {step.readers for step in shift(fleet)[1]} == {1}
    assert list(store.list("clock/")) == []


def test_a_reader_that_refuses_the_release_takes_it_back(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"), Player("web-2", refuses={"new": "smoke query 0 found nothing"}))
    with pytest.raises(ReleaseRefused, match=r"taken back: at 10 % .* reader web-2 refused it: smoke query 0 found"):
        shift(fleet)
    assert_taken_back(store, "reader web-2 refused it")


def test_a_reader_that_falls_silent_takes_it_back(store: MemoryStore) -> None:
    """It may have died of the release."""
    fleet = Fleet(store, Player("web-1"), Player("web-2"))

    def die(fleet: Fleet) -> None:
        fleet.players[1].silent = serving(store).shift is not None and serving(store).shift.percent == 50

    fleet.meanwhile = die
    with pytest.raises(ReleaseRefused, match=r"at 50 % .* reader web-2 has fallen silent"):
        shift(fleet)
    assert_taken_back(store, "fallen silent")


def test_a_reader_that_closes_is_no_longer_waited_for(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"), Player("web-2", blind=True))
    fleet.meanwhile = lambda fleet: fleet.close("web-2") if fleet.waits == 5 else None
    assert len(shift(fleet)[1]) == 3


def test_a_reader_that_does_not_acknowledge_takes_it_back(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"), Player("web-2", blind=True))
    with pytest.raises(ReleaseRefused, match=r"at 10 % .* web-2 did not acknowledge it within 2 minutes"):
        shift(fleet)
    assert_taken_back(store, "did not acknowledge")


def test_a_reader_that_comes_during_the_shift_is_heard(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"))

    def join(fleet: Fleet) -> None:
        if fleet.waits == 10:
            fleet.players.append(Player("late", refuses={"new": "its FAISS is too old"}))

    fleet.meanwhile = join
    with pytest.raises(ReleaseRefused, match="reader late refused it: its FAISS is too old"):
        shift(fleet)


def test_errors_take_it_back(store: MemoryStore) -> None:
    with pytest.raises(ReleaseRefused, match=r"queries failed; max_error_share 0.01 allows"):
        shift(Fleet(store, Player("web-1", error_share=0.2)))
    assert_taken_back(store, "queries failed")


def test_latency_takes_it_back(store: MemoryStore) -> None:
    with pytest.raises(ReleaseRefused, match=r"p95 latency was .* max_latency_ratio allows 2"):
        shift(Fleet(store, Player("web-1", trial_ms=5.0)))
    assert_taken_back(store, "p95 latency")


def test_the_full_share_alone_is_compared_with_what_came_before(store: MemoryStore) -> None:
    """At 100 % the live release answers nothing any more."""
    fleet = Fleet(store, Player("web-1", trial_ms=5.0))
    fleet.wait(20)
    with pytest.raises(ReleaseRefused, match=r"at 100 % .* p95 latency"):
        shift(fleet, SETTINGS.model_copy(update={"shift": (100,)}))


def test_somebody_elses_change_ends_the_shift_without_touching_it(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"))

    def on_call(fleet: Fleet) -> None:
        if fleet.waits == 10:
            swap_serving(store, Change("rollback", "eve", "it looks odd"), lambda now: now.taken_back("it looks odd"))

    fleet.meanwhile = on_call
    with pytest.raises(
        ReleaseRefused, match=r"changed by eve \(rollback: it looks odd\) while the shift was under way"
    ):
        shift(fleet)
    changed = serving(store).changed
    assert changed is not None
    assert changed.who == "eve"


def test_a_shift_that_was_killed_goes_on_where_it_was(store: MemoryStore) -> None:
    begun = swap_serving(store, replace(CHANGE, action="shift"), lambda now: now.offered("new", "sum of new", 50))
    after, steps = shift(Fleet(store, Player("web-1")), begun=begun)
    assert [step.percent for step in steps] == [50, 100]
    assert after.generation == begun.generation + 1


def test_the_trial_of_another_release_begins_anew(store: MemoryStore) -> None:
    begun = swap_serving(store, replace(CHANGE, action="shift"), lambda now: now.offered("other", "sum", 50))
    _, steps = shift(Fleet(store, Player("web-1")), begun=begun)
    assert [step.percent for step in steps] == [10, 50, 100]


def test_an_acknowledgement_that_cannot_be_read_is_said_and_not_waited_for(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("readers/broken.json", b"{")
    shift(Fleet(store, Player("web-1")))
    assert "readers/broken.json cannot be read" in caplog.text


def test_an_unknown_outcome_is_passed_on_and_a_retry_goes_on(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"))
    store.fail_next("put_if", StateUnknown("no reply"))  # the audit record that is owed comes first
    with pytest.raises(StateUnknown):
        shift(fleet)
    assert [step.percent for step in shift(fleet)[1]] == [10, 50, 100]


def test_the_shift_of_a_dead_run_is_ended_and_not_withdrawn(store: MemoryStore) -> None:
    swap_serving(store, replace(CHANGE, run_id="dead"), lambda now: now.offered("new", "sum of new", 50))
    end_interrupted(store, "run-3")
    now = serving(store)
    assert (now.shift, dict(now.withdrawn)) == (None, {})
    assert now.standby_release is not None
    assert now.standby_release.release_id == "older"
    assert now.changed is not None
    assert (now.changed.action, now.changed.who) == ("take back", "slipway")
    end_interrupted(store, "run-3")
    assert serving(store) == now


def test_a_runs_own_shift_is_left_to_its_retry(store: MemoryStore) -> None:
    begun = swap_serving(store, CHANGE, lambda now: now.offered("new", "sum of new", 50, run_id="run-2"))
    end_interrupted(store, "run-2")
    assert serving(store) == begun
    end_left_behind(store, "run-1")
    assert serving(store) == begun
    end_left_behind(store, "run-2")
    assert (serving(store).shift, dict(serving(store).withdrawn)) == (None, {})


def begun_at(store: MemoryStore, percent: int) -> Serving:
    """What a former attempt of this run left."""
    offered = lambda now: now.offered("new", "sum of new", percent, "candidates/new", "run-2")  # noqa: E731
    return swap_serving(store, replace(CHANGE, action="shift"), offered)


def test_a_retry_takes_back_what_silenced_all_readers(store: MemoryStore) -> None:
    """They may have died of the release while nobody watched: that is not the same as no readers."""
    fleet = Fleet(store, Player("web-1"), Player("web-2"))
    begun = begun_at(store, 10)
    fleet.wait(2)
    for player in fleet.players:
        player.silent = True
    fleet.wait(60)
    with pytest.raises(ReleaseRefused, match="has fallen silent"):
        shift(fleet, begun=begun)
    assert_taken_back(store, "fallen silent")


def test_a_store_that_does_not_answer_for_a_while_is_waited_for(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"))

    def fail(fleet: Fleet) -> None:
        if fleet.waits in (3, 20, 70):
            store.fail_next("list", StoreUnreachable("503"))

    fleet.meanwhile = fail
    assert len(shift(fleet)[1]) == 3


@pytest.mark.parametrize("error", [StoreUnreachable("503"), StateUnknown("no reply")])
def test_a_take_back_is_tried_until_it_is_done(store: MemoryStore, error: Exception) -> None:
    fleet = Fleet(store, Player("web-1", error_share=0.5))

    def fail(fleet: Fleet) -> None:
        if fleet.waits == 2:
            store.fail_next("put_if", error)

    fleet.meanwhile = fail
    with pytest.raises(ReleaseRefused, match="was taken back"):
        shift(fleet)
    assert_taken_back(store, "queries failed")


def test_whatever_else_ends_a_shift_ends_the_trial(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"))

    def fail(fleet: Fleet) -> None:
        if fleet.waits == 10:
            raise KeyboardInterrupt

    fleet.meanwhile = fail
    with pytest.raises(KeyboardInterrupt):
        shift(fleet)
    now = serving(store)
    assert (now.shift, dict(now.withdrawn)) == (None, {})
    assert now.standby_release is not None
    assert now.standby_release.release_id == "older"


def test_retentions_marks_end_no_shift(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"))

    def retire(fleet: Fleet) -> None:
        if fleet.waits == 10:
            swap_serving(store, Change("retire", "eve", "old"), lambda now: replace(now, retired={"ancient": "now"}))

    fleet.meanwhile = retire
    assert len(shift(fleet)[1]) == 3


def test_a_restarted_reader_hides_no_slow_release(store: MemoryStore) -> None:
    """Its new process counts from nothing, under the old name."""
    fleet = Fleet(store, Player("web-1", trial_ms=20.0))
    fleet.wait(30)

    def restart(fleet: Fleet) -> None:
        if fleet.waits == 5:
            cold = {"old": Loaded("old", "restarted", 120, 0, Latencies({bucket(15.0): 120}))}
            fleet.players = [Player("web-1", pid=2, trial_ms=20.0, answered=cold)]

    fleet.meanwhile = restart
    with pytest.raises(ReleaseRefused, match="p95 latency"):
        shift(fleet)


def test_a_reader_that_crashes_again_and_again_keeps_its_errors(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1", queries_a_second=5, error_share=0.3))

    def crash(fleet: Fleet) -> None:
        fleet.players = [Player("web-1", pid=fleet.waits, queries_a_second=5, error_share=0.3)]

    fleet.meanwhile = crash
    with pytest.raises(ReleaseRefused, match="queries failed"):
        shift(fleet, SETTINGS.model_copy(update={"shift": (100,)}))


def test_an_acknowledgement_that_becomes_unreadable_takes_it_back(store: MemoryStore) -> None:
    fleet = Fleet(store, Player("web-1"), Player("web-2"))

    def spoil(fleet: Fleet) -> None:
        if fleet.waits >= 10:
            fleet.players = [player for player in fleet.players if player.name != "web-2"]
            store.put("readers/web-2.json", b"{}")

    fleet.meanwhile = spoil
    with pytest.raises(ReleaseRefused, match="the acknowledgement of reader web-2 cannot be read any more"):
        shift(fleet)


def test_when_every_reader_closes_it_is_said(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(store, Player("web-1"))
    fleet.meanwhile = lambda fleet: fleet.close("web-1") if fleet.waits == 5 else None
    assert [step.readers for step in shift(fleet)[1]][-1] == 0
    assert "every reader has closed meanwhile" in caplog.text


def step(**values: Any) -> Step:
    return Step(
        **({"percent": 10, "readers": 1, "queries": 1000, "errors": 0, "p95_ms": 1.0, "live_p95_ms": 1.0} | values)
    )


@pytest.mark.parametrize(
    ("measured", "is_bad"),
    [
        (step(), False),
        (step(errors=10), False),
        (step(errors=11), True),
        (step(queries=5, errors=1), False),
        (step(queries=5, errors=2), True),
        (step(p95_ms=2.0), False),
        (step(p95_ms=2.1), True),
        (step(p95_ms=9.0, queries=99), False),  # too few to say
        (step(p95_ms=None, queries=0), False),
        (step(live_p95_ms=None), False),
    ],
)
def test_what_is_too_bad(measured: Step, is_bad: bool) -> None:
    assert (judged(measured, SETTINGS) is not None) is is_bad
