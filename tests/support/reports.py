"""Everything a report is made of, drawn with a seed: golden queries with scores, slices, what moved, drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway import layout
from slipway.checkpoint import Start, begin
from slipway.evaluation.gates import GateResult, Verdict
from slipway.manifest import Draft, Manifest, fingerprint
from slipway.report import Reported
from slipway.run import Run
from slipway.stages.release import Released, release
from slipway.storage.base import ObjectStore
from tests.support import releases
from tests.support.releases import PASSED, a_candidate, a_run

METRICS = ("ndcg_at_10", "mrr_at_10", "hit_rate_at_1", "hit_rate_at_10", "recall_at_10")
STAGES = {"chunk": 41.2, "plan": 3.1, "embed": 8123.4, "index": 212.0, "reconcile": 9.9, "evaluate": 74.5, "gate": 0.2}
PLAN = {"to_embed": 84_211, "chunks": 84_211, "tokens": 9_876_543, "reused": 0, "minutes": 135.4}
MOVED = 25
FEW = 20  # queries below which there is no interval
RESAMPLES = 200  # of the bootstrap of these fixtures
FIRST_NIGHT = datetime(2026, 10, 1, 2, 15, tzinfo=UTC)
_TEXT = (
    "window rolling frame resample index join merge missing value datetime timezone parse group aggregate pivot wide "
    "long table column dtype category sort stable memory chunk read write parquet csv encoding error plot axis style"
)
_WORDS = tuple(_TEXT.split())


@dataclass(frozen=True, slots=True)
class Made:
    """A run that has judged, and what its report is of."""

    run: Run
    reported: Reported


def a_judgement(
    store: ObjectStore,
    scratch: Path,
    *,
    queries: int = 60,
    slices: int = 4,
    nights: int = 12,
    loss: float = 0.0,
    kind: Any = "reindex",
    run_id: str = "manual__2026-11-20T21-04-11",
    **fields: Any,
) -> Made:
    """A candidate judged against a live release on so many golden queries; `loss` of nDCG@10 on average."""
    gates = {"ndcg_at_10": {"max_drop": 0.02}, "recall_at_10": 0.95, "p95_ms": 5}
    golden = {"queries": "golden.jsonl"}
    run = a_run(store, scratch, run_id, **{"golden": golden, "gates": gates, "name": "pydocs"} | fields)
    live = _live(run)
    begin(run, Start(1, live.release_id, "b" * 16))
    candidate = a_candidate(run, 2, encoder="b" * 16)
    evaluation = an_evaluation(run, candidate, queries)
    comparison = a_comparison(run, candidate, evaluation, live.release_id, queries, slices, loss)
    drift = a_history(run, candidate, live.release_id, nights)
    judged = a_verdict(comparison)
    reason = "MiniLM finds paraphrases that the small static model misses"
    return Made(run, Reported(candidate, evaluation, comparison, judged, drift, reason, kind, STAGES, PLAN))


def _live(run: Run) -> Released:
    made = a_candidate(run, 1, encoder="a" * 16)
    measured = releases.an_evaluation(run, made, recall_at_10=0.978, p50_ms=0.4, p95_ms=0.7)
    return release(run, made, measured, PASSED, 0, "tester", "the first")


def a_first_judgement(store: ObjectStore, scratch: Path, queries: int = 0, **fields: Any) -> Made:
    """A candidate where nothing is live yet."""
    run = a_run(store, scratch, "scheduled__1", name="pydocs", **fields)
    begin(run, Start(0, None, "b" * 16))
    candidate = a_candidate(run, 2, encoder="b" * 16)
    judged = Verdict((GateResult("documents", 40.0, True, "documents 40: at least the minimum 10", kind="content"),))
    evaluation = an_evaluation(run, candidate, queries)
    return Made(run, Reported(candidate, evaluation, None, judged, None, "", "nightly", STAGES, PLAN))


def an_evaluation(run: Run, candidate: Manifest, queries: int) -> Manifest:
    """What was measured on the candidate alone, with a sweep over the ladder of search-time settings."""
    name = fingerprint("report", candidate.digest, queries)
    draft = Draft(run.store, layout.evaluation(name), "evaluate", name, {"candidate": candidate.digest})
    ladder = ((16, 0.871), (32, 0.938), (64, 0.972), (128, 0.991), (256, 0.996), (512, 0.998))
    metrics = {"documents": 40.0, "vectors": 40.0, "index_bytes": 16.0 * 2**20, "p50_ms": 0.61, "p95_ms": 1.02}
    judged = {"recall_at_10": 0.991, "ndcg_at_10": 0.512, "hit_rate_at_10": 0.744, "empty_result_rate": 0.0}
    facts = {
        "golden": "0" * 64 if queries else None,
        "metrics": metrics | (judged if queries else {}),
        "candidate": candidate.place,
        "parameters": {"efSearch": 128},
        "parameters_reason": "smallest tried with recall@10 of 0.99 on 120 tuning queries (0.991)",
        "sweep": [
            {"parameters": {"efSearch": ef}, "recall_at_10": recall, "p50_ms": ef / 200, "p95_ms": ef / 125}
            for ef, recall in ladder
        ],
    }
    if queries:
        facts |= {"judged_queries": queries, "judged_missing": [], "by_slice": {}}
    return draft.seal(dict(candidate.counts), facts)


def a_comparison(
    run: Run, candidate: Manifest, evaluation: Manifest, live: str, queries: int, slices: int, loss: float
) -> Manifest:
    """A comparison of candidate and live release with so many golden queries."""
    judged = [_query(number, slices, loss) for number in range(queries)]
    name = fingerprint("compare", candidate.digest, live, queries, slices, loss)
    draft = Draft(run.store, layout.comparison(name), "compare", name, {"candidate": candidate.digest})
    draft.add_json("queries.json", judged)
    draft.add_json("moved.json", _moved(judged))
    of_slice: dict[str, list[dict[str, Any]]] = {}
    for one in judged:
        of_slice.setdefault(one["slice"], []).append(one)
    facts = {
        "candidate": candidate.place,
        "evaluation": evaluation.place,
        "live": live,
        "encoders": {
            "candidate": {"name": "minilm", "fingerprint": "b" * 16, "dimension": 384},
            "live": {"name": "static", "fingerprint": "a" * 16, "dimension": 256},
        },
        "queries": queries,
        "dropped": ["q-lost"],
        "gone": ["guide:removed.rst"],
        "alpha": 0.05,
        "resamples": 10_000,
        "metrics": _compared(judged),
        "by_slice": {
            slice_: {"queries": len(members), "metrics": _compared(members)} for slice_, members in of_slice.items()
        },
        "noise": dict.fromkeys(METRICS, 0.004),
        "neighbours": {
            "overlap_at_10": float(np.mean([one["overlap_at_10"] for one in judged])),
            "rank_biased_overlap": float(np.mean([one["rank_biased_overlap"] for one in judged])),
            "changed_share": float(np.mean([one["overlap_at_10"] < 1 for one in judged])),
        },
    }
    return draft.seal({"queries": queries}, facts)


def a_verdict(comparison: Manifest) -> Verdict:
    """Gates of all kinds: relevance by the comparison's interval, the others held."""
    ndcg = comparison.facts["metrics"]["ndcg_at_10"]
    low, high, difference = ndcg["low"], ndcg["high"], ndcg["difference"]
    undecided, failed = low is None, low is not None and high < 0 and low < -0.02
    said = "too few golden queries" if low is None else f"the interval of the difference is {low:.3f} to {high:.3f}"
    reason = (
        f"ndcg_at_10 0.512: {difference:+.3f} against the live {ndcg['live']:.3f}; {said}; allowed is a loss of 0.02"
    )
    return Verdict(
        (
            GateResult("ndcg_at_10", 0.512, not undecided and not failed, reason, undecided, "relevance"),
            GateResult("recall_at_10", 0.991, True, "recall_at_10 0.991: at least the minimum 0.95", kind="index"),
            GateResult("p95_ms", 1.02, True, "p95_ms 1.02: at most the maximum 5", kind="cost"),
            GateResult("must_find_rate", 1.0, True, "must_find_rate 1: at least the minimum 1", kind="relevance"),
            GateResult("documents", 40.0, True, "documents 40: at least the minimum 10", kind="content"),
        )
    )


