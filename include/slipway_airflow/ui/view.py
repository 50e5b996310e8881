"""Stored numbers → what a page shows. Pure, and patient: a result of a failed run or of another version lacks keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slipway.cleaning.reasons import MEANINGS
from slipway.config.metrics import METRICS
from slipway_airflow.campaign_report import PARTS
from slipway_airflow.report import STAGES
from slipway_airflow.ui import view_upgrade
from slipway_airflow.ui.formats import (
    NONE,
    count,
    duration,
    is_number,
    mapping,
    mappings,
    milliseconds,
    minutes,
    number,
    sequence,
    share,
    size,
)
from slipway_airflow.ui.view_drift import drift_rows

LISTED = 20  # names shown of a list that can be long
GOOD, BAD, PLAIN = "good", "bad", "plain"
METRIC_GROUPS = {
    "Recall: what the index finds of the exact nearest": ("recall_at_1", "recall_at_10", "recall_at_100"),
    "Relevance: what people find, on golden queries": (
        "ndcg_at_10",
        "mrr_at_10",
        "hit_rate_at_1",
        "hit_rate_at_10",
        "exact_ndcg_at_10",
        "exact_hit_rate_at_10",
    ),
    "Latency of one search, one thread": ("p50_ms", "p95_ms", "p99_ms"),
}
UNTOUCHED = "Nothing was released; the live release serves on."
NOTHING_CHANGED = "Nothing was embedded, and the live release is what this run would have built. It serves on."
CHANGES = ("added", "changed", "deleted", "unchanged")
STANDINGS = {
    "live": "It is live now.",
    "trial": "It is on trial now: readers give it a share of the requests.",
    "standby": "It is on standby now, ready for a rollback.",
    "retained": "It is not live any more.",
}


def run_page(result: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the result page shows of a run's result, formatted."""
    return {
        "headline": headline(result),
        "note": str(result.get("note") or ""),
        "tiles": _tiles(result),
        "gates": sorted(map(_gate, mappings(result.get("gates"))), key=lambda gate: gate["passed"]),
        "failed": mappings(result.get("failed")),
        "allowed": allowed(result.get("allowed")),
        "full": result.get("full") is True,
        "plan": plan_rows(mapping(result.get("plan"))),
        "sources": [_source(one) for one in mappings(result.get("sources"))],
        "documents": _documents(result),
        "rejected": _rejected(result),
        "vectors": _vectors(result),
        "index": _index(mapping(result.get("index"))),
        "built": _update(mapping(mapping(result.get("index")).get("update"))),
        "reconciled": [(name, count(value)) for name, value in mapping(result.get("reconciled")).items()],
        "metrics": _metrics(mapping(result.get("metrics"))),
        "drift": drift_rows(mapping(result.get("drift"))),
        "shift": [_step(one) for one in mappings(result.get("shift"))],
        "slices": _slices(mapping(result.get("by_slice"))),
        "judged_missing": _first([str(one) for one in sequence(result.get("judged_missing"))]),
        "seconds": _seconds(mapping(result.get("seconds"))),
        "upgrade": view_upgrade.upgrade_rows(result),
        "decision": view_upgrade.decision_rows(mapping(result.get("approval"))),
        "comparison": view_upgrade.comparison(mapping(result.get("comparison"))),
    }


def headline(result: Mapping[str, Any]) -> dict[str, str]:
    """How the run ended, in a word, its colour, and a sentence."""
    reason = str(result.get("reason") or "")
    sentence = reason[:1].upper() + reason[1:]
    if result.get("released"):
        return {"word": "Released", "tone": GOOD, "sentence": sentence}
    if mapping(result.get("approval")).get("approved") is False:
        return {"word": "Rejected", "tone": BAD, "sentence": sentence or UNTOUCHED}
    if result.get("verdict") == "failed":
        return {
            "word": "Refused by its gates",
            "tone": BAD,
            "sentence": f"{reason}. {UNTOUCHED}" if reason else UNTOUCHED,
        }
    if result.get("verdict") == "undecided":
        return {
            "word": "Undecided by its gates",
            "tone": BAD,
            "sentence": f"{reason}. {UNTOUCHED}" if reason else UNTOUCHED,
        }
    if result.get("failed"):
        return {"word": "Failed", "tone": BAD, "sentence": UNTOUCHED}
    if result.get("nothing_changed") is True:
        return {"word": "Nothing changed", "tone": GOOD, "sentence": NOTHING_CHANGED}
    if result.get("verdict") == "passed":
        return {"word": "Passed, not released", "tone": PLAIN, "sentence": sentence}
    return {"word": "Ended before its verdict", "tone": BAD, "sentence": sentence or UNTOUCHED}


