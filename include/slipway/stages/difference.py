"""difference: what a new snapshot changes against the live release's, and the breaker that refuses too much of it."""

from __future__ import annotations

from collections.abc import Iterator

from slipway import layout, manifest, tables
from slipway.cleaning.reasons import REPEATS
from slipway.config.collection import Limits
from slipway.errors import BreakerTripped, OperationError
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter, fetch_parts, read_batches
from slipway.records import DIFFERENCE, SNAPSHOT
from slipway.run import Run

STAGE = "difference"
SHOWN = 5


def difference(run: Run, snapshot: Manifest, baseline: Manifest | None, *, allow_deletes: bool = False) -> Manifest:
    """Compare a snapshot with the live release's (`baseline`; None: nothing is live), by id and content hash.

    Part: `difference` (records.DIFFERENCE), sorted by `document_id`, what stayed the same left out. Counts: `added`,
    `changed`, `deleted`, `unchanged`, `documents` and `baseline_documents`. It is sealed before the deletions are
    judged, so that what was refused can be looked at. Raises `BreakerTripped` when more than limits.deleted_share of
    the live documents would vanish and `allow_deletes` is false, or when more than limits.rejected_share of the rows
    read were turned away (repeated texts not counted).
    """
    limits = run.collection.limits
    _check_rejected(snapshot, limits)
    place = layout.difference(baseline.fingerprint if baseline else None, snapshot.fingerprint)
    made = manifest.find(run.store, place) or _compare(run, snapshot, baseline, place)
    if not allow_deletes:
        _check_deleted(run, made, limits)
    return made


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


def _check_deleted(run: Run, made: Manifest, limits: Limits) -> None:
    deleted, before = made.counts["deleted"], made.counts["baseline_documents"]
    if before == 0 or deleted <= limits.deleted_share * before:
        return
    first = ", ".join(_first_deleted(run, made))
    raise BreakerTripped(
        f"{deleted:,} of the {before:,} live documents would vanish ({deleted / before:.1%}), more than "
        f"limits.deleted_share allows ({limits.deleted_share:.1%}). The first: {first}; all are in {made.place}. "
        "Nothing was released. If the source really lost them, run again with --allow-deletes; if nights like this "
        "are normal, raise limits.deleted_share in the collection file; else look at the source"
    )


def _first_deleted(run: Run, made: Manifest) -> Iterator[str]:
    left = SHOWN
    for batch in read_batches(fetch_parts(run.store, made, "difference", run.scratch)):
        for row in batch.to_pylist():
            if row["change"] == "deleted":
                yield row["document_id"]
                left -= 1
            if left == 0:
                return


def _check_rejected(snapshot: Manifest, limits: Limits) -> None:
    by_reason = {name: count for name, count in snapshot.facts["rejected_by_reason"].items() if name not in REPEATS}
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
