"""Merging vector parts: what is wanted stays, whatever happens in between."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import vectors
from slipway.errors import CorruptObject, ObjectMissing, RunInProgress
from slipway.index import artifact, payload
from slipway.maintenance import compaction
from slipway.maintenance.compaction import Compacted, Compaction
from slipway.manifest import MANIFEST, Draft
from slipway.storage import LocalStore, ObjectStore
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.memory_store import MemoryStore
from tests.support.releases import write_arrow

ENCODER = "0123456789abcdef"
DIMENSION = 4
FORTNIGHT = timedelta(days=14)


def hash_of(number: int) -> str:
    return f"{number:032x}"


def vector_of(number: int) -> np.ndarray:
    drawn = np.random.default_rng(number).normal(size=DIMENSION)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def add_part(store: ObjectStore, scratch: Path, *numbers: int, **facts: object) -> str:
    made = np.stack([vector_of(number) for number in numbers])
    return vectors.write_part(store, ENCODER, [hash_of(n) for n in numbers], made, scratch, facts).place


def wanted_file(scratch: Path, *numbers: int) -> Path:
    path = scratch / "wanted.parquet"
    pq.write_table(pa.table({"chunk_hash": pa.array([hash_of(n) for n in numbers], pa.string())}), path)
    return path


def compact(
    store: ObjectStore,
    scratch: Path,
    wanted: Path | None = None,
    before: datetime | None = None,
    check: Callable[[], None] = lambda: None,
    dry_run: bool = False,
) -> Compacted:
    moment = before or datetime.now(UTC) - FORTNIGHT
    return Compaction(store, ENCODER, wanted, moment, scratch, check).run(dry_run=dry_run)


def stored(store: ObjectStore, scratch: Path) -> dict[int, np.ndarray]:
    """The vectors of all parts by number; fails when a hash has the vector of another."""
    found = {}
    for part in vectors.parts(store, ENCODER):
        hashes = pq.read_table(vectors.fetch_hashes(store, part, scratch))["chunk_hash"].to_pylist()
        block = vectors.open_vectors(store, part, scratch)
        assert len(hashes) == len(block)
        for one, vector in zip(hashes, block, strict=True):
            np.testing.assert_array_equal(vector, vector_of(int(one, 16)))
            found[int(one, 16)] = vector
    return found


def names(store: ObjectStore) -> list[str]:
    return [part.place.rpartition("/")[2] for part in vectors.parts(store, ENCODER)]


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "store")


def test_small_parts_become_one_and_no_object_of_theirs_stays(store: ObjectStore, tmp_path: Path) -> None:
    for first in (1, 4, 7):
        add_part(store, tmp_path, first, first + 1, first + 2)
    done = compact(store, tmp_path)
    assert (done.parts_before, done.parts_after, done.merged, done.unwanted, done.repeated) == (3, 1, 3, 0, 0)
    assert done.objects == 3 * 3 - 3
    assert stored(store, tmp_path).keys() == set(range(1, 10))
    [name] = names(store)
    assert name.startswith("compact-")
    assert len(list(store.list("vectors/"))) == 3


def test_a_merged_parts_name_is_a_function_of_its_hashes(store: ObjectStore, tmp_path: Path) -> None:
    add_part(store, tmp_path, 1, 2)
    add_part(store, tmp_path, 3)
    compact(store, tmp_path)
    [part] = vectors.parts(store, ENCODER)
    hashes = pq.read_table(vectors.fetch_hashes(store, part, tmp_path))["chunk_hash"].to_pylist()
    assert part.place.endswith(f"/compact-{vectors.part_id(hashes)}")
    assert part.fingerprint == part.place.rpartition("/")[2]


def test_compacting_again_changes_nothing(store: ObjectStore, tmp_path: Path) -> None:
    add_part(store, tmp_path, 1, 2)
    add_part(store, tmp_path, 3)
    compact(store, tmp_path)
    before = [info.key for info in store.list()]
    done = compact(store, tmp_path)
    assert (done.parts_before, done.parts_after, done.bytes_freed) == (1, 1, 0)
    assert [info.key for info in store.list()] == before


def test_one_part_or_none_is_left_alone(store: ObjectStore, tmp_path: Path) -> None:
    assert compact(store, tmp_path).parts_after == 0
    add_part(store, tmp_path, 1, 2)
    assert compact(store, tmp_path).parts_after == 1
    assert stored(store, tmp_path).keys() == {1, 2}
    assert not names(store)[0].startswith("compact-")


def test_merged_parts_stay_below_their_size(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "TARGET_BYTES", 5 * 4 * DIMENSION)
    monkeypatch.setattr(compaction, "SMALL_BYTES", 3 * 4 * DIMENSION)
    for first in range(0, 14, 2):
        add_part(store, tmp_path, first, first + 1)
    compact(store, tmp_path)
    assert sorted(part.counts["vectors"] for part in vectors.parts(store, ENCODER)) == [2, 4, 4, 4]
    assert stored(store, tmp_path).keys() == set(range(14))


def test_a_hash_that_stands_in_two_parts_stays_once(store: ObjectStore, tmp_path: Path) -> None:
    add_part(store, tmp_path, 1, 2, 3)
    add_part(store, tmp_path, 3, 4)
    add_part(store, tmp_path, 2)
    done = compact(store, tmp_path)
    assert (done.parts_after, done.repeated, done.unwanted) == (1, 2, 0)
    assert sum(part.counts["vectors"] for part in vectors.parts(store, ENCODER)) == 4
    assert stored(store, tmp_path).keys() == {1, 2, 3, 4}


def test_old_vectors_that_nobody_wants_go_and_young_ones_stay(tmp_path: Path) -> None:
    store = MemoryStore()
    store.age(add_part(store, tmp_path, 1, 2, 3), by=2 * FORTNIGHT)
    add_part(store, tmp_path, 4, 5)
    done = compact(store, tmp_path, wanted_file(tmp_path, 2))
    assert done.unwanted == 2
    assert stored(store, tmp_path).keys() == {2, 4, 5}


def test_a_merge_makes_no_vector_younger(tmp_path: Path) -> None:
    store = MemoryStore()
    store.age(add_part(store, tmp_path, 1, 2), by=FORTNIGHT - timedelta(days=1))
    add_part(store, tmp_path, 3, 4)
    wanted = wanted_file(tmp_path, 4)
    compact(store, tmp_path, wanted)
    assert stored(store, tmp_path).keys() == {1, 2, 3, 4}
    compact(store, tmp_path, wanted, before=datetime.now(UTC) - FORTNIGHT + timedelta(days=2))
    assert stored(store, tmp_path).keys() == {3, 4}
    compact(store, tmp_path, wanted, before=datetime.now(UTC) + timedelta(days=1))
    assert stored(store, tmp_path).keys() == {4}


def test_a_hash_is_as_young_as_the_youngest_of_its_vectors(tmp_path: Path) -> None:
    store = MemoryStore()
    store.age(add_part(store, tmp_path, 1, 2, 3), by=2 * FORTNIGHT)
    add_part(store, tmp_path, 3)
    compact(store, tmp_path, wanted_file(tmp_path))
    assert stored(store, tmp_path).keys() == {3}


def test_parts_of_which_nothing_is_wanted_are_removed_whole(tmp_path: Path) -> None:
    store = MemoryStore()
    add_part(store, tmp_path, 1, 2)
    add_part(store, tmp_path, 3)
    size = sum(info.size_bytes for info in store.list())
    store.age("", by=2 * FORTNIGHT)
    done = compact(store, tmp_path, wanted_file(tmp_path))
    assert (done.parts_before, done.parts_after, done.unwanted, done.bytes_freed) == (2, 0, 3, size)
    assert list(store.list()) == []


def test_a_large_part_is_rewritten_for_many_dropped_vectors_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SMALL_BYTES", 1)
    store = MemoryStore()
    add_part(store, tmp_path, *range(20))
    store.age("", by=2 * FORTNIGHT)
    before = names(store)
    assert compact(store, tmp_path, wanted_file(tmp_path, *range(1, 20))).unwanted == 0
    assert names(store) == before
    assert compact(store, tmp_path, wanted_file(tmp_path, *range(2, 20))).unwanted == 2
    assert stored(store, tmp_path).keys() == set(range(2, 20))


def test_a_dry_run_tells_the_same_and_changes_nothing(tmp_path: Path) -> None:
    store = MemoryStore()
    store.age(add_part(store, tmp_path, 1, 2), by=2 * FORTNIGHT)
    add_part(store, tmp_path, 2, 3)
    add_part(store, tmp_path, 4)
    before = {info.key: info.modified_at for info in store.list()}
    wanted = wanted_file(tmp_path, 3)
    told = compact(store, tmp_path, wanted, dry_run=True)
    assert {info.key: info.modified_at for info in store.list()} == before
    assert told == compact(store, tmp_path, wanted)
    assert stored(store, tmp_path).keys() == {2, 3, 4}


def test_what_embedding_took_is_added_up_for_the_newest_device(tmp_path: Path) -> None:
    store = MemoryStore()
    add_part(store, tmp_path, 1, tokens=100, seconds=2.0, device="cpu")
    add_part(store, tmp_path, 2, tokens=50, seconds=0.5, device="cpu")
    add_part(store, tmp_path, 3)
    compact(store, tmp_path)
    [part] = vectors.parts(store, ENCODER)
    assert {name: part.facts[name] for name in ("tokens", "seconds", "device")} == {
        "tokens": 150,
        "seconds": 2.5,
        "device": "cpu",
    }


def test_downloads_do_not_stay_in_scratch(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(3):
        add_part(store, tmp_path, number)
    compact(store, tmp_path / "scratch")
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_another_encoders_parts_are_not_touched(tmp_path: Path) -> None:
    store = MemoryStore()
    vectors.write_part(store, "f" * 16, [hash_of(1)], vector_of(1)[None], tmp_path)
    before = [info.key for info in store.list()]
    for number in (1, 2):
        add_part(store, tmp_path, number)
    compact(store, tmp_path)
    assert set(before) <= {info.key for info in store.list()}


@pytest.mark.parametrize("landed", [False, True], ids=["before", "after"])
def test_a_kill_at_any_change_loses_nothing_and_the_next_run_ends_the_work(tmp_path: Path, landed: bool) -> None:
    died = 0
    for die_at in range(100):
        store = CrashingStore()
        store.age(add_part(store, tmp_path, 1, 2, 3), by=2 * FORTNIGHT)
        add_part(store, tmp_path, 3, 4)
        store.age(add_part(store, tmp_path, 5), by=2 * FORTNIGHT)
        wanted = wanted_file(tmp_path, 2)
        store.die_at, store.landed = die_at, landed
        try:
            compact(store, tmp_path, wanted)
            break
        except Killed:
            died += 1
        assert {2, 3, 4} <= stored(store, tmp_path).keys()
        compact(store, tmp_path, wanted)
        assert stored(store, tmp_path).keys() == {2, 3, 4}
        assert sum(part.counts["vectors"] for part in vectors.parts(store, ENCODER)) == 3
    assert died >= 10


def test_nothing_is_removed_once_another_run_is_at_work(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in (1, 2):
        add_part(store, tmp_path, number)
    before = {info.key for info in store.list()}

    def lost() -> None:
        raise RunInProgress("another run took the lease")

    with pytest.raises(RunInProgress):
        compact(store, tmp_path, check=lost)
    assert {info.key for info in store.list() if info.key.endswith(MANIFEST)} <= before
    assert before <= {info.key for info in store.list()}


@pytest.mark.parametrize("spoilt", [vectors.HASHES, vectors.VECTORS])
def test_bad_input_a_damaged_part_stops_the_work_before_anything_is_removed(tmp_path: Path, spoilt: str) -> None:
    store = MemoryStore()
    add_part(store, tmp_path, 1)
    add_part(store, tmp_path, 2)
    part = vectors.parts(store, ENCODER)[1]
    key = part.one(spoilt).key
    body = store.read(key).body
    store.put(key, body[:-1] + bytes([body[-1] ^ 1]))
    before = {info.key for info in store.list()}
    with pytest.raises(CorruptObject, match="SHA-256"):
        compact(store, tmp_path)
    assert {info.key for info in store.list()} == before
    store.delete(key)
    with pytest.raises(ObjectMissing):
        compact(store, tmp_path)


def test_bad_input_a_part_with_fewer_hashes_than_vectors_is_corrupt(tmp_path: Path) -> None:
    store = MemoryStore()
    place = f"vectors/{ENCODER}/odd"
    draft = Draft(store, place, "vectors", "odd")
    pq.write_table(pa.table({"chunk_hash": [hash_of(1)]}), tmp_path / "hashes")
    np.save(tmp_path / "vectors.npy", np.stack([vector_of(1), vector_of(2)]))
    draft.add_file(vectors.HASHES, tmp_path / "hashes")
    draft.add_file(vectors.VECTORS, tmp_path / "vectors.npy")
    draft.seal({"vectors": 2}, {"dimension": DIMENSION})
    with pytest.raises(CorruptObject, match="1 hashes for 2 vectors"):
        compact(store, tmp_path)


def test_bad_input_a_merged_part_that_does_not_tell_its_ages_is_corrupt(tmp_path: Path) -> None:
    store = MemoryStore()
    add_part(store, tmp_path, 1, 2, written=[["2026-01-01T00:00:00+00:00", 1]])
    with pytest.raises(CorruptObject, match="does not say when each"):
        compact(store, tmp_path)


# Unique, since the same hashes in the same order are one part, whose age is the first one's.
PARTS = st.lists(
    st.tuples(st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True), st.booleans()),
    max_size=6,
    unique_by=lambda part: tuple(part[0]),
)


@settings(max_examples=40)
@given(parts=PARTS, wanted=st.sets(st.integers(0, 30)), target=st.integers(1, 20))
def test_whatever_the_parts_are_what_is_wanted_or_young_stays_and_the_rest_goes(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[list[int], bool]], wanted: set[int], target: int
) -> None:
    scratch, store = tmp_path_factory.mktemp("compaction"), MemoryStore()
    young: set[int] = set()
    present: set[int] = set()
    for numbers, old in parts:
        place = add_part(store, scratch, *numbers)
        if old:
            store.age(place, by=2 * FORTNIGHT)
        else:
            young |= set(numbers)
        present |= set(numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "TARGET_BYTES", target * 4 * DIMENSION)
        done = compact(store, scratch, wanted_file(scratch, *wanted))
    assert stored(store, scratch).keys() == present & (wanted | young)
    assert done.parts_after == len(vectors.parts(store, ENCODER))


def test_an_index_gathers_the_same_vectors_before_and_after_and_while_a_hash_stands_twice(tmp_path: Path) -> None:
    store = MemoryStore()
    add_part(store, tmp_path, 1, 2, 3)
    add_part(store, tmp_path, 3, 4)
    rows = tmp_path / artifact.ROWS
    empty: list[list[int]] = [[0]] * 4
    columns = {"chunk_hash": [hash_of(n) for n in (1, 2, 3, 4)], "documents": empty, "starts": empty, "ends": empty}
    write_arrow(rows, pa.table(columns, artifact.ROWS_SCHEMA))
    expected = np.stack([vector_of(n) for n in (1, 2, 3, 4)])
    for step in range(2):
        gathered = payload.gather(store, ENCODER, rows, tmp_path / f"{step}.npy", tmp_path)
        np.testing.assert_array_equal(gathered, expected)
        compact(store, tmp_path)
