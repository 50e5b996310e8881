import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import layout
from slipway.errors import (
    ConflictError,
    CorruptObject,
    LostRace,
    ObjectMissing,
    ReleaseRefused,
    StateUnknown,
    StoreDenied,
    StoreUnreachable,
)
from slipway.pointer import Change, Serving, Withdrawn, audit_trail, read_serving, swap_serving
from slipway.storage import LocalStore, ObjectStore
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.faulty_store import Overtaken, World
from tests.support.memory_store import MemoryStore

CHANGE = Change("release", "tester", "because", "run-1")


def promote(store: ObjectStore, release_id: str, change: Change = CHANGE) -> Serving:
    return swap_serving(store, change, lambda now: now.promoted(release_id, f"sum of {release_id}"))


def names(serving: Serving) -> tuple[str | None, str | None]:
    live, standby = serving.live_release, serving.standby_release
    return live.release_id if live else None, standby.release_id if standby else None


def reasons(serving: Serving) -> dict[str, str]:
    return {name: one.why for name, one in serving.withdrawn.items()}


def test_before_the_first_release_there_is_nothing() -> None:
    serving, version = read_serving(MemoryStore())
    assert (serving, version) == (Serving(), None)
    assert (serving.generation, names(serving), serving.withdrawn) == (0, (None, None), {})


def test_the_first_release_goes_live_and_nothing_stands_by() -> None:
    store = MemoryStore()
    after = promote(store, "r1")
    assert (after.generation, after.live, names(after)) == (1, "blue", ("r1", None))
    assert after.live_release is not None
    assert after.live_release.manifest_sha256 == "sum of r1"
    assert after.changed == replace(CHANGE, to_release="r1")
    assert read_serving(store)[0] == after


def test_what_a_run_was_allowed_is_read_back() -> None:
    store = MemoryStore()
    change = replace(CHANGE, allowed=("deletes", "over_budget"))
    made = promote(store, "r1", change).changed
    assert made == replace(change, to_release="r1")
    assert read_serving(store)[0].changed == made
    assert audit_trail(store)[0]["changed"]["allowed"] == ["deletes", "over_budget"]


def test_a_change_of_an_older_version_was_allowed_nothing() -> None:
    store = MemoryStore()
    promote(store, "r1")
    raw = json.loads(store.read(layout.SERVING).body)
    del raw["changed"]["allowed"]
    store.put(layout.SERVING, json.dumps(raw).encode())
    assert read_serving(store)[0].changed == replace(CHANGE, to_release="r1")


def test_a_release_takes_the_standby_slot_and_turns_it_live() -> None:
    store = MemoryStore()
    promote(store, "r1")
    second = promote(store, "r2")
    assert (second.generation, second.live, names(second)) == (2, "green", ("r2", "r1"))
    third = promote(store, "r3")
    assert (third.generation, third.live, names(third)) == (3, "blue", ("r3", "r2"))


def test_a_rollback_goes_back_and_withdraws_what_it_leaves() -> None:
    now = Serving().promoted("r1", "s1").promoted("r2", "s2")
    back = now.rolled_back("r1", "s1", "worse")
    assert (names(back), back.live, reasons(back)) == (("r1", "r2"), "blue", {"r2": "worse"})
    assert names(now) == ("r2", "r1")
    again = back.rolled_back("r2", "s2", "not worse after all")
    assert (names(again), reasons(again)) == (("r2", "r1"), {})


def test_a_step_to_a_newer_release_says_nothing_against_the_one_that_is_left() -> None:
    older, middle, newer = (f"2026010{day}T000000-0a1b2c3d" for day in (1, 2, 3))
    back = Serving().promoted(middle, "s").promoted(newer, "s").rolled_back(older, "s", "both bad")
    assert reasons(back.rolled_back(middle, "s", "only one was")) == {newer: "both bad"}
    assert reasons(back.rolled_back(newer, "s", "none was")) == {}


