"""A run's plan as results and pages show it. Light: the web server reads plans too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway import layout
from slipway.manifest import Manifest, find
from slipway.storage.base import ObjectStore

CHANGES = ("added", "changed", "deleted", "unchanged")
COUNTS = (*CHANGES, "chunks", "reused", "to_embed", "tokens")
ESTIMATE = ("minutes", "tokens_per_second", "measured", "bytes")


def find_plan(store: ObjectStore, run_id: str) -> Manifest | None:
    """The plan that a run has sealed, even if its budget refused it then; None before it was planned."""
    return find(store, layout.plan(run_id))


def numbers(plan: Manifest) -> dict[str, Any]:
    """The plan's counts and estimate under one roof: the key "plan" of a run's result.

    What a plan of another version lacks is left out.
    """
    estimate = plan.facts.get("estimate")
    known = estimate if isinstance(estimate, Mapping) else {}
    counted = {name: plan.counts[name] for name in COUNTS if name in plan.counts}
    return counted | {name: known[name] for name in ESTIMATE if name in known}
