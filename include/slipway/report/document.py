"""What a report shows, as data: report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slipway import checkpoint
from slipway.choosing import FACT
from slipway.errors import ObjectMissing
from slipway.evaluation.demands import demands
from slipway.index import artifact
from slipway.manifest import Manifest
from slipway.report import drifting
from slipway.report.reading import read_json
from slipway.report.words import headline
from slipway.run import Run
from slipway.serving.loading import read_release_manifest

if TYPE_CHECKING:
    from slipway.report.writing import Reported

SCHEMA = 1
NAMED = 50
BINS = 11  # of the overlap of two top tens: 0 to 10 documents in common
_EVALUATED = ("metrics", "by_slice", "parameters", "parameters_reason", "judged_queries", "judged_missing")
_ENCODER = ("name", "fingerprint", "dimension", "max_tokens", "pooling")


def assemble(run: Run, reported: Reported, made_at: str) -> dict[str, Any]:
    """All that the page shows. Its size grows with the slices of the golden queries, but not with the queries.

    Of lists of queries and documents the first `NAMED` stand in it, and beside them their number: `gone`, `gone_count`.
    """
    compared, facts = reported.comparison, reported.evaluation.facts
    live = _live(run, compared)
    return {
        "schema": SCHEMA,
        "collection": run.collection.name,
        "run_id": run.run_id,
        "kind": reported.kind,
        "reason": reported.reason,
        "made_at": made_at,
        "candidate": _described(run, reported.candidate),
        "live": {**_described(run, live), "release_id": live.fingerprint} if live else None,
        "verdict": _verdict(reported),
        "comparison": _cut(compared.facts, ("dropped", "gone")) if compared else None,
        "margins": _margins(run, reported.kind),
        "min_queries": run.collection.judging.min_queries,
        "changed": _changed(run, compared) if compared else None,
        "evaluation": _cut({name: facts[name] for name in _EVALUATED if name in facts}, ("judged_missing",)),
        "live_evaluation": {name: live.facts[name] for name in ("metrics", "parameters")} if live else None,
        "contract": reported.candidate.facts.get(FACT),
        "sweep": list(facts.get("sweep", [])),
        "moved": read_json(run.store, compared, "moved.json") if compared else {"losers": [], "winners": []},
        "drift": drifting.records(run.store, reported.drift),
        "sizes": {
            "candidate": _sizes(reported.candidate),
            "live": _sizes(live) if live else None,
        },
        "seconds": {stage: round(spent, 3) for stage, spent in reported.seconds.items()},
        "plan": dict(reported.planned) if reported.planned else None,
    }


def _cut(facts: Mapping[str, Any], lists: Sequence[str]) -> dict[str, Any]:
    """The facts with the first of each of these lists, and how many there are."""
    held = [name for name in lists if name in facts]
    counts = {f"{name}_count": len(facts[name]) for name in held}
    return {**facts, **{name: list(facts[name][:NAMED]) for name in held}, **counts}


def _live(run: Run, comparison: Manifest | None) -> Manifest | None:
    """The release that was live when the candidate was judged; None where none was, or where it is gone since."""
    start = checkpoint.started(run)
    release_id = comparison.facts["live"] if comparison else start.live_release if start else None
    if release_id is None:
        return None
    try:
        return read_release_manifest(run.store, release_id)
    except ObjectMissing:
        return None


def _described(run: Run, made: Manifest) -> dict[str, Any]:
    try:
        encoder = read_json(run.store, made, artifact.ENCODER)
    except ObjectMissing:
        encoder = {"fingerprint": made.facts["encoder"]}
    return {
        "place": made.place,
        "created_at": made.created_at,
        "counts": dict(made.counts),
        "spec": dict(made.facts["spec"]),
        "dimension": made.facts["dimension"],
        "encoder": {name: encoder[name] for name in _ENCODER if name in encoder},
        "update": made.facts.get("update"),
    }


def _verdict(reported: Reported) -> dict[str, Any]:
    verdict = reported.verdict
    queries = reported.comparison.facts["queries"] if reported.comparison else None
    return {
        "outcome": verdict.outcome,
        "headline": headline(verdict.outcome, verdict.gates, reported.kind, queries),
        "gates": verdict.as_json(),
    }


def _margins(run: Run, kind: str) -> dict[str, float]:
    """Largest loss that is allowed against the live release, by metric."""
    gates = demands(run.collection, {}, upgrade=kind == "reindex").items()
    return {name: gate.max_drop for name, gate in gates if gate.max_drop is not None}


def _changed(run: Run, comparison: Manifest) -> dict[str, Any]:
    """How many queries won and lost, and for how many queries 0, 1, … 10 of the live top ten are still there."""
    queries: Sequence[dict[str, Any]] = read_json(run.store, comparison, "queries.json")
    differences = [one["candidate"]["ndcg_at_10"] - one["live"]["ndcg_at_10"] for one in queries]
    overlaps = [0] * BINS
    for one in queries:
        overlaps[min(BINS - 1, max(0, round(one["overlap_at_10"] * (BINS - 1))))] += 1
    won, lost = (sum(sign * one > 1e-9 for one in differences) for sign in (1, -1))
    return {"won": won, "lost": lost, "same": len(queries) - won - lost, "overlaps": overlaps}


def _sizes(made: Manifest) -> dict[str, int]:
    """Bytes of each object, and of all."""
    return {one.name: one.size_bytes for one in made.objects} | {"all": made.size_bytes}
