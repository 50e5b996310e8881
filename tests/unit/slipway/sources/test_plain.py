from __future__ import annotations

import datetime as dt
import decimal
import uuid

import pyarrow as pa
import pytest

from slipway.sources.plain import MAX_BYTES, MAX_ROWS, bounded, plain, plain_batches

INVALID = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff"], pa.binary()).buffers())
DAY = dt.date(2024, 1, 2)


@pytest.mark.parametrize(
    ("array", "kind", "expected"),
    [
        (pa.array(["a", None, "a"]).dictionary_encode(), pa.string(), ["a", None, "a"]),
        (pa.array(["a"], pa.large_string()), pa.string(), ["a"]),
        (pa.array(["a"], pa.string_view()), pa.string(), ["a"]),
        (pa.array([b"a"], pa.large_binary()), pa.binary(), [b"a"]),
        (pa.array([b"ab"], pa.binary(2)), pa.binary(), [b"ab"]),
        (INVALID, pa.binary(), [b"ok", b"\xff"]),
        (INVALID.slice(0, 1), pa.string(), ["ok"]),
        (pa.nulls(2), pa.string(), [None, None]),
        (pa.array([decimal.Decimal("1.50"), None]), pa.string(), ["1.50", None]),
        (pa.array([[1, 2], None]), pa.string(), ["[1, 2]", None]),
        (pa.array([{"a": DAY}]), pa.string(), ['{"a": "2024-01-02"}']),
        (pa.array([dt.timedelta(days=1)]), pa.string(), ["1 day, 0:00:00"]),
        (pa.array([1.5], pa.float16()), pa.float32(), [1.5]),
        (pa.array([DAY]), pa.date32(), [DAY]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])), pa.string(), ['{"a": 1}']),
        (pa.array([uuid.UUID(int=1).bytes], pa.uuid()), pa.string(), ["00000000-0000-0000-0000-000000000001"]),
        (
            pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "numeric", "PostgreSQL"), pa.array(["1.50"])),
            pa.string(),
            ["1.50"],
        ),
        (
            pa.array([-9222425352054775809, 0, None]).cast(pa.timestamp("us")),  # infinity, as ADBC gives it
            pa.string(),
            ["out of range", "1970-01-01T00:00:00", None],
        ),
    ],
)
def test_a_column_becomes_plain(array: pa.Array, kind: pa.DataType, expected: list[object]) -> None:
    made = plain(array)

    assert (made.type, made.to_pylist()) == (kind, expected)


def test_batches_are_cut_by_rows_and_by_bytes_without_losing_any() -> None:
    texts = ["x" * (3_000_000 if number % 5_000 == 0 else 1) for number in range(5 * MAX_ROWS)]
    batch = pa.RecordBatch.from_arrays([pa.array(texts)], names=["text"])

    pieces = list(bounded(batch))

    assert all(piece.num_rows <= MAX_ROWS and piece.nbytes <= MAX_BYTES for piece in pieces)
    assert [text for piece in pieces for text in piece.column(0).to_pylist()] == texts


def test_a_small_dictionary_of_large_texts_is_bounded_after_it_is_spelled_out() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["x" * 1_000_000]))
    batch = pa.RecordBatch.from_arrays([column], names=["text"])

    pieces = list(plain_batches(batch))

    assert sum(piece.num_rows for piece in pieces) == 100
    assert max(piece.nbytes for piece in pieces) <= MAX_BYTES
