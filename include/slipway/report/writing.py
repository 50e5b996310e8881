"""candidate, measurements, verdict → the report on them. Light to import: the web server reads reports too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from slipway import layout
from slipway.evaluation.gates import Verdict
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.report.reading import DOCUMENT, PAGE
from slipway.run import Run

VERSION = 1


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report is of.

    `comparison` is None on a first release and without golden queries, `drift` where none was observed. `kind` says
    which DAG judged, `reason` why it was started, `seconds` is wall time by stage, and `planned` holds the plan's
    numbers (see slipway.planned).
    """

    candidate: Manifest
    evaluation: Manifest
    comparison: Manifest | None
    verdict: Verdict
    drift: Manifest | None
    reason: str
    kind: Literal["nightly", "reindex"]
    seconds: Mapping[str, float] = field(default_factory=dict)
    planned: Mapping[str, Any] | None = None

    @property
    def identity(self) -> str:
        """Names what was judged and how: a second report of one run is only written where that differs."""
        places = [one.place if one else None for one in (self.candidate, self.evaluation, self.comparison, self.drift)]
        return fingerprint("report", VERSION, places, self.verdict.as_json())


def write(run: Run, reported: Reported) -> Manifest:
    """Seal the report; skipped when this run has written the same one.

    Facts: `run_id`, `release_id` (that the candidate has, or would have), `candidate`, `kind`, `outcome`, `headline`
    and `made_at`. Objects: `report.html` and `report.json`. A run that judges again, because its candidate was brought
    up to date or a gate was changed, writes another beside the first. Raises `ObjectMissing`, `CorruptObject`.
    """
    from slipway.report.document import assemble
    from slipway.report.page import render
    from slipway.stages.release import name_release

    place, sealed = _place(run, reported.identity)
    if sealed:
        return sealed
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    document = assemble(run, reported, made_at)
    draft = Draft(run.store, place, "report", reported.identity)
    draft.add_json(DOCUMENT, document)
    run.scratch.mkdir(parents=True, exist_ok=True)
    page = run.scratch / f"report-{draft.attempt}.html"
    page.write_text(render(document), encoding="utf-8")
    draft.add_file(PAGE, page)
    facts = {
        "run_id": run.run_id,
        "release_id": name_release(reported.candidate, reported.evaluation),
        "candidate": reported.candidate.place,
        "kind": reported.kind,
        "outcome": reported.verdict.outcome,
        "headline": document["verdict"]["headline"],
        "made_at": made_at,
    }
    return draft.seal({"gates": len(reported.verdict.gates)}, facts)


def _place(run: Run, print_of: str) -> tuple[str, Manifest | None]:
    """The place of the run's report with this fingerprint, and the report where it is there."""
    for number in count(1):
        place = layout.report(run.run_id) if number == 1 else layout.report(f"{run.run_id}.{number}")
        sealed = find(run.store, place)
        if sealed is None or sealed.fingerprint == print_of:
            return place, sealed
    raise AssertionError("count ends never")