def allowed(names: Any) -> str:
    """What a run was allowed although a breaker or a budget forbade it: "deletes, over budget"."""
    return ", ".join(str(name).replace("_", " ") for name in sequence(names))


def plan_rows(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a run has to do, and what that will cost. `plan` has the keys of slipway.planned.numbers."""
    if not plan:
        return []
    rows = [(name, count(plan[name])) for name in CHANGES if name in plan]
    rows += [
        ("chunks", count(plan.get("chunks"))),
        ("with a vector already", count(plan.get("reused"))),
        ("chunks to embed", count(plan.get("to_embed"))),
        ("tokens to embed", count(plan.get("tokens"))),
    ]
    if plan.get("to_embed") != 0:
        rows += [
            ("estimated time", minutes(plan.get("minutes"))),
            ("at a speed of", f"{count(plan.get('tokens_per_second'))} tokens/s"),
            ("taken from", str(plan.get("measured", NONE))),
            ("vectors to write", size(plan.get("bytes"))),
        ]
    return rows


def standing(found: Mapping[str, Any] | None) -> str:
    """Where the run's release stands now, as a sentence."""
    if not found:
        return ""
    if found["state"] == "withdrawn":
        return f"It was withdrawn: {found['why']}"
    said = STANDINGS[found["state"]]
    return said if found["state"] == "live" or not found["live"] else f"{said} Live is {found['live']}."


def _step(step: Mapping[str, Any]) -> dict[str, str]:
    """One share of a shift."""
    return {
        "percent": f"{count(step.get('percent'))} %",
        **{name: count(step.get(name)) for name in ("readers", "queries", "errors")},
        **{name: milliseconds(step.get(name)) for name in ("p95_ms", "live_p95_ms")},
    }


def _first(names: list[str]) -> dict[str, Any]:
    return {"names": names[:LISTED], "count": len(names), "more": max(0, len(names) - LISTED)}


def _tiles(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    metrics, seconds = mapping(result.get("metrics")), _numbers(mapping(result.get("seconds")))
    tiles = [
        ("documents", count(result.get("documents"))),
        ("recall@10", share(metrics.get("recall_at_10"))),
        ("nDCG@10", share(metrics.get("ndcg_at_10"))),
        ("hit rate@10", share(metrics.get("hit_rate_at_10"))),
        ("p95 latency", milliseconds(metrics.get("p95_ms"))),
        ("time of all stages", duration(sum(seconds.values())) if seconds else NONE),
    ]
    return [tile for tile in tiles if tile[1] != NONE]


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    metric = str(gate.get("metric"))
    reason = str(gate.get("reason") or "").removeprefix(f"{metric} ")
    passed = gate.get("passed") is True
    word = "pass" if passed else "undecided" if gate.get("undecided") is True else "fail"
    return {"metric": metric, "passed": passed, "word": word, "reason": reason, "meaning": _meaning(metric)}


def _documents(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "documents_in" not in result:
        return []
    rejected = _numbers(mapping(result.get("rejected")))
    rows = [
        ("rows", count(result["documents_in"])),
        ("rejected", count(sum(rejected.values()))),
        ("documents", count(result.get("documents"))),
    ]
    return rows + [(name, count(result[name])) for name in CHANGES if name in result]


def _rejected(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    rejected = _numbers(mapping(result.get("rejected")))
    ordered = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    return [(reason, count(number), MEANINGS.get(reason, "")) for reason, number in ordered]


def _vectors(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {"chunks": "chunks", "embedded": "vectors embedded", "reused": "vectors reused", "vectors": "vectors"}
    rows = [(label, count(result[name])) for name, label in names.items() if name in result]
    speed = mapping(result.get("embedding"))
    if speed:
        made_by = f"on {speed.get('device', NONE)} by {speed.get('backend', NONE)}"
        rows.append(("speed of embedding", f"{count(speed.get('tokens_per_second'))} tokens/s a worker, {made_by}"))
    return rows


def _index(index: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not index:
        return []
    rows = [
        ("spec", str(index.get("spec", NONE))),
        ("chosen because", str(index.get("reason", NONE))),
        ("metric", str(index.get("metric", NONE)).replace("_", " ")),
        ("vectors", f"{count(index.get('vectors'))} × {count(index.get('dimension'))}"),
        ("size", size(index.get("bytes"))),
    ]
    if parameters := mapping(index.get("parameters")):
        rows.append(("search parameters", ", ".join(f"{name} = {value}" for name, value in parameters.items())))
    if index.get("parameters_reason"):
        rows.append(("set because", str(index["parameters_reason"])))
    if shards := mapping(index.get("shards")):
        how = f"searched side by side: {shards['apart']}" if shards.get("apart") else "merged"
        rows.append(("built in", f"{count(shards.get('built_in'))} shards, {how}"))
    if confirmed := mapping(mapping(index.get("contract")).get("confirmed")):
        recall, p95 = confirmed.get("recall_at_10", NONE), confirmed.get("p95_ms", NONE)
        rows.append(("contract", f"kept: recall@10 {recall}, p95 {p95} ms, {size(confirmed.get('memory_bytes'))}"))
    return rows


def _source(source: Mapping[str, Any]) -> dict[str, str]:
    """How one source was read."""
    mode = source.get("mode")
    return {
        "name": str(source.get("source", NONE)),
        "mode": {"full": "all rows", "changes": "changes only"}.get(str(mode), str(mode)),
        "reason": str(source.get("reason") or ""),
        **{name: count(source.get(name)) for name in ("rows", "deleted", "cleaned")},
    }


def _update(update: Mapping[str, Any]) -> dict[str, Any]:
    """How the index came about, and the triggers that decided it; {} when the result does not say."""
    if not update:
        return {}
    rows = [("kind", {"updated": "updated in place", "built": "built anew"}.get(str(update.get("kind")), NONE))]
    if update.get("base"):
        rows.append(("from release", str(update["base"])))
    if update.get("kind") == "updated":
        rows += [(f"vectors {name}", count(update.get(name))) for name in ("added", "removed")]
    rows.append(("because", str(update.get("reason", NONE))))
    return {"rows": rows, "triggers": [_trigger(one) for one in mappings(update.get("triggers"))]}


def _trigger(trigger: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": str(trigger.get("name", NONE)).replace("_", " "),
        "value": number(trigger.get("value")),
        "limit": number(trigger.get("limit")),
        "fired": trigger.get("fired") is True,
    }


def _metrics(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = []
    for title, names in METRIC_GROUPS.items():
        rows = [(name, _value(name, metrics[name]), _meaning(name)) for name in names if name in metrics]
        if rows:
            groups.append({"title": title, "rows": rows})
    return groups


def _slices(by_slice: Mapping[str, Any]) -> dict[str, Any]:
    named = {str(name): mapping(values) for name, values in by_slice.items()}
    columns = sorted({str(metric) for values in named.values() for metric in values}, key=lambda m: _place(m, METRICS))
    rows = [(name, [share(values.get(metric)) for metric in columns]) for name, values in named.items()]
    return {"columns": columns, "rows": rows}


def _seconds(seconds: Mapping[str, Any]) -> dict[str, Any]:
    order = PARTS if "judge" in seconds or "sample" in seconds else STAGES
    spent = dict(sorted(_numbers(seconds).items(), key=lambda item: _place(item[0], order)))
    rows = [{"stage": stage, "text": duration(value), "value": value} for stage, value in spent.items()]
    return {"rows": rows, "longest": max([*spent.values(), 0.001]), "total": duration(sum(spent.values()))}


def _place(name: str, order: Iterable[str]) -> tuple[int, str]:
    """Stored objects have their keys in alphabetical order; people read them in the order of the work."""
    known = list(order)
    return (known.index(name) if name in known else len(known), name)


def _value(metric: str, value: Any) -> str:
    return milliseconds(value) if metric in METRICS and METRICS[metric].unit == "ms" else share(value)


def _meaning(metric: str) -> str:
    return METRICS[metric].meaning if metric in METRICS else ""


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): value for name, value in values.items() if is_number(value)}
