from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.config import LakeSource
from slipway.errors import CorruptObject, SourceInterrupted, SourceSchemaError, StoreUnreachable
from slipway.sources import lake
from slipway.sources.lake import LakeReading
from slipway.sources.plain import MAX_BYTES
from tests.support.memory_store import MemoryStore
from tests.support.sources import all_rows, described


def write(path: Path, rows: list[dict[str, Any]], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def lake_of(path: Path | str, columns: list[str], scratch: Path = Path("unused")) -> LakeReading:
    return LakeReading(LakeSource(**described(columns, kind="lake", path=str(path))), scratch)


def rows_of(path: Path | str, columns: list[str], scratch: Path = Path("unused")) -> list[dict[str, Any]]:
    return all_rows(lake_of(path, columns, scratch))


def test_a_single_file_is_a_lake_whatever_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "export", [{"id": 1}])

    assert rows_of(path, ["id"]) == [{"id": 1}]


def test_files_are_read_in_path_order_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", [{"id": 2}])
    write(tmp_path / "a/z.parquet", [{"id": 1}])
    write(tmp_path / "c/d/e.pq", [{"id": 3}])

    assert rows_of(tmp_path, ["id"]) == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize(
    "name", ["_SUCCESS", ".hidden.parquet", "_temporary/x.parquet", ".git/x.parquet", "readme.txt"]
)
def test_hidden_and_other_files_are_passed_over(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.parquet", [{"id": 1}])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"no Parquet at all")

    assert rows_of(tmp_path, ["id"]) == [{"id": 1}]


def test_a_folder_without_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")

    with pytest.raises(SourceSchemaError, match=r"holds no Parquet file \(1 other file"):
        rows_of(tmp_path, ["id"])


def test_folders_named_key_value_give_text_columns(tmp_path: Path) -> None:
    write(tmp_path / "year=2024/tag=a%2Fb/x.parquet", [{"id": 1}, {"id": 2}])
    write(tmp_path / f"year=2025/tag={lake.NO_VALUE}/x.parquet", [{"id": 3}])

    assert rows_of(tmp_path, ["tag", "id", "year"]) == [
        {"tag": "a/b", "id": 1, "year": "2024"},
        {"tag": "a/b", "id": 2, "year": "2024"},
        {"tag": None, "id": 3, "year": "2025"},
    ]


def test_partitions_alone_can_be_read(tmp_path: Path) -> None:
    write(tmp_path / "year=2024/x.parquet", [{"id": number} for number in range(9_000)])

    assert rows_of(tmp_path, ["year"]) == [{"year": "2024"}] * 9_000


def test_a_column_of_the_file_hides_the_partition(tmp_path: Path) -> None:
    write(tmp_path / "year=2024/x.parquet", [{"id": 1, "year": 1999}])

    assert rows_of(tmp_path, ["id", "year"]) == [{"id": 1, "year": 1999}]


def test_a_column_missing_in_a_later_file_names_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [{"id": 1, "text": "x"}])
    write(tmp_path / "key=1/b.parquet", [{"id": 1, "texte": "x"}])

    with pytest.raises(SourceSchemaError, match=r"key=1/b\.parquet: has no column 'text'.*'id', 'texte', 'key'"):
        rows_of(tmp_path, ["id", "text"])


def test_types_may_drift_between_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [{"id": 1}])
    write(tmp_path / "b.parquet", [{"id": "two"}])

    assert rows_of(tmp_path, ["id"]) == [{"id": 1}, {"id": "two"}]


def test_text_that_is_not_utf_8_arrives_as_bytes(tmp_path: Path) -> None:
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff"], pa.binary()).buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")

    assert rows_of(tmp_path, ["text"]) == [{"text": b"ok"}, {"text": b"\xff"}]


