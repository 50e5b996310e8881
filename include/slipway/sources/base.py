"""The source port: rows of a system of record, streamed as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class RowSource(Protocol):
    """Reads every row of one source once, in bounded memory.

    Batches may differ in schema from one to the next (a dynamically typed column); text that is not valid UTF-8
    arrives as binary, so that the clean stage can set that one row aside. Raises `SourceSchemaError` before the
    first batch when a table, column or path is not there, `ConnectionMissing`, and `SourceInterrupted` when
    reading fails after it began.
    """

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of the columns asked for, at most some tens of thousands of rows and about 16 MiB each."""
        ...
