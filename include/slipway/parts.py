"""Tables as numbered Parquet parts: written in bounded memory, sealed one by one, read back one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from slipway.manifest import Draft, Manifest, fetch
from slipway.storage.base import ObjectStore

ROWS_PER_PART = 200_000
BYTES_PER_PART = 256 << 20  # Arrow bytes in memory, before compression
BATCH_ROWS = 8_192
BATCH_BYTES = 16 << 20  # bytes; rows of very long texts come fewer at a time
READ_BUFFER = 1 << 20  # bytes


class PartWriter:
    """Writes batches into `<name>-00000.parquet`, `<name>-00001.parquet`, … and adds each to the draft when full.

    A batch whose schema differs from the open part's starts the next part, so a source with drifting column types
    can still be kept as it came. Use as a context manager; `rows` counts what was written.
    """

    def __init__(self, draft: Draft, name: str, scratch: Path) -> None:
        self.rows = 0
        self._draft, self._name, self._scratch = draft, name, scratch
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []  # of one schema, for the next row group
        self._path = scratch
        self._parts = self._part_rows = self._part_bytes = 0
        scratch.mkdir(parents=True, exist_ok=True)

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Append rows. Raises `DiskFull` through the draft when the store is full."""
        if batch.num_rows == 0:
            return
        if self._waiting and batch.schema != self._waiting[0].schema:
            self._write_group()
        if self._writer is not None and batch.schema != self._writer.schema:
            self._finish_part()
        self._waiting += batch.to_batches() if isinstance(batch, pa.Table) else [batch]
        self.rows += batch.num_rows
        rows, size = sum(b.num_rows for b in self._waiting), sum(b.nbytes for b in self._waiting)
        if rows >= min(BATCH_ROWS, ROWS_PER_PART - self._part_rows) or size >= min(
            BATCH_BYTES, BYTES_PER_PART - self._part_bytes
        ):
            self._write_group()
        if self._part_rows >= ROWS_PER_PART or self._part_bytes >= BYTES_PER_PART:
            self._finish_part()

    def _write_group(self) -> None:
        """Write what waits as one row group: small groups would make reading and compression worse."""
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        if self._writer is None:
            self._path = self._scratch / f"{self._name}-{self._parts:05d}.parquet"
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._part_rows += table.num_rows
        self._part_bytes += table.nbytes
        self._waiting = []

    def _finish_part(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        self._draft.add_file(self._path.name, self._path)
        self._path.unlink()
        self._parts += 1
        self._part_rows = self._part_bytes = 0

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._write_group()
            self._finish_part()
        elif self._writer is not None:
            self._writer.close()


def fetch_parts(store: ObjectStore, manifest: Manifest, name: str, scratch: Path) -> list[Path]:
    """Local, checked files of all parts called `name`, in order."""
    return [fetch(store, sealed, scratch) for sealed in manifest.named(f"{name}-")]


def read_batches(paths: list[Path], columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of the parts, in order, at most `BATCH_ROWS` and about `BATCH_BYTES` at a time."""
    for path in paths:
        # Without these two, Arrow would read the whole part ahead into memory.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BUFFER) as file:
            yield from file.iter_batches(batch_size=_rows_at_once(file.metadata), columns=columns)


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    fitting: int = BATCH_BYTES * metadata.num_rows // max(size, 1)
    return max(1, min(BATCH_ROWS, fitting))
