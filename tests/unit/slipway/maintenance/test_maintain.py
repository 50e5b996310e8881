"""What goes, what stays, and that nothing that is needed is ever lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import checkpoint, layout, maintenance
from slipway.acknowledgement import Acknowledgement, publish
from slipway.errors import CorruptObject, EncoderError, ObjectMissing, RunInProgress
from slipway.lease import Holder, held, read_lease
from slipway.maintenance import Maintained, Retained, maintain, reach
from slipway.maintenance.sweep import WHY
from slipway.manifest import MANIFEST, Draft, load
from slipway.parts import fetch_parts
from slipway.pointer import Change, read_serving, swap_serving
from slipway.storage import ObjectStore
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.encoders import model_folder
from tests.support.history import NIGHT_STEPS, History
from tests.support.memory_store import MemoryStore


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(MemoryStore(), tmp_path / "scratch")


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def places(store: ObjectStore, kind: str) -> list[str]:
    suffix = f"/{MANIFEST}"
    return [key.removesuffix(suffix) for key in keys(store, f"{kind}/") if key.endswith(suffix)]


def by_kind(done: Maintained) -> dict[str, int]:
    return {one.kind: one.objects for one in done.removed}


def assert_whole(store: ObjectStore, place: str) -> None:
    sizes = {info.key: info.size_bytes for info in store.list(f"{place}/")}
    for sealed in load(store, place).objects:
        assert sizes[sealed.key] == sealed.size_bytes


def assert_sound(history: History) -> None:
    """Everything that serves or can be built on is there, whole, with all that it needs."""
    store = history.store
    for slot in read_serving(store)[0].slots.values():
        assert layout.release(slot.release_id) in places(store, "releases")
    bases = [checkpoint.read(store, place) for place in checkpoint.all_places(store)]
    for release in places(store, "releases"):
        assert_whole(store, release)
        assert_whole(store, load(store, release).facts["snapshot"])
        assert needed_numbers(history, release) <= history.numbers()
    for base in bases:
        assert_whole(store, base.snapshot)
    for kind in ("candidates", "chunks"):
        for place in places(store, kind):
            assert_whole(store, place)
            assert_whole(store, load(store, place).facts["snapshot"])
    for run in places(store, "runs"):
        if run.endswith("/start") and (base := load(store, run).facts["base"]):
            assert_whole(store, base)


def needed_numbers(history: History, release: str) -> set[int]:
    content = load(history.store, load(history.store, release).facts["snapshot"]).facts["content"]
    files = fetch_parts(history.store, load(history.store, layout.chunks(content)), "chunks", history.scratch)
    return {int(one, 16) for file in files for one in pq.read_table(file)["chunk_hash"].to_pylist()}


def test_nothing_goes_from_an_empty_store(history: History) -> None:
    assert maintain(history.run()) == Maintained(False, Retained(False, 5, ()), (), ())


def test_what_a_service_made_of_the_probes_at_first_stays(history: History) -> None:
    history.night([1, 2])
    spaces = {key.split("/")[1] for key in keys(history.store, "vectors/")} | {"of nobody"}
    probes = [layout.vector_probe(space, "k") for space in spaces]
    for key in probes:
        history.store.put(key, b"probes")
    history.pass_days(400)
    maintain(history.run())
    assert all(history.store.exists(key) for key in probes)


def test_young_nights_stay_whole_whatever_became_of_them(history: History) -> None:
    for number, step in enumerate(NIGHT_STEPS):
        history.night(range(number, number + 5), until=step)
    before, numbers = set(keys(history.store)), history.numbers()
    done = maintain(history.run())
    assert by_kind(done) == {}
    assert {key for key in before if not key.startswith("vectors/")} <= set(keys(history.store))
    assert history.numbers() == numbers == set(range(6, 13))


def test_of_old_nights_only_what_serves_and_what_can_be_built_on_stays(history: History) -> None:
    first = history.night([1, 2])
    second = history.night([2, 3], until="candidate")  # its gate failed
    third = history.night([3, 4], until="candidate")
    fourth = history.night([4, 5], until="candidate")
    history.pass_days(15)
    done = maintain(history.run())
    store = history.store
    assert places(store, "releases") == [first["release"].place]
    assert places(store, "checkpoints") == [third["checkpoint"].place, fourth["checkpoint"].place]
    for kind, step in (("snapshots", "snapshot"), ("chunks", "chunks"), ("candidates", "candidate")):
        assert set(places(store, kind)) == {night[step].place for night in (first, third, fourth)}
    assert second["candidate"].fingerprint not in " ".join(keys(store, "evaluations/"))
    assert len(places(store, "evaluations")) == 3
    assert (places(store, "documents"), places(store, "runs")) == ([], [])
    assert keys(store, "runs/") == [layout.result(f"night-{number:03d}") for number in range(1, 5)]
    assert history.numbers() == {1, 2, 3, 4, 5}
    assert set(by_kind(done)) == {
        *("runs", "evaluations", "differences", "candidates", "chunks", "checkpoints", "snapshots", "documents")
    }
    assert all(one.why and one.bytes > 0 for one in done.removed)
    assert_sound(history)


def comparison_of(store: ObjectStore, number: int, candidate: str) -> None:
    draft = Draft(store, layout.comparison(f"{number:016d}"), "compare", f"{number:016d}")
    draft.add_json("queries.json", [])
    draft.seal({"queries": 0}, {"candidate": candidate})


def test_comparisons_stay_as_long_as_what_they_compared(history: History) -> None:
    nights = [history.night([1, 2]), history.night([2, 3], until="candidate"), history.night([3, 4], until="candidate")]
    nights.append(history.night([4, 5], until="candidate"))
    for number, night in enumerate(nights):
        comparison_of(history.store, number, night["candidate"].place)
    history.pass_days(15)
    maintain(history.run())
    assert places(history.store, "comparisons") == [layout.comparison(f"{number:016d}") for number in (0, 2, 3)]


def seal(store: ObjectStore, place: str) -> None:
    draft = Draft(store, place, "test", "0" * 16)
    draft.add_json("made.json", {"place": place})
    draft.seal({})


def test_shards_of_an_index_stay_whole_while_they_may_be_put_together_and_then_go(history: History) -> None:
    history.night([1, 2])
    begun, shards = layout.build("0" * 16), [layout.build_shard("0" * 16, number) for number in range(2)]
    for place in (begun, *shards):
        seal(history.store, place)
    history.pass_days(3)
    maintain(history.run())
    for place in (begun, *shards):
        assert_whole(history.store, place)
    history.pass_days(12)
    done = maintain(history.run())
    assert by_kind(done)["builds"] == 2 * len((begun, *shards))
    assert keys(history.store, layout.BUILDS) == []


def test_of_drift_the_newest_records_stay_however_old_they_are(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        history.night([number])
    history.pass_days(500)
    assert "drift" not in by_kind(maintain(history.run()))
    before = places(history.store, "drift")
    monkeypatch.setattr(reach, "DRIFT_RECORDS", 3)
    assert by_kind(maintain(history.run(), now=datetime.now(UTC)))["drift"] == 2  # its manifest, and one object
    assert places(history.store, "drift") == before[1:]


def report_on(store: ObjectStore, run_id: str, release_id: str) -> None:
    draft = Draft(store, layout.report(run_id), "report", run_id)
    draft.add_json("report.json", {"run_id": run_id})
    draft.seal({}, {"run_id": run_id, "release_id": release_id, "candidate": "candidates/gone"})


def test_reports_stay_for_their_time_and_with_their_release(history: History) -> None:
    night = history.night([1])
    report_on(history.store, "night-001", night["release"].fingerprint)
    report_on(history.store, "night-x", "20260101T000000-gone")
    maintain(history.run())
    assert len(places(history.store, "reports")) == 2
    history.pass_days(15)
    done = maintain(history.run())
    assert places(history.store, "reports") == ["reports/night-001"]
    assert "reports" in by_kind(done)


def test_vectors_that_nothing_kept_needs_go_after_their_time(history: History) -> None:
    history.night([1, 2])
    history.night([2, 3], until="candidate")
    history.night([4], until="candidate")
    history.night([5], until="candidate")
    now = datetime.now(UTC)
    assert maintain(history.run(), now=now + timedelta(days=9)).compacted[0].unwanted == 0
    done = maintain(history.run(), now=now + timedelta(days=15))
    assert history.numbers() == {1, 2, 4, 5}
    assert (done.compacted[0].unwanted, done.bytes_freed > 0) == (1, True)


def test_a_run_that_wrote_of_late_keeps_what_it_began_with(history: History) -> None:
    history.night([1])
    base = history.night([2])
    history.night([3], until="start")
    for number in range(4, 8):
        history.night([number])
    history.pass_days(20)
    history.store.put(layout.result("night-003"), b"{}")  # its report was cleared today
    maintain(history.run())
    store = history.store
    assert places(store, "runs") == [layout.start("night-003")]
    assert base["checkpoint"].place in places(store, "checkpoints")
    assert base["snapshot"].place in places(store, "snapshots")
    assert_sound(history)


def test_the_same_documents_by_another_snapshot_keep_their_chunks(history: History) -> None:
    """Every second snapshot has another name for the same content, and chunks name the one they were cut from."""
    first = history.night([1, 2], until="chunks")
    second = history.night([1, 2], until="chunks")
    assert first["snapshot"].place != second["snapshot"].place
    assert first["chunks"].place == second["chunks"].place
    history.pass_days(30)
    maintain(history.run(checkpoints=1))
    assert places(history.store, "chunks") == [first["chunks"].place]
    assert set(places(history.store, "snapshots")) == {first["snapshot"].place, second["snapshot"].place}
    assert_sound(history)


def roll_back_to_standby(history: History) -> None:
    standby = read_serving(history.store)[0].standby_release
    assert standby is not None
    swap_serving(
        history.store,
        Change("rollback", "tester", "worse"),
        lambda now: now.rolled_back(standby.release_id, standby.manifest_sha256, "worse"),
    )


def test_a_withdrawn_releases_candidate_stays(history: History) -> None:
    history.night([1])
    bad = history.night([2])
    store = history.store
    roll_back_to_standby(history)
    for number in range(3, 6):
        history.night([number])
    history.pass_days(30)
    maintain(history.run())
    assert bad["candidate"].place in places(store, "candidates")
    assert bad["release"].place in places(store, "releases")


def test_old_releases_go_first_and_then_what_only_they_needed(history: History) -> None:
    nights = [history.night([number]) for number in range(1, 8)]
    history.pass_days(30)
    told = maintain(history.run(), dry_run=True)
    done = maintain(history.run())
    assert [one.release_id for one in done.retained.removed] == [
        night["release"].fingerprint for night in (nights[1], nights[0])
    ]
    assert (told.retained.releases, told.removed, told.compacted) == (
        done.retained.releases,
        done.removed,
        done.compacted,
    )
    assert told.bytes_freed == done.bytes_freed > sum(one.bytes for one in done.retained.removed) > 0
    assert len(places(history.store, "releases")) == 5
    assert nights[1]["candidate"].place not in places(history.store, "candidates")
    assert history.numbers() == set(range(3, 8))
    assert_sound(history)


def test_a_withdrawn_releases_candidate_goes_with_its_release(history: History) -> None:
    history.night([1])
    bad = history.night([2])
    roll_back_to_standby(history)
    for number in range(3, 9):
        history.night([number])
    history.pass_days(30)
    maintain(history.run())
    assert bad["release"].place not in places(history.store, "releases")
    assert bad["candidate"].place not in places(history.store, "candidates")
    assert bad["release"].fingerprint in read_serving(history.store)[0].withdrawn
    assert_sound(history)


def test_a_releases_vectors_stay_although_its_chunks_are_gone(history: History) -> None:
    first = history.night([1, 2])
    for number in (3, 4, 5):
        history.night([number])
    history.pass_days(30)
    for key in keys(history.store, f"{first['chunks'].place}/"):
        history.store.delete(key)
    maintain(history.run())
    assert history.numbers() == {1, 2, 3, 4, 5}


def test_an_encoder_that_nothing_uses_loses_its_vectors_after_their_time(history: History, tmp_path: Path) -> None:
    history.night([1])
    model_folder(tmp_path / "model")
    other = History(history.store, history.scratch, encoder="f" * 16)
    other.night([1, 2], until="vectors")
    run = history.run()
    collection = run.collection.model_copy(
        update={"encoder": run.collection.encoder.model_copy(update={"folder": tmp_path / "model"})}
    )
    run = replace(run, collection=collection)
    maintain(run)
    assert other.numbers() == {1, 2}
    history.pass_days(30)
    maintain(run)
    assert (other.numbers(), history.numbers()) == (set(), {1})


def test_an_encoder_that_may_be_the_collections_own_is_not_removed_unasked(history: History) -> None:
    history.night([1], until="vectors")
    history.pass_days(30)
    before = keys(history.store)
    with pytest.raises(EncoderError):  # the collection's model is not on this machine
        maintain(history.run())
    assert keys(history.store) == before


def test_orphans_go_after_a_day_and_not_before(history: History) -> None:
    made = history.night([1])
    store = history.store
    store.put(f"{made['snapshot'].place}/ffff/documents-00000.parquet", b"killed")
    store.put("chunks/abcd/ffff/chunks-00000.parquet", b"killed too")
    assert by_kind(maintain(history.run())) == {}
    history.pass_days(1)
    done = maintain(history.run())
    assert by_kind(done) == {"orphans": 2}
    assert done.removed[0].bytes == len(b"killed") + len(b"killed too")
    assert "ffff" not in " ".join(keys(store))
    assert_sound(history)


def test_what_killed_trials_of_the_store_left_goes_after_a_day(history: History) -> None:
    trials = [layout.clock("abcd"), f"{layout.doctor('abcd')}/race/pointer.json"]
    for key in trials:
        history.store.put(key, b"")
    assert by_kind(maintain(history.run())) == {}
    history.pass_days(1.1)
    assert by_kind(maintain(history.run())) == {"orphans": 2}
    assert not any(history.store.exists(key) for key in trials)


def test_a_releases_signature_is_no_orphan_even_beside_one(history: History) -> None:
    made = history.night([1])["release"]
    signature = f"{made.place}/signature.json"
    history.store.put(signature, b"{}")
    history.store.put(f"{made.place}/ffff/index.faiss", b"of an attempt that was killed")
    history.pass_days(2)
    assert by_kind(maintain(history.run())) == {"orphans": 1}
    assert history.store.exists(signature)


def test_what_killed_writes_left_goes_after_a_day(history: History) -> None:
    now = datetime.now(UTC)
    history.store.abandon("a/b", b"12345", now - timedelta(hours=25))
    history.store.abandon("a/c", b"1", now - timedelta(hours=23))
    [one] = maintain(history.run()).removed
    assert (one.kind, one.objects, one.bytes) == ("unfinished writes", 1, 5)
    assert len(list(history.store.abandoned(now))) == 1


def test_acknowledgements_of_readers_that_are_long_dead_go(history: History) -> None:
    store = history.store
    store.set_clock(lambda: datetime(2031, 5, 1, tzinfo=UTC))  # of which this machine's knows nothing
    silent = {"dead": (8, 10.0), "cut-off": (6, 10.0), "slow": (8, 86_400.0), "alive": (0, 10.0)}
    for name, (days, every) in silent.items():
        publish(store, Acknowledgement(name, "host", 1, "t", every, 1, None))
        store.age(layout.reader(name), timedelta(days=days))
    store.put(layout.reader("unreadable"), b"{")
    store.age(layout.reader("unreadable"), timedelta(days=8))
    store.put(layout.reader("other"), store.read(layout.reader("alive")).body.replace(b'"alive"', b'"cut-off"'))
    store.age(layout.reader("other"), timedelta(days=30))  # says another's name, and takes nobody's with it
    done = maintain(history.run())
    assert by_kind(done) == {"silent readers": 1}
    assert keys(store, layout.READERS) == [
        layout.reader(name) for name in ("alive", "cut-off", "other", "slow", "unreadable")
    ]
    assert keys(store, layout.CLOCK) == []


def test_what_is_no_place_is_never_touched(history: History) -> None:
    history.night([1])
    strange = ["audit/00000099.json", "notes.txt", "snapshots/readme", "runs/night-001/notes", "elsewhere/a/b/c"]
    for key in strange:
        history.store.put(key, b"x")
    history.pass_days(100)
    maintain(history.run())
    assert set(strange) | {layout.SERVING, "audit/00000001.json"} <= set(keys(history.store))


def test_a_dry_run_says_what_would_go_and_removes_nothing(history: History) -> None:
    for number in range(5):
        history.night([number], until="candidate" if number else "release")
    history.store.put("chunks/abcd/ffff/chunks-00000.parquet", b"killed")
    history.pass_days(30)
    before = {info.key: info.modified_at for info in history.store.list()}
    told = maintain(history.run(), dry_run=True)
    assert {info.key: info.modified_at for info in history.store.list()} == before
    done = maintain(history.run())
    assert (told.removed, told.compacted) == (done.removed, done.compacted)
    assert by_kind(done)["orphans"] == 1


def test_again_there_is_nothing_left_to_do(history: History) -> None:
    for number in range(5):
        history.night([number], until="candidate" if number else "release")
    history.pass_days(30)
    maintain(history.run())
    before = keys(history.store)
    again = maintain(history.run())
    assert (again.removed, again.bytes_freed) == ((), 0)
    assert keys(history.store) == before


def lose_snapshot(history: History, night: dict) -> None:
    history.store.delete(f"{night['snapshot'].place}/{MANIFEST}")


def lose_release(history: History, night: dict) -> None:
    history.store.delete(f"{night['release'].place}/{MANIFEST}")


def lose_base(history: History, night: dict) -> None:
    history.store.delete(f"{load(history.store, layout.start('night-003')).facts['base']}/{MANIFEST}")


def forget_snapshot(history: History, night: dict) -> None:
    place = night["checkpoint"].place
    history.store.put(f"{place}/{MANIFEST}", replace(load(history.store, place), facts={"sources": {}}).to_json())


def spoil_chunks(history: History, night: dict) -> None:
    history.store.put(night["chunks"].objects[0].key, b"spoilt")


def spoil_manifest(history: History, night: dict) -> None:
    history.store.put(f"{night['candidate'].place}/{MANIFEST}", b"{")


def spoil_serving(history: History, night: dict) -> None:
    history.store.put(layout.SERVING, b"{}")


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lose_snapshot, ObjectMissing, r"needs snapshots/\w+, which is not in the store. Nothing was removed"),
        (lose_release, ObjectMissing, r"serving\.json has release \w+ in slot \w+, and it is not in the store"),
        (lose_base, ObjectMissing, "runs/night-003/start needs checkpoints/"),
        (forget_snapshot, CorruptObject, "does not say what its snapshot is"),
        (spoil_chunks, CorruptObject, "chunks-00000"),
        (spoil_manifest, CorruptObject, "is not a manifest"),
        (spoil_serving, CorruptObject, r"serving\.json"),
    ],
)
def test_bad_input_nothing_is_removed_when_something_that_decides_is_missing_or_unreadable(
    history: History, spoil: Callable[[History, dict], None], error: type[Exception], said: str
) -> None:
    history.night([1])
    history.night([2])
    night = history.night([3])
    history.pass_days(30)
    history.store.put(layout.result("night-003"), b"{}")
    spoil(history, night)
    before = keys(history.store)
    with pytest.raises(error, match=said):
        maintain(history.run())
    assert keys(history.store) == before


def test_it_stops_before_the_next_change_once_another_run_is_at_work(history: History) -> None:
    for number in range(4):
        history.night([number])
    history.pass_days(30)
    before = len(keys(history.store))
    left = [3]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RunInProgress("another run took the lease")

    with pytest.raises(RunInProgress):
        maintain(history.run(), check=check)
    assert 0 < before - len(keys(history.store)) <= 3 * 3
    assert_sound(history)


def test_it_waits_for_a_run_at_work_and_gives_the_lease_back(history: History) -> None:
    holder = Holder("maintenance-1", "tester", "maintenance")
    with held(history.store, Holder("night-9", "tester", "nightly run")):
        pass
    with pytest.raises(RunInProgress, match="night-9"):
        maintenance.maintain_alone(history.run(), holder)
    maintenance.maintain_alone(history.run(), holder, take_over=True)
    found, _ = read_lease(history.store)
    assert found is not None
    assert (found.state, found.holder) == ("free", holder)
    history.store.put(f"candidates/x/{MANIFEST}", b"{")
    with pytest.raises(CorruptObject):
        maintenance.maintain_alone(history.run(), holder)
    found, _ = read_lease(history.store)
    assert found is not None
    assert found.state == "free"


@pytest.fixture
def aged(tmp_path: Path) -> CrashingStore:
    """A small store of which something of every kind goes."""
    store = CrashingStore()
    history = History(store, tmp_path / "aged")
    history.night([1, 2])
    history.night([2, 3], until="candidate")
    history.night([4], until="candidate")
    store.put("chunks/abcd/ffff/chunks-00000.parquet", b"killed")
    report_on(store, "night-002", "20260101T000000-refused")
    comparison_of(store, 2, "candidates/gone")
    for place in (layout.build("abcd"), layout.build_shard("abcd", 0), layout.choice("abcd")):
        seal(store, place)
    history.pass_days(30)
    history.night([4, 5])
    return store


def test_a_kill_before_any_change_loses_nothing_and_the_next_maintenance_ends_alike(
    aged: CrashingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill after a change is one before the next."""
    monkeypatch.setattr(reach, "DRIFT_RECORDS", 1)
    expected = History(aged.clone(), tmp_path / "expected")
    before = len(keys(expected.store))
    done = maintain(expected.run(checkpoints=1))
    assert set(by_kind(done)) == {*WHY, "orphans"}
    names = [without_attempt(key) for key in keys(expected.store)]
    finished, die_at = False, 0
    while not finished:
        store = aged.clone()
        history = History(store, tmp_path / str(die_at))
        store.die_at = die_at
        try:
            maintain(history.run(checkpoints=1))
            finished = True
        except Killed:
            assert_sound(history)
            history.pass_days(1)  # what a kill leaves is told from what is being written by its age
            maintain(history.run(checkpoints=1))
        assert_sound(history)
        assert [without_attempt(key) for key in keys(store)] == names
        die_at += 1
    assert die_at > before - len(names)


