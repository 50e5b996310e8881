"""Differences as people read them."""

from __future__ import annotations


def signed(value: float) -> str:
    """A difference for people: +0.041, −0.0004, 0."""
    size = f"{abs(value):.3f}" if abs(value) >= 0.001 else f"{abs(value):.1g}"
    return size if value == 0 else f"{'+' if value > 0 else '−'}{size}"
