"""snapshot: the base snapshot and what was cleaned since → one state of the whole collection, without duplicates.

A snapshot holds every row that is known, so that the next night needs to look only at what changed: documents,
duplicates with their text (one comes back when its twin goes), and rejected rows. Of the base stay, source by source,
the rows that a full reading found unchanged, or the rows that a reading of changes did not replace. Rows without an id
cannot be replaced one by one: those that a reading of changes brings stand for all of them until the next full reading.

Duplicates are decided anew over the whole, by three rules, in this order, each on what the one before left:

1. Of rows with one `document_id`, the one with the smallest `content_hash` is kept: a rule that does not depend on
   the order in which a database happens to return rows, so the same rows give the same snapshot every night.
2. Of equal texts, the smallest `document_id` is kept (clean.duplicates: exact or near).
3. In the order of ids, a document is dropped when it is at least clean.near_threshold similar to a smaller one that
   was kept (clean.duplicates: near). A dropped document never drops another, so there are no chains.

DuckDB does the work over the parts, so memory does not grow with the collection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from slipway import layout, manifest, tables
from slipway.cleaning import near, pairs, reasons
from slipway.cleaning.tally import check_balance
from slipway.config.collection import Clean
from slipway.manifest import Draft, Manifest
from slipway.parts import PartWriter, fetch_parts
from slipway.records import DELETED, DOCUMENTS, DUPLICATES, REJECTED, ROW_KEYS
from slipway.run import Run

STAGE = "snapshot"
VERSION = 3  # raise it when the same clean documents would give another snapshot


def snapshot(run: Run, cleaned: Sequence[Manifest]) -> Manifest:
    """One state of the whole collection, from the output of clean for each source; skipped when it is there already.

    Parts: `documents` (records.DOCUMENTS), sorted by `document_id`, which is unique; `duplicates` (records.DUPLICATES),
    sorted likewise; `rejected` (records.REJECTED). Counts: `documents_in` (rows known of all sources), `documents`,
    `rejected` (by clean, and duplicates). Facts: `content` (SHA-256 of the ids and content hashes: equal documents have
    equal `content`, however they came together), `rejected_by_reason`, `sources` (per source `rows`, `documents`,
    `rejected`), `repeated_ids` (sources with an id that several rows hold, whether these became documents or were
    rejected), `base` (place of the snapshot that this one was made from, or None) and `duplicates` (the rules).
    When nothing changed against the base, the base itself is returned. Raises `OperationError` when the numbers do not
    add up.
    """
    settings = run.collection.clean
    base = _base(run, cleaned)
    inputs = {str(one.facts["source"]): one.digest for one in cleaned}
    rules = _rules(settings)
    print_of = manifest.fingerprint(STAGE, rules, base.place if base else None, [[*pair] for pair in inputs.items()])
    place = layout.snapshot(print_of)
    sealed = manifest.find(run.store, place)
    if sealed is not None:
        return sealed
    with tables.duck(run.scratch, tables.SMALL_MEMORY) as session:
        rows = _Rows(run, session, base, cleaned)
        rows.gather()
        rows.check()
        if base is not None and base.facts["duplicates"] == rules and _is_same(session, base):
            return base
        draft = Draft(run.store, place, STAGE, print_of, inputs)
        return _seal(run, session, draft, settings, {"base": base.place if base else None, "duplicates": rules})


def _base(run: Run, cleaned: Sequence[Manifest]) -> Manifest | None:
    """The snapshot that the readings were compared with. A source that is read anew from nothing has none."""
    places = {one.facts["base"] for one in cleaned} - {None}
    if len(places) > 1:
        raise ValueError(f"one run builds on one base, but its readings name {sorted(places)}")
    return manifest.load(run.store, places.pop()) if places else None


def _rules(settings: Clean) -> list[Any]:
    if settings.duplicates != "near":
        return [VERSION, settings.duplicates]
    return [VERSION, settings.duplicates, settings.near_threshold, near.SCHEME]


class _Rows:
    """Everything that is known, in one session: the view `cleaned` (documents) and the view `turned` (rejected)."""

    def __init__(
        self, run: Run, session: duckdb.DuckDBPyConnection, base: Manifest | None, cleaned: Sequence[Manifest]
    ) -> None:
        self._run, self._session, self._base, self._cleaned = run, session, base, cleaned

    def gather(self) -> None:
        self._session.execute("CREATE TABLE unchanged (source VARCHAR, row_hash BLOB, copy INT)")
        self._session.execute("CREATE TABLE replaced (document_id VARCHAR)")
        self._session.execute("CREATE TABLE reading (source VARCHAR, is_full BOOLEAN, brings_idless BOOLEAN)")
        for number, one in enumerate(self._cleaned):
            if one.facts["base"] is None:  # nothing of the base counts for this source
                continue
            source = one.facts["source"]
            of_reading = [source, one.facts["mode"] == "full", one.facts["without_id"] > 0]
            self._session.execute("INSERT INTO reading VALUES (?, ?, ?)", of_reading)
            tables.view(self._session, f"unchanged_{number}", self._paths(one, "unchanged"), ROW_KEYS)
            tables.view(self._session, f"replaced_{number}", self._paths(one, "replaced"), DELETED)
            self._session.execute(f"INSERT INTO unchanged SELECT ?, row_hash, copy FROM unchanged_{number}", [source])
            self._session.execute(f"INSERT INTO replaced SELECT document_id FROM replaced_{number}")
        self._view("cleaned", ("documents", "duplicates"), "documents", DOCUMENTS)
        self._view("turned", ("rejected",), "rejected", REJECTED)

    def check(self) -> None:
        """Raise `OperationError` unless every row that clean counted is here, once."""
        counted = "SELECT count(*) FROM (FROM cleaned_places UNION ALL FROM turned_places)"
        new = tables.number(self._session, f"{counted} WHERE is_new")
        kept = tables.number(self._session, f"{counted} WHERE NOT is_new AND is_full")
        made = sum(one.counts["documents"] + one.counts["rejected"] for one in self._cleaned)
        unchanged = sum(one.counts["unchanged"] for one in self._cleaned if one.facts["mode"] == "full")
        check_balance("snapshot", made + unchanged, new + kept, 0)

    def _view(self, name: str, held: Sequence[str], new: str, schema: pa.Schema) -> None:
        """The rows of the base that stay, and the new ones. Positions tell them apart: the base's files come first."""
        old = [path for part in held for path in self._paths(self._base, part)]
        fresh = [path for one in self._cleaned for path in self._paths(one, new)]
        tables.view(self._session, f"all_{name}", [*old, *fresh], schema)
        boundary = len(old) << 40
        self._session.execute(
            f"CREATE TABLE {name}_places AS SELECT position, position >= {boundary} AS is_new, is_full "
            f"FROM all_{name} LEFT JOIN reading USING (source) "
            f"WHERE position >= {boundary} "
            "OR (is_full AND (source, row_hash, copy) IN (SELECT (source, row_hash, copy) FROM unchanged)) "
            "OR (NOT is_full AND document_id IS NOT NULL AND document_id NOT IN (SELECT document_id FROM replaced)) "
            "OR (NOT is_full AND document_id IS NULL AND NOT brings_idless)"
        )
        self._session.execute(
            f"CREATE VIEW {name} AS SELECT * FROM all_{name} SEMI JOIN {name}_places USING (position)"
        )

    def _paths(self, one: Manifest | None, name: str) -> list[Any]:
        return fetch_parts(self._run.store, one, name, self._run.scratch) if one else []


