"""Sizes for people."""

import pytest

from slipway.sizes import size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (3 << 20, "3.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (5 << 50, "5,120.0 TiB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_suits_it(count: int, shown: str) -> None:
    assert size(count) == shown
