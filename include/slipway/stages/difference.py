"""difference: what a new snapshot changes against the live release's, and the breaker that refuses too much of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slipway import checkpoint, layout, manifest, tables
from slipway.cleaning.reasons import HARMLESS
from slipway.config.collection import Limits
from slipway.errors import BreakerTripped, OperationError
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter, fetch_parts, read_batches
from slipway.records import DIFFERENCE, SNAPSHOT
from slipway.run import Run

STAGE = "difference"
SHOWN = 5
AGAIN = "run again"


@dataclass(frozen=True, slots=True)
class _Breaker:
    """One bound on a share of the live documents: the change it counts, the field of limits, and what allows more."""

    change: str
    field: str
    allowance: str
    happens: str
    look: str


_BREAKERS = (
    _Breaker("deleted", "deleted_share", "deletes", "would vanish", "if the source really lost them"),
    _Breaker(
        "changed", "changed_share", "changes", "would change",
        "if the source really changed them, or the collection file's templates or clean section did",
    ),
)  # fmt: skip


def difference(run: Run, snapshot: Manifest, baseline: Manifest | None) -> Manifest:
    """Compare a snapshot with the live release's (`baseline`; None: nothing is live), by id and content hash.

    Part: `difference` (records.DIFFERENCE), sorted by `document_id`, what stayed the same left out. Counts: `added`,
    `changed`, `deleted`, `unchanged`, `documents` and `baseline_documents`. Skipped when the two were compared before.
    """
    place = layout.difference(baseline.fingerprint if baseline else None, snapshot.fingerprint)
    return manifest.find(run.store, place) or _compare(run, snapshot, baseline, place)


def check_breaker(run: Run, snapshot: Manifest, made: Manifest, again: str = AGAIN) -> None:
    """Let a difference pass, or raise `BreakerTripped`. What is refused is sealed, so that it can be looked at.

    Refused are a snapshot of which more than limits.rejected_share of the rows were turned away (deleted rows and
    repeated texts not counted), and a difference by which more than limits.deleted_share of the live documents would
    vanish or more than limits.changed_share would change; a run may have been allowed the latter two ("deletes",
    "changes"). `again` says in the refusal what to run with such an allowance.
    """
    limits = run.collection.limits
    _check_rejected(snapshot, limits)
    allowed = checkpoint.start_of(run).allowed
    tripped = [one for one in _BREAKERS if one.allowance not in allowed and _is_tripped(made, one, limits)]
    if tripped:  # all of them at once: a refusal a night would cost as many nights
        raise BreakerTripped("\n".join(_refusal(run, made, one, limits, again) for one in tripped))


def _compare(run: Run, snapshot: Manifest, baseline: Manifest | None, place: str) -> Manifest:
    inputs = {"snapshot": snapshot.digest} | ({"baseline": baseline.digest} if baseline else {})
    print_of = place.rpartition("/")[2]
    draft = Draft(run.store, place, STAGE, print_of, inputs)
    counts = {"added": 0, "changed": 0, "deleted": 0}
    with tables.duck(run.scratch) as session, PartWriter(draft, "difference", run.scratch / STAGE) as parts:
        for name, one in (("new", snapshot), ("old", baseline)):
            paths = fetch_parts(run.store, one, "documents", run.scratch) if one else []
            tables.view(session, name, paths, SNAPSHOT)
        for batch in tables.batches(session, _CHANGES):
            parts.write(batch.cast(DIFFERENCE))
            for pair in batch.column("change").value_counts().to_pylist():
                counts[pair["values"]] += pair["counts"]
    documents, before = snapshot.counts["documents"], baseline.counts["documents"] if baseline else 0
    counts |= {"unchanged": documents - counts["added"] - counts["changed"]}
    counts |= {"documents": documents, "baseline_documents": before}
    _check_sums(counts)
    return draft.seal(counts, {"snapshot": snapshot.place, "baseline": baseline.place if baseline else None})


_CHANGES = """
SELECT coalesce(new.document_id, old.document_id) AS document_id,
       CASE WHEN old.document_id IS NULL THEN 'added' WHEN new.document_id IS NULL THEN 'deleted' ELSE 'changed' END
       AS change
FROM new FULL JOIN old ON new.document_id = old.document_id
WHERE old.document_id IS NULL OR new.document_id IS NULL OR new.content_hash <> old.content_hash
ORDER BY 1
"""


def _check_sums(counts: dict[str, int]) -> None:
    before = counts["deleted"] + counts["changed"] + counts["unchanged"]
    if before != counts["baseline_documents"] or counts["unchanged"] < 0:
        raise OperationError(
            f"difference: the live snapshot has {counts['baseline_documents']} documents, but {before} were deleted, "
            "changed or left unchanged; nothing was sealed. Run it again, and report it if it happens again"
        )


def _is_tripped(made: Manifest, breaker: _Breaker, limits: Limits) -> bool:
    share: float = getattr(limits, breaker.field)
    return made.counts[breaker.change] > share * made.counts["baseline_documents"]


def _refusal(run: Run, made: Manifest, breaker: _Breaker, limits: Limits, again: str) -> str:
    number, before = made.counts[breaker.change], made.counts["baseline_documents"]
    first = ", ".join(_first(run, made, breaker.change))
    return (
        f"{number:,} of the {before:,} live documents {breaker.happens} ({number / before:.1%}), more than "
        f"limits.{breaker.field} allows ({getattr(limits, breaker.field):.1%}). The first: {first}; all are in "
        f"{made.place}. Nothing was released. Look at the source; {breaker.look}, {again} with "
        f"--allow-{breaker.allowance} (or the DAG's parameter allow_{breaker.allowance}); if nights like this are "
        f"normal, raise limits.{breaker.field} in the collection file"
    )


def _first(run: Run, made: Manifest, change: str) -> Iterator[str]:
    left = SHOWN
    for batch in read_batches(fetch_parts(run.store, made, "difference", run.scratch)):
        for row in batch.to_pylist():
            if row["change"] == change:
                yield row["document_id"]
                left -= 1
            if left == 0:
                return


def _check_rejected(snapshot: Manifest, limits: Limits) -> None:
    by_reason = {name: count for name, count in snapshot.facts["rejected_by_reason"].items() if name not in HARMLESS}
    rejected, rows = sum(by_reason.values()), snapshot.counts["documents_in"]
    if rejected <= limits.rejected_share * rows:
        return
    counted = ", ".join(f"{name} {count:,}" for name, count in sorted(by_reason.items(), key=lambda item: -item[1]))
    raise BreakerTripped(
        f"{rejected:,} of the {rows:,} rows read were turned away ({rejected / rows:.1%}), more than "
        f"limits.rejected_share allows ({limits.rejected_share:.1%}): {counted}. Nothing was released. Look at the "
        "rejected rows of the clean stage, then mend the source or the collection file's templates and clean section; "
        "if it is right that so many are turned away, raise limits.rejected_share"
    )
