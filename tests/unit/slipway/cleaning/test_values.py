import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cleaning.values import NotUtf8, as_text, json_object, python_values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (Decimal("NaN"), ""),
        ("as it is ", "as it is "),
        (b"caf\xc3\xa9", "café"),
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (float("inf"), "inf"),
        (Decimal("1E+2"), "100"),
        (Decimal("7.10"), "7.10"),
        (True, "True"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (["a", 1], '["a",1]'),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


def test_bytes_that_are_not_utf8_say_which_and_where() -> None:
    with pytest.raises(NotUtf8, match="byte 0xe9 at position 3 is not UTF-8"):
        as_text("café".encode("latin-1"))


def test_metadata_has_sorted_keys_and_only_what_json_knows() -> None:
    values = {
        "z": date(2026, 1, 2),
        "nan": float("nan"),
        "infinite": float("-inf"),
        "decimal": Decimal("1.50"),
        "bytes": b"caf\xe9",
        "list": [1, None, b"\xff"],
        "struct": {"b": timedelta(seconds=1), "a": True},
    }
    assert json_object(values) == (
        '{"bytes":"caf\ufffd","decimal":"1.50","infinite":null,"list":[1,null,"\ufffd"],"nan":null,'
        '"struct":{"a":true,"b":"0:00:01"},"z":"2026-01-02"}'
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_any_value_can_be_metadata(value: object) -> None:
    assert "m" in json.loads(json_object({"m": value}))


def invalid_strings(*values: bytes) -> pa.Array:
    """A string column whose bytes nobody looked at, as a Parquet file can hold."""
    plain = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(plain), plain.buffers())


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None]), [1, None]),
        (invalid_strings(b"fine", b"caf\xe9"), ["fine", b"caf\xe9"]),
        (invalid_strings(b"fine", b"caf\xe9").dictionary_encode(), ["fine", b"caf\xe9"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"x"], pa.large_binary()), [b"x"]),
        (pa.array(["x"], pa.string_view()), ["x"]),
    ],
)
def test_columns_of_any_type_come_as_python_values(column: pa.Array, expected: list[object]) -> None:
    assert python_values(column) == expected


def test_a_time_beyond_the_calendar_does_not_stop_the_others() -> None:
    far, near = python_values(pa.array([2**60, 0], pa.timestamp("us")))
    assert near == datetime(1970, 1, 1)
    assert isinstance(far, str)
