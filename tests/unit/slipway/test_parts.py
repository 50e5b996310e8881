from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import parts
from slipway.errors import CorruptObject, DiskFull, StoreUnreachable, disk_errors
from slipway.manifest import Draft, find
from slipway.parts import PartWriter, fetch_parts, read_batches
from slipway.storage.base import ObjectStore
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore

PLACE = "runs/r/raw/api"


def a_draft(store: ObjectStore) -> Draft:
    return Draft(store, PLACE, "extract", "f")


def numbers(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(values, pa.int64())})


def texts(*values: str) -> pa.RecordBatch:
    return pa.record_batch({"n": pa.array(values, pa.string())})


def written(store: ObjectStore, scratch: Path, *batches: pa.RecordBatch) -> tuple[list[str], list[object]]:
    """Names of the parts, and all their values read back in order."""
    draft = a_draft(store)
    with PartWriter(draft, "raw", scratch / "writing") as writer:
        for batch in batches:
            writer.write(batch)
    assert writer.rows == sum(batch.num_rows for batch in batches)
    sealed = draft.seal({"rows": writer.rows})
    paths = fetch_parts(store, sealed, "raw", scratch / "reading")
    values = [value for batch in read_batches(paths) for value in batch["n"].to_pylist()]
    return [o.name for o in sealed.objects], values


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path / "store") if request.param == "local" else MemoryStore()


def test_rows_come_back_in_order_and_scratch_is_left_empty(store: ObjectStore, tmp_path: Path) -> None:
    names, values = written(store, tmp_path, numbers(3, 1), numbers(2, 5), numbers(4))
    assert (names, values) == (["raw-00000.parquet"], [3, 1, 2, 5, 4])
    assert list((tmp_path / "writing").iterdir()) == []


def test_no_rows_make_no_part(store: ObjectStore, tmp_path: Path) -> None:
    assert written(store, tmp_path) == ([], [])
    assert written(MemoryStore(), tmp_path, numbers(), texts()) == ([], [])


def test_a_part_is_cut_when_it_has_enough_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCH_ROWS", 1)
    monkeypatch.setattr(parts, "ROWS_PER_PART", 3)
    names, values = written(MemoryStore(), tmp_path, numbers(1, 2), numbers(3, 4), numbers(5, 6, 7), numbers(8))
    assert names == ["raw-00000.parquet", "raw-00001.parquet", "raw-00002.parquet"]
    assert values == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_part_is_cut_when_it_has_enough_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCH_BYTES", 1)
    monkeypatch.setattr(parts, "BYTES_PER_PART", 16)
    names, values = written(MemoryStore(), tmp_path, numbers(1), numbers(2), numbers(3))
    assert (names, values) == (["raw-00000.parquet", "raw-00001.parquet"], [1, 2, 3])


def test_another_schema_starts_another_part(store: ObjectStore, tmp_path: Path) -> None:
    names, values = written(store, tmp_path, numbers(1), texts("two"), texts("three"), numbers(4))
    assert names == ["raw-00000.parquet", "raw-00001.parquet", "raw-00002.parquet"]
    assert values == [1, "two", "three", 4]


def test_rows_wait_for_each_other_and_make_one_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCH_ROWS", 4)
    store = MemoryStore()
    draft = a_draft(store)
    with PartWriter(draft, "raw", tmp_path) as writer:
        for number in range(9):
            writer.write(numbers(number))
    path = fetch_parts(store, draft.seal({}), "raw", tmp_path)[0]
    with pq.ParquetFile(path) as file:
        assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [4, 4, 1]


def test_an_error_adds_nothing_more_and_closes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCH_ROWS", 1)
    store = MemoryStore()
    draft = a_draft(store)

    def fail_half_way() -> None:
        with PartWriter(draft, "raw", tmp_path) as writer:
            writer.write(numbers(1))
            raise KeyError("the source broke")

    with pytest.raises(KeyError):
        fail_half_way()
    assert draft.objects == []
    assert store.calls == []
    assert pq.read_table(tmp_path / "raw-00000.parquet").num_rows == 1  # a whole file, so nothing is held open


def test_a_store_that_fails_leaves_nothing_sealed(tmp_path: Path) -> None:
    store = MemoryStore()
    store.fail_next("upload", StoreUnreachable("gone"))
    with pytest.raises(StoreUnreachable), PartWriter(a_draft(store), "raw", tmp_path) as writer:
        writer.write(numbers(1))
    assert find(store, PLACE) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_bad_input_full_disk_is_named_and_seals_nothing(tmp_path: Path) -> None:
    (tmp_path / "raw-00000.parquet").symlink_to("/dev/full")
    draft = a_draft(MemoryStore())
    with (
        pytest.raises(DiskFull, match=r"no space left on the device of .*; free some, then run again"),
        disk_errors(),
        PartWriter(draft, "raw", tmp_path) as writer,
    ):
        writer.write(numbers(*range(100_000)))
    assert draft.objects == []


def test_a_damaged_part_is_not_read(tmp_path: Path) -> None:
    store = MemoryStore()
    draft = a_draft(store)
    with PartWriter(draft, "raw", tmp_path) as writer:
        writer.write(numbers(1))
    sealed = draft.seal({"rows": 1})
    store.put(sealed.objects[0].key, b"x" * sealed.objects[0].size_bytes)
    with pytest.raises(CorruptObject):
        fetch_parts(store, sealed, "raw", tmp_path / "reading")


def test_two_tables_of_one_draft_stay_apart(tmp_path: Path) -> None:
    store = MemoryStore()
    draft = a_draft(store)
    with PartWriter(draft, "documents", tmp_path) as documents, PartWriter(draft, "rejected", tmp_path) as rejected:
        for turn in range(4):
            (documents if turn % 2 else rejected).write(numbers(turn))
    sealed = draft.seal({})
    for name, expected in (("documents", [1, 3]), ("rejected", [0, 2])):
        paths = fetch_parts(store, sealed, name, tmp_path / "reading")
        assert [value for batch in read_batches(paths, ["n"]) for value in batch["n"].to_pylist()] == expected


def test_batches_are_small_however_large_the_part(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"n": range(20_000)}), path)
    assert [batch.num_rows for batch in read_batches([path])] == [8_192, 8_192, 3_616]