def _is_same(session: duckdb.DuckDBPyConnection, base: Manifest) -> bool:
    """Whether every row of the base stayed and none was added."""
    places = "(FROM cleaned_places UNION ALL FROM turned_places)"
    if tables.number(session, f"SELECT count(*) FROM {places} WHERE is_new"):
        return False
    return tables.number(session, f"SELECT count(*) FROM {places}") == base.counts["documents_in"]


def _seal(
    run: Run, session: duckdb.DuckDBPyConnection, draft: Draft, settings: Clean, facts: dict[str, Any]
) -> Manifest:
    scratch = run.scratch / STAGE
    _drop_duplicates(session, settings, run)
    with (
        PartWriter(draft, "documents", scratch) as documents,
        PartWriter(draft, "duplicates", scratch) as duplicates,
        PartWriter(draft, "rejected", scratch) as rejected,
    ):
        content = _write_documents(session, documents, run)
        repeats = f"SELECT {_columns(DUPLICATES)} FROM cleaned JOIN dropped USING (position)"
        for batch in tables.batches(session, f"{repeats} ORDER BY document_id, content_hash"):
            duplicates.write(batch.cast(DUPLICATES))
        for batch in tables.batches(
            session, f"SELECT {_columns(REJECTED)} FROM turned ORDER BY source, row_hash, copy"
        ):
            rejected.write(batch.cast(REJECTED))
    rows = tables.number(session, "SELECT (SELECT count(*) FROM cleaned_places) + (SELECT count(*) FROM turned_places)")
    turned = duplicates.rows + rejected.rows
    check_balance("snapshot", rows, documents.rows, turned)
    counts = {"documents_in": rows, "documents": documents.rows, "rejected": turned}
    said = {"content": content, **_sums(session, [*draft.inputs]), "repeated_ids": _repeated_ids(session)}
    return draft.seal(counts, {**said, **facts})


