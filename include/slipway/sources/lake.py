"""Rows of Parquet files: one file, a folder of them, or everything under an s3:// prefix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from slipway.config import LakeSource
from slipway.errors import CorruptObject, ObjectMissing, SourceDenied, SourceInterrupted, SourceSchemaError
from slipway.sources.base import Position
from slipway.sources.plain import MAX_BYTES, MAX_ROWS, plain_batches, with_ids
from slipway.storage import ObjectStore, open_store

SUFFIXES = (".parquet", ".parq", ".pq")
READ_BUFFER_BYTES = 1 << 20  # of each column, instead of the whole column chunk
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One Parquet file: its `name` for people, its path below the source's, and where its bytes are."""

    name: str
    relative: PurePosixPath
    path: Path | None = None
    store: ObjectStore | None = None
    key: str = ""

    @property
    def partitions(self) -> dict[str, str | None]:
        """The columns that the folders spell out: {"year": "2024"} for year=2024/part-0.parquet."""
        pairs = [segment.partition("=") for segment in self.relative.parts[:-1] if "=" in segment]
        return {unquote(key): None if value == NO_VALUE else unquote(value) for key, _, value in pairs}


class LakeReading:
    """A `Reading` of the chosen columns of every Parquet file of a path, files in path order; always full.

    Names that begin with "." or "_" and files of another kind are passed over; symbolic links to folders are not
    followed. Folders named key=value give text columns, unless the files have a column of that name. Files of a remote
    lake are kept below `scratch` one at a time. Raises what `Reading` says, and `CorruptObject` for a file that cannot
    be read as Parquet.
    """

    full = True
    reason = "plain Parquet files do not tell what changed in them"
    position: Position | None = None

    def __init__(self, source: LakeSource, scratch: Path) -> None:
        self._path, self._id, self._columns = source.path, source.id, source.columns
        self._scratch = scratch
        self._files: list[LakeFile] = []

    def __enter__(self) -> LakeReading:
        is_remote = self._path.startswith("s3://")
        self._files = _remote_files(self._path) if is_remote else _local_files(Path(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def rows(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`."""
        rows = 0
        for file in self._files:
            for batch in self._read(file, rows):
                rows += batch.num_rows
                yield batch

    def deleted_ids(self) -> Iterator[pa.RecordBatch]:
        """See `Reading`: none, as all rows are read."""
        return iter(())

    def all_ids(self) -> Iterator[pa.RecordBatch] | None:
        """See `Reading`: None, as all rows are read."""
        return None

    def rows_of(self, ids: Sequence[object]) -> Iterator[pa.RecordBatch]:
        """See `Reading`: all files are read for them."""
        return with_ids(self.rows(), self._id, ids)

    def _read(self, file: LakeFile, rows: int) -> Iterator[pa.RecordBatch]:
        if file.store is None:
            assert file.path is not None
            yield from _rows_of(file.path, file, self._columns, rows)
            return
        copy = self._scratch / "lake-object.parquet"
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            _download(file.store, file, copy, rows)
            yield from _rows_of(copy, file, self._columns, rows)
        finally:
            copy.unlink(missing_ok=True)


def _local_files(root: Path) -> list[LakeFile]:
    if root.is_file():
        return [LakeFile(str(root), PurePosixPath(root.name), root)]
    if not root.is_dir():
        raise SourceSchemaError(
            f"{root}: there is no such Parquet file or folder; correct the field path in the collection file, "
            "or put the files there"
        )
    found = sorted(path for path in root.rglob("*") if path.is_file())
    files = [LakeFile(str(path), PurePosixPath(path.relative_to(root)), path) for path in found]
    return _parquet_only(files, str(root), len(found))


def _remote_files(url: str) -> list[LakeFile]:
    store = open_store(url)
    keys = [info.key for info in store.list()]
    if not keys and url.endswith(SUFFIXES):  # one object rather than a prefix
        url, _, name = url.rpartition("/")
        store = open_store(url)
        keys = [info.key for info in store.list(name) if info.key == name]
    files = [LakeFile(f"{url.rstrip('/')}/{key}", PurePosixPath(key), store=store, key=key) for key in sorted(keys)]
    return _parquet_only(files, url, len(keys))


def _parquet_only(files: list[LakeFile], place: str, found: int) -> list[LakeFile]:
    chosen = [file for file in files if file.name.endswith(SUFFIXES) and not any(map(_is_hidden, file.relative.parts))]
    if not chosen:
        raise SourceSchemaError(
            f"{place}: holds no Parquet file ({found} other files; names beginning with . or _ are passed over); "
            "correct the field path in the collection file, or put the files there"
        )
    return chosen


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _download(store: ObjectStore, file: LakeFile, copy: Path, rows: int) -> None:
    try:
        store.download(file.key, copy)
    except ObjectMissing as error:
        raise SourceInterrupted(
            f"{file.name}: was removed while the lake was being read ({rows:,} rows read, none used). Try again"
        ) from error


def _rows_of(path: Path, file: LakeFile, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Plain batches of one file. `path` is where its bytes are; `file.name` is what people are told."""
    try:
        # pre_buffer would hold the column chunks of a whole row group, which may be the whole file
        with pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES, pre_buffer=False) as parquet:
            inside = _columns_inside(parquet, file, columns)
            for group in range(parquet.num_row_groups):
                yield from _group_rows(parquet, group, file, columns, inside)
    except PermissionError as error:
        raise SourceDenied(f"{file.name}: may not be read: {error.strerror}. Grant this user the permission") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise SourceInterrupted(
                f"{file.name}: reading failed ({rows:,} rows of files before it): {error}"
            ) from error
        reason = " ".join(str(error).split())[:300]
        raise CorruptObject(
            f"{file.name}: cannot be read as Parquet: {reason}. Write the file again, or remove it"
        ) from error


def _columns_inside(parquet: pq.ParquetFile, file: LakeFile, columns: list[str]) -> list[str]:
    """Those of the columns that the file itself holds, the rest being partitions. Raises `SourceSchemaError`."""
    held = parquet.schema_arrow.names
    missing = [name for name in columns if name not in held and name not in file.partitions]
    if missing:
        there = ", ".join(map(repr, [*held, *file.partitions])) or "(none)"
        raise SourceSchemaError(
            f"{file.name}: has no column {', '.join(map(repr, missing))}; the columns are {there}. "
            "Correct the source's fields in the collection file"
        )
    return [name for name in columns if name in held]


def _group_rows(
    parquet: pq.ParquetFile, group: int, file: LakeFile, columns: list[str], inside: list[str]
) -> Iterator[pa.RecordBatch]:
    size = _batch_rows(parquet.metadata.row_group(group), inside)
    if not inside:  # every wanted column is a partition; only the number of rows is in the file
        yield from _with_partitions(None, parquet.metadata.row_group(group).num_rows, file, columns)
        return
    for batch in parquet.iter_batches(batch_size=size, row_groups=[group], columns=inside, use_threads=False):
        for piece in plain_batches(batch):
            yield from _with_partitions(piece, piece.num_rows, file, columns)


def _batch_rows(group: pq.RowGroupMetaData, inside: list[str]) -> int:
    """How many rows of a row group make about `MAX_BYTES`, by the mean row."""
    chunks = [group.column(i) for i in range(group.num_columns)]
    size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in inside)
    return max(1, min(MAX_ROWS, MAX_BYTES * int(group.num_rows) // max(int(size), 1)))


def _with_partitions(
    batch: pa.RecordBatch | None, rows: int, file: LakeFile, columns: list[str]
) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, MAX_ROWS):
        count = min(MAX_ROWS, rows - start)
        piece = None if batch is None else batch.slice(start, count)
        held = set() if piece is None else set(piece.schema.names)
        arrays = [
            piece.column(name) if piece is not None and name in held else pa.repeat(_text(file.partitions[name]), count)
            for name in columns
        ]
        yield pa.RecordBatch.from_arrays(arrays, names=columns)


def _text(value: str | None) -> pa.StringScalar:
    return pa.scalar(value, pa.string())
