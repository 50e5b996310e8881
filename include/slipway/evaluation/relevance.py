"""Relevance of ranked documents against golden judgments, by ir_measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import ir_measures
from ir_measures import RR, Success, nDCG

from slipway.evaluation.golden import GoldenQuery

MEASURES = {
    "ndcg_at_10": nDCG @ 10,
    "mrr_at_10": RR @ 10,
    "hit_rate_at_1": Success @ 1,
    "hit_rate_at_10": Success @ 10,
}


def relevance(
    queries: Sequence[GoldenQuery], ranked: Sequence[Sequence[str]]
) -> tuple[dict[str, float], dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Mean metrics over all queries, per slice, and per query id.

    `ranked` holds the document ids found for each query, best first. A query for which nothing was found counts as 0.
    """
    qrels = {query.query_id: dict(query.relevant) for query in queries}
    # Ranks become scores, so that equal similarities keep the order in which they were shown.
    run = {
        query.query_id: {document: float(-rank) for rank, document in enumerate(found)}
        for query, found in zip(queries, ranked, strict=True)
    }
    by_query: dict[str, dict[str, float]] = {query.query_id: dict.fromkeys(MEASURES, 0.0) for query in queries}
    names = {measure: name for name, measure in MEASURES.items()}
    for value in ir_measures.iter_calc(list(MEASURES.values()), qrels, run):
        by_query[value.query_id][names[value.measure]] = float(value.value)
    return _means(by_query, list(by_query)), means_by_slice(queries, by_query), by_query


def means_by_slice(
    queries: Sequence[GoldenQuery], by_query: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Mean of each metric in each slice, by name, of the metrics that `by_query` has for every query id."""
    slices: dict[str, list[str]] = defaultdict(list)
    for query in queries:
        slices[query.slice].append(query.query_id)
    return {name: _means(by_query, members) for name, members in sorted(slices.items())}


def empty_result_rate(ranked: Sequence[Sequence[str]]) -> float:
    """Share of the queries for which nothing at all was found; `ranked` as in `relevance`, one query or more."""
    return round(sum(not found for found in ranked) / len(ranked), 6)


def must_find_rate(
    queries: Sequence[GoldenQuery], ranked: Sequence[Sequence[str]], held: Collection[str]
) -> float | None:
    """Share of the documents that must be found that are in the top ten; None where no query has any.

    Only of those that are `held`: a document that was deleted at its source can be found by nobody.
    """
    there = [
        document in found[:10]
        for query, found in zip(queries, ranked, strict=True)
        for document in query.must_find
        if document in held
    ]
    return round(sum(there) / len(there), 6) if there else None


def _means(by_query: Mapping[str, Mapping[str, float]], members: Sequence[str]) -> dict[str, float]:
    names = by_query[members[0]]
    return {name: round(sum(by_query[member][name] for member in members) / len(members), 6) for name in names}
