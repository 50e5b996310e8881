"""The source port: one reading of a system of record, whole or only what changed, streamed as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

Position = Mapping[str, Any]
"""How far a source was read, as JSON: `kind` says which adapter understands it, the rest is that adapter's own."""


class Reading(Protocol):
    """One look at a source, in one transaction or snapshot where the source has them. Use in a `with` block, once.

    All that is asked of a reading is asked inside the block and in this order: `full` and `reason`, `rows`,
    `deleted_ids`, `all_ids`, `rows_of`, `position`; each stream is read to its end before the next one.

    Batches have at most some tens of thousands of rows and about 16 MiB each, and may differ in schema from one to the
    next (a dynamically typed column); text that is not valid UTF-8 arrives as binary, so that the clean stage can set
    that one row aside. Entering the block raises `SourceSchemaError` when a table, column or path is not there,
    `SourceDenied`, and `SourceInterrupted` when the source does not answer; streams raise the same when reading fails
    after it began.
    """

    @property
    def full(self) -> bool:
        """Whether `rows` gives every row; otherwise only what changed since the position given."""
        ...

    @property
    def reason(self) -> str:
        """Why all rows or only changes are read, in a sentence for people."""
        ...

    @property
    def position(self) -> Position | None:
        """Where the next reading goes on, once `rows` is exhausted; None: the next one must be full as well."""
        ...

    def __enter__(self) -> Reading: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def rows(self) -> Iterator[pa.RecordBatch]:
        """The source's columns. Full: every row. Changes: rows added or changed, in their latest state, at least once
        each, and perhaps others that did not change.
        """
        ...

    def deleted_ids(self) -> Iterator[pa.RecordBatch]:
        """One column named as the source's id: keys that a change feed says are gone and did not come back."""
        ...

    def all_ids(self) -> Iterator[pa.RecordBatch] | None:
        """One column named as the source's id: every key there is now. None when full, or when not asked for."""
        ...

    def rows_of(self, ids: Sequence[object]) -> Iterator[pa.RecordBatch]:
        """The rows that have these ids, as `all_ids` gave them."""
        ...