def test_the_release_on_trial_can_be_made_live_and_nothing_is_said_against_the_one_before() -> None:
    on_trial = Serving().promoted("r1", "s1").promoted("r2", "s2").offered("r3", "s3", 10)
    assert reasons(on_trial.rolled_back("r3", "s3", "at once")) == {}
    assert reasons(on_trial.rolled_back("r1", "s1", "both bad")) == {"r2": "both bad", "r3": "both bad"}


def test_a_rollback_to_an_older_release_leaves_it_live_and_the_former_on_standby() -> None:
    now = Serving().promoted("r1", "s1").promoted("r2", "s2").promoted("r3", "s3")
    back = now.rolled_back("r1", "s1", "both bad")
    assert (names(back), reasons(back)) == (("r1", "r3"), {"r3": "both bad"})


def test_a_release_that_is_promoted_again_is_no_longer_withdrawn() -> None:
    now = Serving().promoted("r1", "s1").promoted("r2", "s2").rolled_back("r1", "s1", "worse").promoted("r2", "s2")
    assert now.withdrawn == {}


def test_a_change_in_a_state_keeps_all_others() -> None:
    now = replace(Serving(), withdrawn={"r0": Withdrawn("old")}).promoted("r1", "s1").promoted("r2", "s2")
    assert reasons(now.rolled_back("r1", "s1", "worse")) == {"r0": "old", "r2": "worse"}


def test_every_change_is_recorded_once_with_who_and_why() -> None:
    store = MemoryStore()
    states = [promote(store, f"r{n}", Change("release", f"who{n}", f"why{n}", f"run-{n}")) for n in range(1, 4)]
    trail = audit_trail(store)
    assert [record["generation"] for record in trail] == [1, 2, 3]
    assert [record["changed"]["who"] for record in trail] == ["who1", "who2", "who3"]
    assert [Serving.from_json(json.dumps(record).encode()) for record in trail] == states
    assert len({record["nonce"] for record in trail}) == 3
    assert store.read(layout.audit(3)).body == store.read(layout.SERVING).body


def test_a_state_comes_back_from_its_bytes() -> None:
    store = MemoryStore()
    promote(store, "r1")
    after = swap_serving(store, Change("release", "Zoë", "weil's geht"), lambda now: now.promoted("r2", "s"))
    assert Serving.from_json(after.to_json()) == after


def test_a_record_that_a_dead_process_owed_is_made_by_the_next_change() -> None:
    store = CrashingStore()
    promote(store, "r1")
    store.die_at, store.landed = 1, True  # 0 finds the record of generation 1 made, 1 is the swap
    with pytest.raises(Killed):
        promote(store, "r2")
    assert names(read_serving(store)[0]) == ("r2", "r1")
    assert [info.key for info in store.list("audit/")] == ["audit/00000001.json"]
    assert [record["generation"] for record in audit_trail(store)] == [1, 2]  # the last is told by serving.json itself
    promote(store, "r3")
    assert len(list(store.list("audit/"))) == 3
    assert [record["slots"][record["live"]]["release_id"] for record in audit_trail(store)] == ["r1", "r2", "r3"]


class NoRecords(MemoryStore):
    """A store that takes no audit records just now."""

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        if key.startswith("audit/"):
            raise StoreUnreachable("gone")
        return super().put_if(key, body, expected)


def test_a_swap_that_cannot_be_recorded_yet_is_a_swap_all_the_same() -> None:
    """An error would say that nothing was changed, and a retry would say that the release is live already."""
    store = NoRecords()
    assert promote(store, "r1").generation == 1
    assert names(read_serving(store)[0]) == ("r1", None)
    with pytest.raises(StoreUnreachable):  # the record that is owed comes first
        promote(store, "r2")
    assert names(read_serving(store)[0]) == ("r1", None)


def test_a_record_is_never_written_over() -> None:
    store = MemoryStore()
    promote(store, "r1")
    before = store.read(layout.audit(1)).body
    promote(store, "r2")
    assert store.read(layout.audit(1)).body == before
    assert all(key.startswith(("audit/", "serving.json")) for method, key in store.calls if method != "list")
    assert not [call for call in store.calls if call[0] in {"put", "delete", "copy", "upload"}]


