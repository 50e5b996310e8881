"""The metrics that an evaluation measures and a gate may bound, with the direction that is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, whether a bare gate number is its `min` or its `max`, its unit, and what it tells."""

    name: str
    bound: Literal["min", "max"]
    unit: str
    meaning: str

    @property
    def needs_golden(self) -> bool:
        """Whether it is measured with golden queries, as every share is: without them it cannot be judged."""
        return self.unit == "share"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("recall_at_1", "min", "share", "mean share of the exact nearest chunk found by the index"),
        Metric("recall_at_10", "min", "share", "mean share of the exact ten nearest chunks found by the index"),
        Metric("recall_at_100", "min", "share", "mean share of the exact hundred nearest chunks found by the index"),
        Metric("ndcg_at_10", "min", "share", "nDCG@10 of the documents found, against the golden judgments"),
        Metric("mrr_at_10", "min", "share", "mean reciprocal rank of the first relevant document in the top ten"),
        Metric("hit_rate_at_1", "min", "share", "share of golden queries whose first document is relevant"),
        Metric("hit_rate_at_10", "min", "share", "share of golden queries with a relevant document in the top ten"),
        Metric("exact_ndcg_at_10", "min", "share", "nDCG@10 of exact search: what the encoder could give"),
        Metric("exact_hit_rate_at_10", "min", "share", "hit rate@10 of exact search"),
        Metric("empty_result_rate", "max", "share", "share of golden queries for which nothing at all is found"),
        Metric("must_find_rate", "min", "share", "share of the documents that golden queries must find in the top ten"),
        Metric("p50_ms", "max", "ms", "median time of one search by vector, one thread"),
        Metric("p95_ms", "max", "ms", "95th percentile of the time of one search by vector, one thread"),
        Metric("p99_ms", "max", "ms", "99th percentile of the time of one search by vector, one thread"),
        Metric("index_bytes", "max", "bytes", "size of the index file"),
        Metric(
            "memory_bytes",
            "max",
            "bytes",
            "bytes of the index's file, which a reader holds in memory once all of it was read",
        ),
        Metric("build_minutes", "max", "minutes", "minutes of building the index anew, when it was last"),
        Metric("documents", "min", "documents", "documents in the snapshot"),
        Metric("vectors", "min", "vectors", "vectors in the index"),
    )
}

PER_QUERY = ("ndcg_at_10", "mrr_at_10", "hit_rate_at_1", "hit_rate_at_10", "recall_at_10")
"""Metrics that are means over golden queries, and are compared with the live release query by query."""