def a_history(run: Run, candidate: Manifest, live: str, nights: int) -> Manifest | None:
    """Drift as `nights` runs saw it; the newest raises an alarm. None for no night."""
    newest = None
    for night in range(nights):
        at, run_id = f"{FIRST_NIGHT + timedelta(days=night):%Y%m%dT%H%M%SZ}", f"night-{night:03d}"
        random = np.random.default_rng(night)
        shift = 0.08 if night == nights - 1 else 0.01 + 0.004 * random.random()
        measures = [
            _measure("centroid_shift", "vectors", shift, 0.04, None),
            _measure("shift_since_oldest", "vectors", None, None, None),
            _measure("mean_norm", "vectors", 1 + 0.0002 * random.normal(), None, 1.0),
            _measure("duplicate_vectors", "vectors", 0.002 + 0.001 * random.random(), 0.01, 0.0021),
            _measure("neighbour_overlap_at_10", "neighbours", 0.93 + 0.02 * random.random(), None, 0.94),
            _measure("median_length", "texts", 612 + 9 * random.normal(), None, 611.0),
            _measure("english_share", "texts", 0.97 + 0.004 * random.random(), None, 0.971),
            _measure("too_short", "rejects", float(random.integers(100, 140)), 400.0, 121.0),
        ]
        facts = {
            "at": at,
            "run_id": run_id,
            "candidate": candidate.place,
            "against": live,
            "encoder": "b" * 16,
            "measures": measures,
            "alarms": sum(one["alarm"] for one in measures),
            "centroid": [0.0],
        }
        newest = Draft(run.store, layout.drift(at, run_id), "drift", run_id).seal({}, facts)
    return newest


