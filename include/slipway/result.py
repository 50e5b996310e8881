"""What a run did, in one JSON document for people and scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from slipway import layout, planned
from slipway.checkpoint import Start
from slipway.choosing import FACT
from slipway.evaluation.gates import Verdict
from slipway.manifest import Manifest
from slipway.run import Run
from slipway.stages.embed import Embedded
from slipway.stages.release import Released
from slipway.throughput import together

COMPARED = ("live", "queries", "alpha", "metrics", "by_slice", "neighbours", "noise")  # facts of a comparison
VERDICTS = {"pass": "passed", "fail": "failed", "undecided": "undecided"}

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(slots=True)
class Steps:
    """What the stages of one run returned, as far as it came. `seconds` is wall time by stage.

    `raw` and `cleaned` hold a manifest a source. `reconciled` is a dataclass of counts. `failed` tells what went wrong
    beside the way to the release, and did not end the run: {"task", "error"} each.
    """

    start: Start | None = None
    raw: Sequence[Manifest] = ()
    cleaned: Sequence[Manifest] = ()
    snapshot: Manifest | None = None
    difference: Manifest | None = None
    chunks: Manifest | None = None
    plan: Manifest | None = None
    embedded: Sequence[Embedded] = ()
    candidate: Manifest | None = None
    reconciled: DataclassInstance | None = None
    evaluation: Manifest | None = None
    comparison: Manifest | None = None
    drift: Manifest | None = None
    verdict: Verdict | None = None
    released: Released | None = None
    report: Manifest | None = None
    failed: Sequence[Mapping[str, str]] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def assemble(run: Run, steps: Steps) -> dict[str, Any]:
    """The run's result. Keys of stages that did not run are missing; `released` and `seconds` are always there."""
    result: dict[str, Any] = {
        "collection": run.collection.name,
        "run_id": run.run_id,
        "released": False,
        "release_id": None,
    }
    if steps.start:
        result |= {"allowed": list(steps.start.allowed), "full": steps.start.full}
        if steps.start.note:
            result["note"] = steps.start.note
    if steps.raw:
        result["sources"] = _sources(steps)
    result |= _documents(steps) | _vectors(steps) | _judged(steps)
    if steps.drift:
        result["drift"] = _drift(steps.drift)
    if steps.candidate:
        result["index"] = _index(steps.candidate, steps.evaluation)
    if steps.reconciled:
        result["reconciled"] = asdict(steps.reconciled)
    if steps.released:
        result |= asdict(steps.released) | {"shift": list(steps.released.shift)}
        result["nothing_changed"] = not steps.released.released and not result.get("embedded")
    if steps.report:
        result["report"] = steps.report.place
    if steps.failed:
        result["failed"] = [dict(one) for one in steps.failed]
    result["seconds"] = {stage: round(seconds, 3) for stage, seconds in steps.seconds.items()}
    return result


def write(run: Run, result: Mapping[str, Any]) -> None:
    """Keep the result in the store."""
    run.store.put(layout.result(run.run_id), json.dumps(result, indent=1, sort_keys=True, ensure_ascii=False).encode())


def _sources(steps: Steps) -> list[dict[str, Any]]:
    """How each source was read. `cleaned` is the number of rows that were turned into documents, or away, anew."""
    cleaned = {one.facts["source"]: one.counts["documents"] + one.counts["rejected"] for one in steps.cleaned}
    return [
        {
            "source": raw.facts["source"],
            "mode": raw.facts["mode"],
            "reason": raw.facts["reason"],
            "rows": raw.counts["rows"],
            "deleted": raw.counts["deleted"],
            "cleaned": cleaned.get(raw.facts["source"]),
        }
        for raw in steps.raw
    ]


def _documents(steps: Steps) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if steps.snapshot:
        found["documents_in"] = steps.snapshot.counts["documents_in"]
        found["rejected"] = dict(steps.snapshot.facts["rejected_by_reason"])
        found["documents"] = steps.snapshot.counts["documents"]
    if steps.difference:
        found |= {name: steps.difference.counts[name] for name in ("added", "changed", "deleted", "unchanged")}
    return found


def _vectors(steps: Steps) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if steps.chunks:
        found["chunks"] = steps.chunks.counts["chunks"]
    if steps.plan:
        found["plan"] = planned.numbers(steps.plan)
        found["embedded"] = sum(shard.embedded + shard.resumed for shard in steps.embedded)
        found["reused"] = steps.plan.counts["reused"]
        if took := together(shard.throughput for shard in steps.embedded if shard.throughput):
            found["embedding"] = took.facts()
    if steps.candidate:
        found["vectors"] = steps.candidate.counts["vectors"]
    return found


def _index(candidate: Manifest, evaluation: Manifest | None) -> dict[str, Any]:
    spec = candidate.facts["spec"]
    index: dict[str, Any] = {
        "spec": spec["factory"],
        "reason": spec["reason"],
        "metric": spec["metric"],
        "dimension": candidate.facts["dimension"],
        "vectors": candidate.counts["vectors"],
        "bytes": candidate.counts["index_bytes"],
    }
    if "update" in candidate.facts:  # a candidate of an older version was always built
        index["update"] = candidate.facts["update"]
    if shards := candidate.facts.get("shards"):
        index["shards"] = {"built_in": shards["built_in"], "apart": shards["apart"]}
    if FACT in candidate.facts:
        index[FACT] = candidate.facts[FACT]
    if evaluation:
        index |= {name: evaluation.facts[name] for name in ("parameters", "parameters_reason")}
    return index


def _drift(record: Manifest) -> dict[str, Any]:
    """Where the record lies, what its alarms say, and the measures without their sentences."""
    measures = record.facts["measures"]
    return {
        "place": record.place,
        "against": record.facts["against"],
        "alarms": [one["says"] for one in measures if one["alarm"]],
        "measures": [{name: one[name] for name in one if name != "says"} for one in measures],
    }


def _judged(steps: Steps) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if steps.evaluation:
        found["evaluation"] = steps.evaluation.place
        found["metrics"] = dict(steps.evaluation.facts["metrics"])
        found["by_slice"] = steps.evaluation.facts.get("by_slice", {})
        found["judged_missing"] = steps.evaluation.facts.get("judged_missing", [])
    if steps.comparison:
        facts = steps.comparison.facts
        found["comparison"] = {"place": steps.comparison.place} | {name: facts[name] for name in COMPARED}
    if steps.verdict:
        found["gates"] = steps.verdict.as_json()
        found["verdict"] = VERDICTS[steps.verdict.outcome]
        if not steps.verdict.passed:
            found["reason"] = "; ".join(steps.verdict.reasons)
    return found
