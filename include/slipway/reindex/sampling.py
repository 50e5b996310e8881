"""An encoder tried on a sample before the whole collection is embedded: what is certainly worse costs no more.

The same documents are searched exactly in both spaces by the judging queries, so nothing but the encoder differs. A
sample holds fewer documents that could be found instead of the judged ones, so either does better than in the whole
collection; what counts is one against the other. What is embedded goes to the vector store and is not paid again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slipway import agreement, checkpoint, layout
from slipway.agreement import Live
from slipway.errors import GateRefused, IndexRefused
from slipway.evaluation import bootstrap
from slipway.evaluation.golden import GoldenQuery, read_golden
from slipway.evaluation.relevance import relevance
from slipway.manifest import Draft, find
from slipway.reindex import drawing
from slipway.reindex.asking import asked_of
from slipway.reindex.building import newest_snapshot
from slipway.reindex.spaces import candidate_space, live_space
from slipway.run import Run

METRIC = "ndcg_at_10"


def sample(run: Run) -> dict[str, Any]:
    """Try the campaign's encoder on a sample of the documents, and say how it does against the live one.

    All documents that judging queries judge, and others drawn by a seeded hash up to as many as were asked for. Keys:
    `says`, a sentence; and where something could be told `documents`, `queries`, `candidate` and `live` (nDCG@10),
    `difference` with its interval `low` and `high`, `margin`, and `worse`. A retry gets what was sealed. Raises
    `GateRefused` when the encoder is certainly worse by more than the margin; nothing else is embedded then.
    """
    run = checkpoint.as_started(run)
    sealed = find(run.store, layout.sample(run.run_id))
    if sealed is None:
        found = _tried(run)
        sealed = Draft(run.store, layout.sample(run.run_id), "sample", run.run_id).seal({}, found)
    if sealed.facts.get("worse"):
        raise GateRefused(f"{sealed.facts['says']}; nothing but the sample was embedded")
    return dict(sealed.facts)


def _tried(run: Run) -> dict[str, Any]:
    asked, golden, live = asked_of(run), run.collection.golden, agreement.live_of(run)
    if asked.sample == 0:
        return _told_nothing("no sample was asked for")
    if golden is None or live is None:
        return _told_nothing("the collection file names no golden queries to try a sample by")
    if live.fingerprint == checkpoint.start_of(run).encoder:
        return _told_nothing("the live release is of the same encoder, so there is nothing to try")
    queries = read_golden(golden.queries).part("judging")
    documents = drawing.draw(run, newest_snapshot(run), live, queries, asked.sample)
    judged = [query for query in queries if not documents.isdisjoint(query.relevant)]
    least = run.collection.judging.min_queries
    if len(judged) < least:
        return _told_nothing(
            f"{len(judged)} golden queries judge documents that both hold, fewer than the {least} of "
            "judging.min_queries"
        )
    return _compared(run, live, documents, judged)


def _told_nothing(why: str) -> dict[str, Any]:
    return {"says": f"the sample tells nothing: {why}", "worse": False}


def _compared(run: Run, live: Live, documents: set[str], queries: list[GoldenQuery]) -> dict[str, Any]:
    texts = [query.query for query in queries]
    try:
        before = _scores(queries, live_space(run, live, documents).search(texts))
    except IndexRefused as error:
        return _told_nothing(f"the live release's vectors are not in the vector store ({error})")
    now = _scores(queries, candidate_space(run, newest_snapshot(run), documents).search(texts))
    differences = np.asarray([now[query.query_id] - before[query.query_id] for query in queries])
    judging = run.collection.judging
    (interval,) = bootstrap.intervals(differences[:, np.newaxis], judging.resamples, judging.alpha)
    margin = _margin(run)
    worse = interval.high < -margin
    numbers = {
        "documents": len(documents),
        "queries": len(queries),
        "candidate": _mean(now),
        "live": _mean(before),
        "difference": round(interval.mean, 6),
        "low": round(interval.low, 6),
        "high": round(interval.high, 6),
        "margin": margin,
        "worse": worse,
    }
    return {"says": _sentence(numbers), **numbers}


def _scores(queries: list[GoldenQuery], ranked: list[list[str]]) -> dict[str, float]:
    return {query_id: values[METRIC] for query_id, values in relevance(queries, ranked)[2].items()}


def _mean(scores: Mapping[str, float]) -> float:
    return round(sum(scores.values()) / len(scores), 6)


def _margin(run: Run) -> float:
    gate = run.collection.gates.get(METRIC)
    return gate.max_drop if gate and gate.max_drop is not None else run.collection.reindex.margin


def _sentence(found: Mapping[str, Any]) -> str:
    if found["worse"]:
        judged = f"certainly worse by more than the margin of {found['margin']:g}"
    else:
        judged = f"not certainly worse by more than the margin of {found['margin']:g}"
    return (
        f"on a sample of {found['documents']:,} documents and {found['queries']:,} queries, nDCG@10 of exact search is "
        f"{found['candidate']:.4f}, that of the live encoder {found['live']:.4f}: the difference is "
        f"{found['difference']:+.4f}, between {found['low']:+.4f} and {found['high']:+.4f}, {judged}"
    )
