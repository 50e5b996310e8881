"""Results of runs as `slipway.result` writes them, for what shows them."""

from typing import Any

PLAN = {
    "added": 12,
    "changed": 31,
    "deleted": 2,
    "unchanged": 6500,
    "chunks": 9876,
    "reused": 9821,
    "to_embed": 55,
    "tokens": 12_345,
    "minutes": 80.4,
    "tokens_per_second": 2_559.0,
    "measured": "median of the 3 newest vector parts, made on cpu",
    "bytes": 86_680,
}
SOURCES = [
    {
        "source": "api",
        "mode": "changes",
        "reason": "everything since 2026-01-30T02:15 minus 60 minutes",
        "rows": 1_043,
        "deleted": 2,
        "cleaned": 43,
    },
    {
        "source": "guides",
        "mode": "full",
        "reason": "Parquet files are read in full",
        "rows": 8,
        "deleted": 0,
        "cleaned": 0,
    },
]
UPDATE = {
    "kind": "updated",
    "reason": "no trigger fired",
    "base": "20260130T021500-0a1b2c3d",
    "added": 55,
    "removed": 4,
    "triggers": [
        {"name": "tombstone_share", "value": 0.0123456, "limit": 0.2, "fired": False},
        {"name": "recall_loss", "value": None, "limit": 0.01, "fired": False},
    ],
}
COMPARED = {
    "live": "20260130T021500-0a1b2c3d",
    "queries": 164,
    "alpha": 0.05,
    "metrics": {
        "ndcg_at_10": {
            "candidate": 0.512,
            "live": 0.553,
            "difference": -0.041,
            "low": -0.0621,
            "high": -0.0199,
            "changed": 60,
            "worse": 41,
        },
        "recall_at_10": {
            "candidate": 0.99,
            "live": 0.99,
            "difference": 0.0,
            "low": None,
            "high": None,
            "changed": 0,
            "worse": 0,
        },
    },
    "neighbours": {"overlap_at_10": 0.91, "rank_biased_overlap": 0.93, "changed_share": 0.25},
    "noise": None,
}
RECONCILED = {"documents": 6543, "chunks": 9900, "vectors": 9876, "rows": 9880, "tombstones": 4, "sampled": 256}


def a_result(**other: Any) -> dict[str, Any]:
    """The result of a run that released."""
    return {
        "collection": "pydocs",
        "run_id": "manual-1",
        "allowed": [],
        "full": False,
        "sources": SOURCES,
        "plan": PLAN,
        "documents_in": 7012,
        "rejected": {"too_short": 120, "near_duplicate": 349},
        "documents": 6543,
        "added": 12,
        "changed": 31,
        "deleted": 2,
        "unchanged": 6500,
        "chunks": 9900,
        "embedded": 55,
        "embedding": {
            "tokens": 12_345,
            "seconds": 2.3,
            "tokens_per_second": 5_367.4,
            "device": "cpu",
            "backend": "openvino",
        },
        "reused": 9821,
        "vectors": 9876,
        "index": {
            "spec": "HNSW32",
            "reason": "a graph for this size",
            "metric": "inner_product",
            "dimension": 384,
            "vectors": 9876,
            "bytes": 16 * 2**20,
            "update": UPDATE,
        },
        "reconciled": RECONCILED,
        "metrics": {"recall_at_10": 0.987},
        "gates": [],
        "verdict": "passed",
        "released": True,
        "release_id": "r1",
        "generation": 1,
        "reason": "live in slot blue",
        "nothing_changed": False,
        "seconds": {"extract": 1.8, "embed": 71.2},
        **other,
    }
