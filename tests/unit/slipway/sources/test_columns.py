from __future__ import annotations

import datetime as dt
import decimal
import uuid

import pyarrow as pa
import pytest

from slipway.sources.columns import to_array, to_batches
from slipway.sources.plain import MAX_BYTES, MAX_ROWS

UTC = dt.UTC
NOON = dt.datetime(2024, 1, 2, 12)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 2], pa.int64(), [1, None, 2]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([True, None], pa.bool_(), [True, None]),
        (["a", "b\0c"], pa.string(), ["a", "b\0c"]),
        (["ü", b"\xff"], pa.binary(), ["ü".encode(), b"\xff"]),
        ([b"\xff", memoryview(b"a"), bytearray(b"b")], pa.binary(), [b"\xff", b"a", b"b"]),
        ([b"\xff", 5, 2.5], pa.binary(), [b"\xff", b"5", b"2.5"]),
        (["a", 5, None, 2.5], pa.string(), ["a", "5", None, "2.5"]),
        ([True, 5], pa.string(), ["True", "5"]),
        ([NOON], pa.timestamp("us"), [NOON]),
        ([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC"), [NOON.replace(tzinfo=UTC)]),
        ([NOON, NOON.replace(tzinfo=UTC)], pa.string(), ["2024-01-02T12:00:00", "2024-01-02T12:00:00+00:00"]),
        ([dt.date(2024, 1, 2)], pa.date32(), [dt.date(2024, 1, 2)]),
        ([dt.date(2024, 1, 2), "later"], pa.string(), ["2024-01-02", "later"]),
        ([dt.time(10)], pa.time64("us"), [dt.time(10)]),
        ([dt.time(10, tzinfo=UTC)], pa.string(), ["10:00:00+00:00"]),
        ([decimal.Decimal("1.50"), decimal.Decimal("1E+3")], pa.string(), ["1.50", "1000"]),
        ([uuid.UUID(int=1)], pa.string(), ["00000000-0000-0000-0000-000000000001"]),
        ([{"ä": [1, decimal.Decimal(2)]}, ["x"]], pa.string(), ['{"ä": [1, "2"]}', '["x"]']),
        ([2**63, 1], pa.binary(), [b"9223372036854775808", b"1"]),
        (["\ud800"], pa.binary(), [b"\xed\xa0\x80"]),
    ],
)
def test_a_column_takes_the_narrowest_type_that_holds_it(
    values: list[object], kind: pa.DataType, expected: list[object]
) -> None:
    array = to_array(values)

    assert (array.type, array.to_pylist()) == (kind, expected)


def test_a_batch_without_a_value_keeps_the_type_of_the_batch_before() -> None:
    rows = [(number,) for number in range(MAX_ROWS)] + [(None,)] * 3

    assert [batch.schema.types for batch in to_batches(rows, ["n"])] == [[pa.int64()], [pa.int64()]]


def test_a_column_that_never_has_a_value_is_text() -> None:
    assert to_array([None, None]).type == pa.string()


def test_batches_are_bounded_by_bytes_whatever_the_values() -> None:
    rows = [(b"x" * 6_000_000,), ("ü" * 6_000_000,), ("y" * 30_000_000,), ("z",)]

    batches = list(to_batches(rows, ["text"]))

    assert [batch.num_rows for batch in batches] == [1, 1, 1, 1]
    assert sum(batch.nbytes > MAX_BYTES for batch in batches) == 1