@pytest.mark.parametrize("error", [StateUnknown("?"), StoreUnreachable("gone"), StoreDenied("no")])
def test_what_the_store_says_of_a_swap_is_passed_on(error: Exception) -> None:
    store = MemoryStore()
    store.fail_next("put_if", error)
    with pytest.raises(type(error)):
        promote(store, "r1")
    assert read_serving(store) == (Serving(), None)


def test_a_lost_race_is_a_refusal_that_changed_nothing() -> None:
    store = MemoryStore()
    store.fail_next("put_if", ConflictError("first"))
    with pytest.raises(LostRace, match=r"changed by somebody else .* nothing was changed by this release"):
        promote(store, "r1")


def test_a_refusal_writes_nothing() -> None:
    store = MemoryStore()
    promote(store, "r1")
    del store.calls[:]

    def refuse(now: Serving) -> Serving:
        raise ReleaseRefused("no")

    with pytest.raises(ReleaseRefused, match="no"):
        swap_serving(store, CHANGE, refuse)
    assert {method for method, _ in store.calls} == {"read", "exists"}


RACERS, ROUNDS = 6, 8


def test_of_racing_changes_exactly_one_wins_each_round(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    together = threading.Barrier(RACERS)
    outcomes: list[tuple[int, int, str]] = []

    def run(racer: int) -> None:
        for turn in range(ROUNDS):
            together.wait(60)

            def make(now: Serving, turn: int = turn) -> Serving:
                together.wait(60)  # everybody has read the same state
                return now.promoted(f"r{turn}-{racer}", "sum")

            try:
                outcomes.append((turn, racer, swap_serving(store, CHANGE, make).live_release.release_id))
            except ReleaseRefused:
                outcomes.append((turn, racer, "refused"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == RACERS * ROUNDS
    trail = audit_trail(store)
    assert [record["generation"] for record in trail] == list(range(1, ROUNDS + 1))
    for turn, record in enumerate(trail):
        won = [found for number, _, found in outcomes if number == turn and found != "refused"]
        assert won == [record["slots"][record["live"]]["release_id"]]
    assert read_serving(store)[0].generation == ROUNDS


def stored(**changes: Any) -> dict[str, Any]:
    state = json.loads(replace(Serving(), generation=3).promoted("r1", "s1").to_json())
    return state | {"changed": {"action": "release", "who": "w", "why": "y", "run_id": None}} | changes


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        json.dumps(stored(schema=3)).encode(),
        json.dumps(stored(schema=3, traffic={"green": 10})).encode(),
        json.dumps(stored(live="purple")).encode(),
        json.dumps(stored(live="green")).encode(),  # an empty slot
        json.dumps(stored(slots={})).encode(),
        json.dumps(stored(slots={"blue": {"release_id": "r1"}})).encode(),
        json.dumps(stored(slots={"blue": "r1"})).encode(),
        json.dumps(stored(generation=0)).encode(),
        json.dumps(stored(generation="3")).encode(),
        json.dumps(stored(generation=None)).encode(),
        json.dumps(stored(unknown=1)).encode(),
        json.dumps({name: value for name, value in stored().items() if name != "slots"}).encode(),
    ],
)
def test_a_damaged_pointer_is_refused_and_never_taken_for_an_empty_one(body: bytes) -> None:
    store = MemoryStore()
    store.put(layout.SERVING, body)
    with pytest.raises(CorruptObject, match=r"serving.json"):
        read_serving(store)
    with pytest.raises(CorruptObject):
        promote(store, "r2")
    assert store.read(layout.SERVING).body == body


def test_the_state_those_are_made_of_is_sound() -> None:
    assert Serving.from_json(json.dumps(stored()).encode()).generation == 3


def test_a_state_has_the_fields_that_readers_of_the_version_before_know() -> None:
    """They take a state with any other for damaged; one that must be added needs another schema."""
    written = json.loads(promote(MemoryStore(), "r1").to_json())
    assert written["schema"] == 2
    assert written.keys() == {
        *("schema", "generation", "live", "slots", "shift", "withdrawn", "retired", "changed", "at", "nonce")
    }
    assert written["changed"].keys() == {
        *("action", "who", "why", "run_id", "allowed", "from_release", "to_release", "withdrew")
    }
    assert written["slots"]["blue"].keys() == {"release_id", "manifest_sha256", "since", "candidate"}


def test_the_first_schema_is_still_read() -> None:
    """Of before shifts: no shift, and a reason for each withdrawn release."""
    old = stored(schema=1, withdrawn={"r0": "bad"})
    for name in ("shift", "retired"):
        del old[name]
    for slot in old["slots"].values():
        del slot["candidate"]
    read = Serving.from_json(json.dumps(old).encode())
    assert (read.schema, read.shift, read.retired, reasons(read)) == (2, None, {}, {"r0": "bad"})
    assert Serving.from_json(read.to_json()) == read


def test_a_newer_schema_is_named() -> None:
    with pytest.raises(CorruptObject, match="has schema 3; this version reads schema 2"):
        Serving.from_json(json.dumps(stored(schema=3, traffic={})).encode())


def test_there_is_no_trail_before_the_first_change() -> None:
    store = MemoryStore()
    assert audit_trail(store) == []
    with pytest.raises(ObjectMissing):
        store.read(layout.SERVING)


LIVE_AND_STANDBY = Serving().promoted("r1", "s1").promoted("r2", "s2")


def trial(serving: Serving) -> str | None:
    return serving.trial.release_id if serving.trial else None


def test_a_release_on_trial_takes_the_standby_slot_and_keeps_what_was_there() -> None:
    now = LIVE_AND_STANDBY.offered("r3", "s3", 10, "candidates/c3")
    assert (names(now), trial(now), now.shift and now.shift.percent) == (("r2", "r1"), "r3", 10)
    assert set(now.named) == {"r1", "r2", "r3"}
    assert Serving.from_json(replace(now, generation=1).to_json()) == replace(now, generation=1)


def test_a_shift_moves_on_with_the_same_trial() -> None:
    first = LIVE_AND_STANDBY.offered("r3", "s3", 10)
    more = first.offered("r3", "s3", 50)
    assert more.trial == first.trial
    assert more.shift == replace(first.shift, percent=50)


def test_a_trial_that_went_well_is_promoted_into_its_own_slot() -> None:
    now = LIVE_AND_STANDBY.offered("r3", "s3", 100).promoted("r3", "s3")
    assert (names(now), trial(now), now.shift) == (("r3", "r2"), None, None)


def test_a_trial_that_is_taken_back_is_withdrawn_and_the_standby_returns() -> None:
    now = LIVE_AND_STANDBY.offered("r3", "s3", 50, "candidates/c3").taken_back("slow")
    assert (names(now), trial(now), now.live) == (("r2", "r1"), None, LIVE_AND_STANDBY.live)
    assert (now.withdrawn["r3"].why, now.withdrawn["r3"].candidate) == ("slow", "candidates/c3")


def test_taking_back_the_second_release_ever_leaves_no_standby() -> None:
    now = Serving().promoted("r1", "s1").offered("r2", "s2", 50).taken_back("slow")
    assert (names(now), set(now.slots)) == (("r1", None), {now.live})


def test_another_trial_takes_the_place_of_one_under_way() -> None:
    now = LIVE_AND_STANDBY.offered("r3", "s3", 50).offered("r4", "s4", 10)
    assert (names(now), trial(now)) == (("r2", "r1"), "r4")


def test_a_rollback_during_a_shift_withdraws_both() -> None:
    now = LIVE_AND_STANDBY.offered("r3", "s3", 50).rolled_back("r1", "s1", "all bad")
    assert (names(now), now.shift) == (("r1", "r2"), None)
    assert reasons(now) == {"r2": "all bad", "r3": "all bad"}


def test_there_is_nothing_to_shift_from_before_the_first_release() -> None:
    with pytest.raises(ReleaseRefused, match="nothing is live yet"):
        Serving().offered("r1", "s1", 10)


def test_there_is_nothing_to_take_back_without_a_trial() -> None:
    with pytest.raises(ReleaseRefused, match="no release is on trial"):
        LIVE_AND_STANDBY.taken_back("slow")


@pytest.mark.parametrize(
    "shift",
    [
        {"percent": 0, "before": None, "began": ""},
        {"percent": 101, "before": None, "began": ""},
        {"percent": 10, "before": None, "began": "", "unknown": 1},
        {"percent": 10, "before": None, "began": ""},  # of a trial that stands nowhere
        "10",
    ],
)
def test_a_damaged_shift_is_refused(shift: Any) -> None:
    with pytest.raises(CorruptObject, match=r"serving.json"):
        Serving.from_json(json.dumps(stored(shift=shift)).encode())


def test_a_change_says_from_which_release_to_which() -> None:
    store = MemoryStore()
    promote(store, "r1")
    promote(store, "r2")
    offered = swap_serving(store, CHANGE, lambda now: now.offered("r3", "s3", 10))
    taken = swap_serving(store, CHANGE, lambda now: now.taken_back("slow"))
    moves = [(one.changed.from_release, one.changed.to_release) for one in (offered, taken)]
    assert moves == [("r2", "r3"), ("r2", "r2")]
    assert [record["changed"]["from_release"] for record in audit_trail(store)] == [None, "r1", "r2", "r2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda now: now.promoted("gone", "s"),
        lambda now: now.offered("gone", "s", 10),
        lambda now: now.rolled_back("gone", "s", "worse"),
    ],
)
def test_no_change_names_a_release_that_retention_removes(make: Any) -> None:
    store = MemoryStore()
    promote(store, "r1")
    swap_serving(store, CHANGE, lambda now: replace(now, retired={"gone": "2026-01-01"}))
    with pytest.raises(ReleaseRefused, match="release gone is being removed by retention since 2026-01-01"):
        swap_serving(store, CHANGE, make)


