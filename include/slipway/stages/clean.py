"""clean: the raw rows of one source → documents, and every other row with the reason why it is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from slipway import layout, manifest
from slipway.cleaning import near
from slipway.cleaning.rows import Document, Rejection, RowCleaner
from slipway.cleaning.tally import check_balance
from slipway.cleaning.values import python_values
from slipway.config.collection import AnySource, Clean
from slipway.errors import SourceSchemaError
from slipway.manifest import Draft, Manifest
from slipway.parts import BATCH_ROWS, PartWriter, fetch_parts, read_batches
from slipway.records import DOCUMENTS, REJECTED
from slipway.run import Run

STAGE = "clean"
VERSION = 1  # raise it when the same row would become another document, or be turned away for another reason
LOT_ROWS = 1_024  # rows that are Python objects at one time
LOT_CHARACTERS = 4 << 20  # text of documents that waits to be written, at most about this


def clean(run: Run, source_name: str, raw: Manifest) -> Manifest:
    """Clean the rows that extract read of a source; skipped when the same rows were cleaned the same way before.

    Parts: `documents` (records.DOCUMENTS) and `rejected` (records.REJECTED), both in the order of the rows.
    Counts: `rows`, `documents`, `rejected`. Facts: `source`, `rejected_by_reason`, `repaired` (documents whose
    Unicode was mended). Memory does not grow with the number of rows. Raises `SourceSchemaError` when the raw rows
    lack a column, `ConfigError` for a language that cannot be recognised, and `OperationError` when rows were lost.
    """
    source, settings = run.collection.source(source_name), run.collection.clean
    print_of = _fingerprint(source, settings, raw)
    place = layout.documents(print_of)
    sealed = manifest.find(run.store, place)
    if sealed is not None:
        return sealed
    draft = Draft(run.store, place, STAGE, print_of, {"raw": raw.digest})
    scratch = run.scratch / STAGE / source.name
    with PartWriter(draft, "documents", scratch) as documents, PartWriter(draft, "rejected", scratch) as rejected:
        output = _Output(source, settings, documents, rejected)
        for row, values in enumerate(_rows(run, source, raw)):
            output.add(row, values)
        output.flush()
    counts = {"rows": raw.counts["rows"], "documents": documents.rows, "rejected": rejected.rows}
    check_balance(f"clean of source {source.name!r}", counts["rows"], counts["documents"], counts["rejected"])
    facts = {
        "source": source.name,
        "rejected_by_reason": dict(sorted(output.reasons.items())),
        "repaired": output.repaired,
    }
    return draft.seal(counts, facts)


def _fingerprint(source: AnySource, settings: Clean, raw: Manifest) -> str:
    scheme = near.SCHEME if settings.duplicates == "near" else None
    return manifest.fingerprint(
        STAGE, VERSION, scheme, source.model_dump(mode="json"), settings.model_dump(mode="json"), raw.digest
    )


def _rows(run: Run, source: AnySource, raw: Manifest) -> Iterator[dict[str, object]]:
    """The raw rows as Python values, in order: only the columns that the source's configuration names."""
    names = source.columns
    done, total = 0, raw.counts["rows"]
    for batch in read_batches(fetch_parts(run.store, raw, "raw", run.scratch)):
        _check_columns(source, batch)
        for start in range(0, batch.num_rows, LOT_ROWS):
            lot = batch.slice(start, LOT_ROWS)
            columns = [python_values(lot.column(name)) for name in names]
            for values in zip(*columns, strict=True):
                yield dict(zip(names, values, strict=True))
            done += lot.num_rows
            run.progress(STAGE, done, total, "rows")


def _check_columns(source: AnySource, batch: pa.RecordBatch) -> None:
    lacking = [name for name in source.columns if name not in batch.schema.names]
    if lacking:
        raise SourceSchemaError(
            f"source {source.name!r}: the rows read have no column {', '.join(lacking)}; they have "
            f"{', '.join(batch.schema.names)}. Correct the source's id, title, text or metadata in the collection file"
        )


class _Output:
    """Cleans row after row, and writes what came of them a lot at a time."""

    def __init__(
        self, source: AnySource, settings: Clean, documents: PartWriter, rejected: PartWriter
    ) -> None:
        self.repaired = 0
        self.reasons: Counter[str] = Counter()
        self._source = source.name
        self._cleaner = RowCleaner(source, settings)
        self._bands = near.Bands.for_threshold(settings.near_threshold) if settings.duplicates == "near" else None
        self._documents, self._rejected = documents, rejected
        self._kept: list[Document] = []
        self._turned: list[tuple[int, Rejection]] = []
        self._characters = 0

    def add(self, row: int, values: dict[str, object]) -> None:
        """Clean one row; `row` is its 0-based position."""
        outcome = self._cleaner(values)
        if isinstance(outcome, Document):
            self._kept.append(outcome)
            self._characters += len(outcome.text) + len(outcome.metadata)
        else:
            self._turned.append((row, outcome))
        if len(self._kept) + len(self._turned) >= BATCH_ROWS or self._characters >= LOT_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._documents.write(self._document_batch())
        self._rejected.write(self._rejected_batch())
        self.repaired += sum(document.repaired for document in self._kept)
        self.reasons.update(rejection.reason for _, rejection in self._turned)
        self._kept, self._turned, self._characters = [], [], 0

    def _document_batch(self) -> pa.RecordBatch:
        kept, names = self._kept, ("document_id", "title", "text", "metadata", "content_hash", "text_hash")
        columns: dict[str, Any] = {name: [getattr(document, name) for document in kept] for name in names}
        columns["source"] = [self._source] * len(kept)
        columns["bands"] = self._bands.of(columns["text"]).tolist() if self._bands else [[]] * len(kept)
        return pa.RecordBatch.from_pydict(columns, schema=DOCUMENTS)

    def _rejected_batch(self) -> pa.RecordBatch:
        rows = [
            {
                "source": self._source,
                "row": row,
                "document_id": rejection.document_id,
                "reason": rejection.reason,
                "detail": rejection.detail,
                "excerpt": rejection.excerpt,
            }
            for row, rejection in self._turned
        ]
        return pa.RecordBatch.from_pylist(rows, schema=REJECTED)
