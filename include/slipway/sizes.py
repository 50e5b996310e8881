"""Sizes for people."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in the unit that suits them: "512 bytes", "12.3 MiB"."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.0f} bytes" if unit == "bytes" else f"{value:,.1f} {unit}"
