"""The Airflow assets that runs produce. Other DAGs can be scheduled on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Asset

SHOWN = ("documents", "vectors", "recall_at_10", "ndcg_at_10", "hit_rate_at_10", "p95_ms", "index_bytes")


def release_asset(collection: str) -> Asset:
    """A collection's live release: one event each time that another goes live, and after each rollback."""
    return Asset(
        name=f"slipway/{collection}/release",
        uri=f"slipway://{collection}/release",
        group="slipway",
    )


def release_facts(release_id: str, generation: int, metrics: Mapping[str, float]) -> dict[str, Any]:
    """What the asset's event shows about a release."""
    numbers = {name: metrics[name] for name in SHOWN if name in metrics}
    return {"release_id": release_id, "generation": generation, **numbers}
