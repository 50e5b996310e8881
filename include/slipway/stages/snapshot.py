"""snapshot: the clean documents of all sources → one state of the whole collection, without duplicates.

Three rules, in this order, each on what the one before left:

1. Of rows with one `document_id`, the one with the smallest `content_hash` is kept: a rule that does not depend on
   the order in which a database happens to return rows, so the same rows give the same snapshot every night.
2. Of equal texts, the smallest `document_id` is kept (clean.duplicates: exact or near).
3. In the order of ids, a document is dropped when it is at least clean.near_threshold similar to a smaller one that
   was kept (clean.duplicates: near). A dropped document never drops another, so there are no chains.

DuckDB does the work over the parts, so memory does not grow with the collection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from slipway import layout, manifest, tables
from slipway.cleaning import near, pairs, reasons
from slipway.cleaning.tally import add_up, check_balance
from slipway.cleaning.text import excerpt
from slipway.config.collection import Clean
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter, fetch_parts
from slipway.records import DOCUMENTS, REJECTED, SNAPSHOT
from slipway.run import Run

STAGE = "snapshot"
VERSION = 1  # raise it when the same clean documents would give another snapshot
NO_ROW = -1


def snapshot(run: Run, cleaned: Sequence[Manifest]) -> Manifest:
    """One state of the whole collection, from the output of clean for each source; skipped when it is there already.

    Parts: `documents` (records.SNAPSHOT), sorted by `document_id`, which is unique; `rejected` (records.REJECTED),
    the duplicates, sorted likewise, with row -1. Counts: `documents_in` (rows read of all sources), `documents`,
    `rejected` (by clean and here). Facts: `rejected_by_reason` (clean and here), `sources` (per source `rows`,
    `documents`, `rejected`). Raises `OperationError` when the numbers do not add up.
    """
    settings = run.collection.clean
    inputs = {str(one.facts["source"]): one.digest for one in cleaned}
    print_of = manifest.fingerprint(STAGE, VERSION, *_duplicates(settings), [[*pair] for pair in inputs.items()])
    place = layout.snapshot(print_of)
    sealed = manifest.find(run.store, place)
    if sealed is not None:
        return sealed
    draft = Draft(run.store, place, STAGE, print_of, inputs)
    scratch = run.scratch / STAGE
    paths = [path for one in cleaned for path in fetch_parts(run.store, one, "documents", run.scratch)]
    with tables.duck(run.scratch) as session:
        tables.view(session, "cleaned", paths, DOCUMENTS)
        _drop_duplicates(session, settings, run)
        with PartWriter(draft, "documents", scratch) as documents, PartWriter(draft, "rejected", scratch) as rejected:
            _write_documents(session, documents, run, sum(one.counts["documents"] for one in cleaned))
            turned = _write_rejected(session, rejected)
    counts, facts = _sums(cleaned, turned)
    counts["documents"] = documents.rows
    check_balance("snapshot", counts["documents_in"], counts["documents"], counts["rejected"])
    return draft.seal(counts, facts)


def _duplicates(settings: Clean) -> tuple[object, ...]:
    if settings.duplicates != "near":
        return (settings.duplicates,)
    return (settings.duplicates, settings.near_threshold, near.SCHEME)


def _drop_duplicates(session: duckdb.DuckDBPyConnection, settings: Clean, run: Run) -> None:
    """Make the table `kept` (position, document_id) and the table `dropped` (position, reason, detail)."""
    session.execute(
        "CREATE TABLE row AS SELECT position, document_id, text_hash, "
        "row_number() OVER (PARTITION BY document_id ORDER BY content_hash, position) AS copy FROM cleaned"
    )
    session.execute("CREATE TABLE dropped (position BIGINT, reason VARCHAR, detail VARCHAR)")
    session.execute(
        "INSERT INTO dropped SELECT position, ?, 'another row with the id ' || document_id || ' was kept' "
        "FROM row WHERE copy > 1",
        [reasons.DUPLICATE_ID],
    )
    session.execute("CREATE TABLE kept AS SELECT position, document_id, text_hash FROM row WHERE copy = 1")
    if settings.duplicates in ("exact", "near"):
        _drop_equal_texts(session)
    if settings.duplicates == "near":
        pairs.drop_near_duplicates(session, settings.near_threshold, run.scratch / STAGE, run.progress)


def _drop_equal_texts(session: duckdb.DuckDBPyConnection) -> None:
    session.execute(
        "INSERT INTO dropped SELECT position, ?, 'same text as ' || first FROM "
        "(SELECT *, min(document_id) OVER (PARTITION BY text_hash) AS first FROM kept) WHERE document_id > first",
        [reasons.DUPLICATE],
    )
    session.execute("DELETE FROM kept WHERE position IN (SELECT position FROM dropped)")


def _write_documents(session: duckdb.DuckDBPyConnection, parts: PartWriter, run: Run, total: int) -> None:
    columns = ", ".join(f"cleaned.{name}" for name in SNAPSHOT.names)
    query = f"SELECT {columns} FROM cleaned SEMI JOIN kept USING (position) ORDER BY cleaned.document_id"
    for batch in tables.batches(session, query):
        parts.write(batch.cast(SNAPSHOT))
        run.progress(STAGE, parts.rows, total, "documents")


def _write_rejected(session: duckdb.DuckDBPyConnection, parts: PartWriter) -> list[tuple[str, str, int]]:
    """Write the duplicates; returns how many, by source and reason."""
    query = (
        "SELECT source, document_id, reason, detail, left(text, 800) AS beginning "
        "FROM cleaned JOIN dropped USING (position) ORDER BY document_id, content_hash"
    )
    counted: Counter[tuple[str, str]] = Counter()
    for batch in tables.batches(session, query):
        rows = [{"row": NO_ROW, "excerpt": excerpt(values.pop("beginning")), **values} for values in batch.to_pylist()]
        counted.update((row["source"], row["reason"]) for row in rows)
        parts.write(pa.RecordBatch.from_pylist(rows, schema=REJECTED))
    return [(source, reason, number) for (source, reason), number in counted.items()]


def _sums(cleaned: Sequence[Manifest], turned: list[tuple[str, str, int]]) -> tuple[dict[str, int], dict[str, object]]:
    sources = {str(one.facts["source"]): dict(one.counts) for one in cleaned}
    for source, _, number in turned:
        sources[source]["documents"] -= number
        sources[source]["rejected"] += number
    counts = {
        "documents_in": sum(one["rows"] for one in sources.values()),
        "rejected": sum(one["rejected"] for one in sources.values()),
    }
    here = ({reason: number} for _, reason, number in turned)
    by_reason = add_up([*(one.facts["rejected_by_reason"] for one in cleaned), *here])
    return counts, {"rejected_by_reason": by_reason, "sources": sources}