def test_a_pointer_that_somebody_deleted_is_not_taken_for_one_that_never_was() -> None:
    store = MemoryStore()
    promote(store, "r1")
    store.delete(layout.SERVING)
    with pytest.raises(CorruptObject, match="slipway recover"):
        read_serving(store)
    with pytest.raises(CorruptObject):
        promote(store, "r2")
    assert [record["generation"] for record in audit_trail(store)] == [1]


def test_a_swap_that_landed_and_was_overtaken_before_it_could_look_is_done() -> None:
    """Its reply was lost; what it then reads is another's, who went on from it."""
    world = World(MemoryStore())
    promote(world.view(), "first")
    overtaken = Overtaken(lambda: promote(world.view(), "third") and None)

    after = promote(world.view(conditional={1: overtaken}), "second")

    assert (after.generation, names(after)) == (2, ("second", "first"))
    assert names(read_serving(world.inner)[0]) == ("third", "second")


def test_whether_an_overtaken_swap_landed_may_be_unknown() -> None:
    world = World(MemoryStore())
    promote(world.view(), "first")
    with pytest.raises(StateUnknown, match="may or may not be this change"):
        view = world.view(conditional={1: Overtaken(lambda: promote(world.view(), "third") and None)})
        view.read = _failing(view.read, layout.audit(2))  # type: ignore[method-assign]
        promote(view, "second")
    assert names(read_serving(world.inner)[0]) == ("third", "second")


def test_a_change_that_makes_no_sound_state_is_refused() -> None:
    store = MemoryStore()
    with pytest.raises(ReleaseRefused, match="makes no sound state, so nothing was changed"):
        swap_serving(store, CHANGE, lambda now: now)
    assert list(store.list()) == []


def test_the_first_release_of_all_may_come_while_somebody_looks() -> None:
    world = World(MemoryStore())
    looking = world.view({1: lambda: promote(world.view(), "first") and promote(world.view(), "second") and None})
    assert read_serving(looking)[0].generation == 2


def _failing(read: Any, prefix: str) -> Any:
    def fail(key: str) -> Any:
        if key.startswith(prefix):
            raise StoreUnreachable(f"{key}: 503")
        return read(key)

    return fail
