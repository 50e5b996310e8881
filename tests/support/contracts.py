"""The fact `contract` of a candidate, as the index stage seals it."""

from __future__ import annotations

from typing import Any

from slipway.config.index import Contract
from slipway.index.contract.tried import Tried, with_front

CONTRACT = Contract(recall_at_10=0.95, p95_ms=10, memory=2**21, build_minutes=None)
TRIED = (
    Tried("IVF16,SQ4", 2**19, 900, {"nprobe": 8}, 0.91, 0.4, 0.2),
    Tried("SQ8", 2**20, 900, {}, 0.97, 1.5, 0.01),
    Tried("IVF16,SQ8", 2**20 + 9_000, 900, {"nprobe": 4}, 0.96, 0.5, 0.3),
    Tried("IVF16,Flat", 2**22 - 5, 900, {"nprobe": 4}, 0.96, 0.7, 0.3),
)


def a_contract() -> dict[str, Any]:
    """Four were tried, one of them over the memory, and one was left out; IVF16,SQ8 was chosen."""
    judged = [one.judged(CONTRACT) for one in TRIED]
    left_out = Tried("<HNSW32>", 2**23, why="not tried: it is estimated to take more memory than the contract allows")
    return {
        "clauses": CONTRACT.model_dump(mode="json"),
        "spec": "IVF16,SQ8",
        "reason": "the least memory of 2 that keep the contract",
        "how": "tried",
        "why": "nothing is released yet",
        "vectors": 1_000,
        "settings": {},
        "queries": {"source": "golden queries", "tuning": 50, "held_out": 40},
        "front": [one.as_json() for one in [*with_front(judged), left_out]],
        "confirmed": {
            "parameters": {"nprobe": 5},
            "recall_at_10": 0.958,
            "p95_ms": 0.6,
            "memory_bytes": 2**20 + 10_000,
            "build_seconds": 0.31,
            "queries": 40,
            "source": "golden queries",
            "broken": [],
        },
    }