def without_attempt(key: str) -> str:
    return "/".join(name for name in key.split("/") if len(name) != 8)


NIGHTS = st.lists(
    st.tuples(
        st.sets(st.integers(0, 6), min_size=1),
        st.sampled_from(["release", "release", "candidate", "checkpoint", "vectors", "raw"]),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=15)
@given(nights=NIGHTS, checkpoints=st.integers(1, 3), keep_days=st.integers(1, 20))
def test_after_any_nights_what_serves_and_what_can_be_built_on_is_whole(
    tmp_path_factory: pytest.TempPathFactory, nights: list[tuple[set[int], str, int]], checkpoints: int, keep_days: int
) -> None:
    history = History(MemoryStore(), tmp_path_factory.mktemp("history"))
    history.night([0])
    for documents, until, days in nights:
        history.night(documents, until=until)
        history.pass_days(days)
        before = checkpoint.newest(history.store)
        maintain(history.run(checkpoints=checkpoints, keep_days=keep_days))
        assert_sound(history)
        assert checkpoint.newest(history.store) == before
    assert maintain(history.run(checkpoints=checkpoints, keep_days=keep_days)).removed == ()


def test_choices_stay_as_long_as_what_they_led_to(history: History) -> None:
    chosen = [layout.choice(f"{number:016d}") for number in range(2)]
    for place in chosen:
        Draft(history.store, place, "choose", place[-16:]).seal({}, {"contract": {}})
    night = history.night([1, 2])
    facts = {**night["candidate"].facts, "choice": chosen[0]}
    Draft(history.store, layout.candidate("of-a-contract"), "index", "of-a-contract").seal({}, facts)
    history.pass_days(15)
    maintain(history.run())
    assert places(history.store, "choices") == [chosen[0]]
