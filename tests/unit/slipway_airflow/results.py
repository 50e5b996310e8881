"""A run's result as `slipway.result` writes it, and releases as the release stage seals them."""

from __future__ import annotations

import json
from typing import Any

from slipway import layout
from slipway.manifest import Draft
from slipway.pointer import Change, swap_serving
from slipway.storage.base import ObjectStore
from tests.unit.slipway.results import PLAN, RECONCILED, SOURCES, UPDATE

METRICS = {
    "recall_at_1": 0.99, "recall_at_10": 0.987, "ndcg_at_10": 0.512, "mrr_at_10": 0.47, "hit_rate_at_10": 0.744,
    "p95_ms": 1.234, "documents": 6543.0,
}  # fmt: skip
HOSTILE = "<script>alert('x')</script>"


def whole_result(**other: Any) -> dict[str, Any]:
    """The result of a run that released."""
    return {
        "collection": "pydocs",
        "run_id": "manual__1",
        "allowed": ["deletes"],
        "full": True,
        "sources": SOURCES,
        "plan": PLAN,
        "documents_in": 7012,
        "rejected": {"too_short": 120, "near_duplicate": 349},
        "documents": 6543,
        "added": 12,
        "changed": 31,
        "deleted": 2,
        "unchanged": 6500,
        "chunks": 9876,
        "embedded": 55,
        "reused": 9821,
        "embedding": {"tokens": 12_345, "tokens_per_second": 5_367.4, "device": "cpu", "backend": "openvino"},
        "vectors": 9876,
        "index": {
            "spec": "HNSW32,SQ8",
            "reason": "a graph for this size",
            "metric": "inner_product",
            "dimension": 384,
            "vectors": 9876,
            "bytes": 16 * 2**20,
            "parameters": {"efSearch": 64},
            "parameters_reason": "the smallest that sufficed",
            "update": UPDATE,
        },
        "reconciled": RECONCILED,
        "metrics": METRICS,
        "by_slice": {"task": {"ndcg_at_10": 0.6}, "misspelt": {"ndcg_at_10": 0.3}},
        "judged_missing": ["api:pandas.Gone"],
        "gates": [
            {"metric": "recall_at_10", "value": 0.987, "passed": True, "reason": "recall_at_10 0.987: at least 0.95"}
        ],
        "verdict": "passed",
        "released": True,
        "release_id": "r1",
        "generation": 1,
        "reason": "live in slot blue",
        "nothing_changed": False,
        "seconds": {"extract": 1.8, "embed": 71.2},
        **other,
    }


def store_result(store: ObjectStore, run_key: str, result: Any) -> None:
    """Keep a result, whatever it is."""
    store.put(layout.result(run_key), json.dumps(result).encode())


def release(store: ObjectStore, release_id: str, why: str = "run manual__1", allowed: tuple[str, ...] = ()) -> None:
    """Seal a release and make it live."""
    seal_release(store, release_id)
    swap_serving(
        store, Change("release", "ada", why, "manual__1", allowed), lambda now: now.promoted(release_id, "0" * 64)
    )


def seal_release(store: ObjectStore, release_id: str) -> None:
    """Seal a release."""
    facts = {"spec": {"factory": "HNSW32,SQ8"}, "encoder": "e", "metrics": METRICS, "run_id": "manual__1"}
    counts = {"documents": 6543, "vectors": 9876}
    Draft(store, layout.release(release_id), "release", release_id, {}).seal(counts, facts)


def upgrade_result(**other: Any) -> dict[str, Any]:
    """The result of a reindex campaign that a person let pass although a gate failed."""
    metrics = {
        "ndcg_at_10": {"candidate": 0.5, "live": 0.53, "difference": -0.03, "low": -0.05, "high": -0.01},
        "mrr_at_10": {"candidate": 0.5, "live": 0.5, "difference": 0.0, "low": None, "high": None},
    }
    upgrade = {
        "asked": {"encoder": "minilm", "index": "HNSW32", "reason": "better", "who": "ada", "budget_hours": 2.5},
        "sample": {"documents": 2000, "says": "nothing certain"},
        "note": "reindex campaign of ada: better",
        "comparison": {
            "queries": 164,
            "metrics": metrics,
            "neighbours": {"overlap_at_10": 0.42, "changed_share": 0.9},
        },
        "approval": {
            "approved": True, "who": "eve", "comment": "we know", "at": "2026-11-21T10:00:00+00:00",
            "outcome": "fail", "overrode": ["ndcg_at_10"],
        },
        "seconds": {"judge": 1.0, "sample": 2.0, "preflight": 3.0},
    }  # fmt: skip
    return whole_result(**(upgrade | other))
