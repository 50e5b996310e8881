"""The sentences of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.evaluation.gates import GateResult

TITLES = {"pass": "Pass", "fail": "Fail", "undecided": "Undecided"}
NAMES = {
    "ndcg_at_10": "nDCG@10",
    "mrr_at_10": "MRR@10",
    "hit_rate_at_1": "Hit rate@1",
    "hit_rate_at_10": "Hit rate@10",
    "recall_at_1": "Recall@1",
    "recall_at_10": "Recall@10",
    "recall_at_100": "Recall@100",
    "exact_ndcg_at_10": "nDCG@10 of exact search",
    "exact_hit_rate_at_10": "Hit rate@10 of exact search",
    "empty_result_rate": "Empty results",
    "must_find_rate": "Must be found",
    "p50_ms": "Latency, median",
    "p95_ms": "Latency, p95",
    "p99_ms": "Latency, p99",
    "index_bytes": "Index size",
    "memory_bytes": "Memory",
    "build_minutes": "Building, in minutes",
    "documents": "Documents",
    "vectors": "Vectors",
    "rows": "Rows of the index",
    "tombstones": "Rows that are tombstones",
}
KINDS = {
    "index": ("Index quality", "how much of exact search over the same vectors the index finds"),
    "relevance": ("Relevance", "what people find, by the golden queries"),
    "cost": ("Cost", "time and size"),
    "content": ("Content", "documents and vectors"),
    "": ("Other gates", "gates of no group"),
}


def headline(outcome: str, gates: Sequence[GateResult], kind: str, queries: int | None) -> str:
    """The verdict in two or three sentences. `queries` were judged on both sides; None without a comparison."""
    said = {"pass": _passed, "fail": _failed, "undecided": _undecided}[outcome](gates, queries)
    return f"{said} {_NEXT[kind, outcome]}"


_NEXT = {
    ("nightly", "pass"): "The run may make this candidate live.",
    ("nightly", "fail"): "Nothing is released: the live release serves on.",
    ("nightly", "undecided"): "Nothing is released by itself: a run that was started with “Allow undecided” would "
    "release it.",
    ("reindex", "pass"): "Approving releases it: readers change to its index and its query encoder in one swap.",
    ("reindex", "fail"): "The live release serves on. Approving it would need an override that names each failed gate, "
    "and stays on record.",
    ("reindex", "undecided"): "A person has to decide: approving releases it on that person's word, which stays on "
    "record.",
}


def _passed(gates: Sequence[GateResult], queries: int | None) -> str:
    if not gates:
        return "The collection has no gates, so nothing was judged."
    return "Its one gate holds." if len(gates) == 1 else f"All {len(gates)} gates hold."


def _failed(gates: Sequence[GateResult], queries: int | None) -> str:
    failed = [gate for gate in gates if not gate.passed and not gate.undecided]
    undecided = [gate for gate in gates if gate.undecided]
    more = f" {_listed(undecided)} could not be decided." if undecided else ""
    verb = "does" if len(failed) == 1 else "do"
    return f"{len(failed)} of {len(gates)} gates {verb} not hold: {_listed(failed)}.{more}"


def _undecided(gates: Sequence[GateResult], queries: int | None) -> str:
    count = "The golden queries" if queries is None else f"{queries:,} golden {'query' if queries == 1 else 'queries'}"
    verb = "is" if queries == 1 else "are"
    return (
        f"No gate fails, but {count[0].lower()}{count[1:]} {verb} too few to rule out a loss in "
        f"{_listed([gate for gate in gates if gate.undecided])}."
    )


def _listed(gates: Sequence[GateResult]) -> str:
    names = list(dict.fromkeys(title(gate.metric) for gate in gates))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def title(metric: str) -> str:
    """A metric's name for people: nDCG@10."""
    return NAMES.get(metric, metric.replace("_", " "))


def method(document: dict[str, Any]) -> list[str]:
    """How it was measured, in sentences."""
    compared, evaluated = document["comparison"], document["evaluation"]
    judged = evaluated.get("judged_queries")
    said = ["There are no golden queries, so only sizes, counts and latency were measured."]
    if judged is not None:
        said = [f"{judged:,} golden queries of the judging part judged this candidate; tuning queries never judge."]
    if evaluated.get("parameters_reason"):
        said.append(f"Search-time parameters: {evaluated['parameters_reason']}.")
    if compared is None:
        said.append(
            "Nothing was compared: there is no live release, or it cannot be judged by the same golden queries."
        )
        return said
    said.append(
        f"Candidate and live release answered the same {compared['queries']:,} queries. The intervals come from a "
        f"paired bootstrap with {compared['resamples']:,} resamples, and hold the true difference with "
        f"{1 - 2 * compared['alpha']:.0%} probability (alpha {compared['alpha']:g}); below "
        f"{document['min_queries']:,} queries none is given."
    )
    if len(compared["by_slice"]) > 1 and "slice_alpha" in compared:
        said.append(f"Slices share that error rate: the interval of each is at alpha {compared['slice_alpha']:.2g}.")
    if compared["noise"]:
        said.append(
            "The noise floor is how far a metric moves when the same vectors are indexed again with another seed."
        )
    if compared["dropped_count"]:
        left_out = _counted(compared["dropped_count"], "golden query", "golden queries")
        said.append(f"{left_out} left out: none of the documents judged for it is there.")
    if compared["gone_count"]:
        first = ", ".join(compared["gone"][:3])
        missing = _counted(compared["gone_count"], "judged document", "judged documents")
        said.append(f"{missing} not in the candidate's snapshot, such as {first}.")
    return said


def _counted(count: int, one: str, many: str) -> str:
    return f"1 {one} is" if count == 1 else f"{count:,} {many} are"