def test_structs_and_lists_are_read_as_json_by_their_own_name(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [{"a": {"b": 1, "c": [1, 2]}, "ab": "x"}])

    assert rows_of(tmp_path, ["a"]) == [{"a": '{"b": 1, "c": [1, 2]}'}]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "middle"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "a.parquet", [{"id": number, "text": f"text {number}" * 50} for number in range(5_000)])
    whole = path.read_bytes()
    spoilt = {"truncated": whole[:-100], "empty": b"", "text": b"id,text\n1,a\n" * 9, "middle": whole}[damage]
    if damage == "middle":
        spoilt = whole[:2_000] + bytes(len(whole) // 2) + whole[2_000 + len(whole) // 2 :]
    path.write_bytes(spoilt)

    with pytest.raises(CorruptObject, match=r"a\.parquet: cannot be read as Parquet"):
        rows_of(tmp_path, ["id", "text"])


def test_one_large_row_group_is_read_in_bounded_batches(tmp_path: Path) -> None:
    rows = [{"id": number, "text": f"{number} " * 200_000} for number in range(60)]
    write(tmp_path / "a.parquet", rows, row_group_size=60, compression="zstd")

    with lake_of(tmp_path, ["id", "text"], tmp_path) as reading:
        batches = list(reading.rows())

    assert max(batch.nbytes for batch in batches) <= MAX_BYTES
    assert [row for batch in batches for row in batch.to_pylist()] == rows


def test_a_large_row_group_is_never_in_memory_whole(tmp_path: Path) -> None:
    rows = [{"id": number, "text": random.Random(number).randbytes(1_000).hex()} for number in range(50_000)]
    size = write(tmp_path / "a.parquet", rows, row_group_size=50_000, use_dictionary=False).stat().st_size
    before, most = pa.total_allocated_bytes(), 0

    with lake_of(tmp_path, ["id", "text"], tmp_path) as reading:
        for _ in reading.rows():
            most = max(most, pa.total_allocated_bytes() - before)

    assert 0 < most < 4 * MAX_BYTES < size


class TestRemote:
    """What only a remote lake has: copies in scratch, and objects that vanish."""

    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
        store = MemoryStore()
        monkeypatch.setattr(lake, "open_store", lambda url: store.scoped(url.removeprefix("s3://bucket").strip("/")))
        return store

    def upload(self, store: MemoryStore, key: str, rows: list[dict[str, Any]], folder: Path) -> None:
        store.upload(write(folder / "upload", rows), key)

    def test_one_copy_at_a_time_is_kept_and_none_afterwards(self, store: MemoryStore, tmp_path: Path) -> None:
        for number in range(3):
            self.upload(store, f"lake/{number}.parquet", [{"id": number}], tmp_path)
        scratch = tmp_path / "scratch"

        with lake_of("s3://bucket/lake", ["id"], scratch) as reading:
            copies = [len(list(scratch.iterdir())) for _ in reading.rows()]

        assert copies == [1, 1, 1]
        assert list(scratch.iterdir()) == []

    def test_a_single_object_is_a_lake(self, store: MemoryStore, tmp_path: Path) -> None:
        self.upload(store, "lake/one.parquet", [{"id": 1}], tmp_path)
        self.upload(store, "lake/one.parquet.old", [{"id": 2}], tmp_path)

        assert rows_of("s3://bucket/lake/one.parquet", ["id"], tmp_path / "scratch") == [{"id": 1}]

    def test_a_folder_may_be_named_like_a_file(self, store: MemoryStore, tmp_path: Path) -> None:
        self.upload(store, "out.parquet/day=1/x.parquet", [{"id": 1}], tmp_path)

        assert rows_of("s3://bucket/out.parquet", ["id", "day"], tmp_path / "scratch") == [{"id": 1, "day": "1"}]

    def test_an_object_removed_meanwhile_is_worth_another_try(self, store: MemoryStore, tmp_path: Path) -> None:
        for number in range(2):
            self.upload(store, f"lake/{number}.parquet", [{"id": number}], tmp_path)
        with lake_of("s3://bucket/lake", ["id"], tmp_path / "scratch") as reading:
            batches = reading.rows()
            next(batches)
            store.delete("lake/1.parquet")

            with pytest.raises(SourceInterrupted, match=r"lake/1\.parquet.*1 rows read"):
                next(batches)

    def test_a_damaged_object_is_named_by_its_url(self, store: MemoryStore, tmp_path: Path) -> None:
        store.put("lake/bad.parquet", b"nothing")

        with pytest.raises(CorruptObject, match=r"^s3://bucket/lake/bad\.parquet"):
            rows_of("s3://bucket/lake", ["id"], tmp_path / "scratch")
        assert list((tmp_path / "scratch").iterdir()) == []

    def test_an_unreachable_store_is_passed_on(self, store: MemoryStore, tmp_path: Path) -> None:
        store.fail_next("list", StoreUnreachable("no answer"))

        with pytest.raises(StoreUnreachable):
            rows_of("s3://bucket/lake", ["id"], tmp_path / "scratch")