def _measure(
    name: str, group: str, value: float | None, threshold: float | None, before: float | None
) -> dict[str, Any]:
    apart = None if value is None else value if before is None else abs(value - before)
    alarm = threshold is not None and apart is not None and apart > threshold
    says = f"{name.replace('_', ' ')} is {value:.4g}" if value is not None else "no older record has enough vectors"
    if threshold is not None:
        says += f"; {'over' if alarm else 'within'} the threshold {threshold:g}"
    return {
        "name": name, "group": group, "value": value, "before": before, "threshold": threshold,
        "alarm": alarm, "says": says,
    }  # fmt: skip


def _query(number: int, slices: int, loss: float) -> dict[str, Any]:
    random = np.random.default_rng([7, number])
    live = float(np.clip(random.beta(2, 2), 0, 1))
    moved = random.random() < 0.6
    candidate = float(np.clip(live - loss + (random.normal(0.02, 0.2) if moved else 0), 0, 1))
    overlap = float(random.integers(3, 10) / 10) if moved else 1.0
    words = random.choice(_WORDS, 4, replace=False)
    return {
        "query_id": f"q{number}",
        "query": f"how do I {' '.join(words)}?",
        "slice": _slice(number % slices),
        "candidate": _scores(candidate),
        "live": _scores(live),
        "overlap_at_10": overlap,
        "rank_biased_overlap": overlap**1.3,
    }


def _slice(number: int) -> str:
    first, second = _WORDS[number % len(_WORDS)], _WORDS[number * 7 // len(_WORDS) % len(_WORDS)]
    return f"{first} and {second}"


def _scores(ndcg: float) -> dict[str, Any]:
    at_1, at_10 = float(ndcg > 0.6), float(ndcg > 0.15)
    return {
        "ndcg_at_10": ndcg, "mrr_at_10": ndcg**1.2, "hit_rate_at_1": at_1, "hit_rate_at_10": at_10,
        "recall_at_10": min(1.0, 0.97 + ndcg * 0.03), "found": [f"guide:{n}.rst" for n in range(10)],
    }  # fmt: skip


def _compared(judged: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for metric in METRICS:
        sides = np.array([[one["candidate"][metric], one["live"][metric]] for one in judged])
        low, high = _interval(sides[:, 0] - sides[:, 1]) if len(judged) >= FEW else (None, None)
        candidate, live = sides.mean(axis=0)
        found[metric] = {
            "candidate": float(candidate), "live": float(live), "difference": float(candidate - live),
            "low": low, "high": high,
        }  # fmt: skip
    return found


def _interval(differences: npt.NDArray[np.float64]) -> tuple[float, float]:
    random = np.random.default_rng(1)
    means = [random.choice(differences, len(differences)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)


def _moved(judged: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    ordered = sorted(judged, key=lambda one: one["candidate"]["ndcg_at_10"] - one["live"]["ndcg_at_10"])
    shown = [_shown(one) for one in ordered]
    return {
        "losers": [one for one in shown[:MOVED] if one["difference"] < 0],
        "winners": [one for one in shown[: -MOVED - 1 : -1] if one["difference"] > 0],
    }


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    snippet = f"Use the method below to {one['query'][9:-1]}. " * 4
    places = ((1, 7, 1), (4, 1, None), (None, 3, 0), (2, None, 2))
    return {
        "query_id": one["query_id"],
        "query": one["query"],
        "slice": one["slice"],
        "difference": one["candidate"]["ndcg_at_10"] - one["live"]["ndcg_at_10"],
        "documents": [
            {
                "document_id": f"guide:user_guide/{number}.rst", "title": f"User guide, chapter {number}",
                "snippet": snippet[:200], "grade": grade, "rank_live": before, "rank_candidate": after,
            }
            for number, (before, after, grade) in enumerate(places)
        ],
    }  # fmt: skip