def _columns(schema: pa.Schema) -> str:
    return ", ".join(schema.names)


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


def _write_documents(session: duckdb.DuckDBPyConnection, parts: PartWriter, run: Run) -> str:
    """Write the documents in the order of their ids; returns the SHA-256 that names their content."""
    total = tables.number(session, "SELECT count(*) FROM kept")
    sha256 = hashlib.sha256()
    query = f"SELECT {_columns(DOCUMENTS)} FROM cleaned SEMI JOIN kept USING (position) ORDER BY document_id"
    for batch in tables.batches(session, query):
        parts.write(batch.cast(DOCUMENTS))
        pairs_of = zip(batch["document_id"].to_pylist(), batch["content_hash"].to_pylist(), strict=True)
        sha256.update("".join(f"{document_id}\t{content}\n" for document_id, content in pairs_of).encode())
        run.progress(STAGE, parts.rows, total, "documents")
    return sha256.hexdigest()


def _sums(session: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, Any]:
    """Rows, documents and rejected rows by source, and rejected rows by reason."""
    sources = {name: {"rows": 0, "documents": 0, "rejected": 0} for name in names}
    by_reason: dict[str, int] = {}
    kept = "SELECT source, NULL, count(*) FROM cleaned SEMI JOIN kept USING (position) GROUP BY source"
    dropped = "SELECT source, reason, count(*) FROM cleaned JOIN dropped USING (position) GROUP BY source, reason"
    turned = "SELECT source, reason, count(*) FROM turned GROUP BY source, reason"
    for source, reason, number in session.execute(f"{kept} UNION ALL {dropped} UNION ALL {turned}").fetchall():
        sources[source]["rows"] += number
        sources[source]["rejected" if reason else "documents"] += number
        if reason:
            by_reason[reason] = by_reason.get(reason, 0) + number
    return {"rejected_by_reason": dict(sorted(by_reason.items())), "sources": sources}


def _repeated_ids(session: duckdb.DuckDBPyConnection) -> list[str]:
    """The sources in which several rows hold one id: a change of one of them says nothing about the others.

    Rejected rows count too: a tombstone that is read again would take the living row of its id away.
    """
    held = "SELECT source, document_id FROM cleaned UNION ALL SELECT source, document_id FROM turned"
    named = f"SELECT source FROM ({held}) WHERE document_id IS NOT NULL"
    repeats = f"{named} GROUP BY source, document_id HAVING count(*) > 1"
    return [name for (name,) in session.execute(f"SELECT DISTINCT source FROM ({repeats}) ORDER BY source").fetchall()]
