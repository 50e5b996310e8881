"""Beginnings of runs, as preflight seals them."""

from __future__ import annotations

from slipway.checkpoint import Start, begin
from slipway.run import Run


def started(run: Run, *allowed: str) -> Run:
    """The run, begun before the first release and allowed these things."""
    begin(run, Start(0, None, "e" * 16, allowed=allowed))
    return run
