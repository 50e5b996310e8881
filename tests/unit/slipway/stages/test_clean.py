import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.cleaning import reasons
from slipway.errors import OperationError, SourceSchemaError
from slipway.manifest import fetch
from slipway.records import DOCUMENTS, REJECTED
from slipway.run import Run
from slipway.stages.clean import LOT_ROWS, clean
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.cleaning_run import a_run, raw_of, read, table


@pytest.fixture
def run(tmp_path: Path) -> Run:
    settings = {"html": "strip", "min_characters": 10, "max_characters": 50_000, "languages": ("en",)}
    return a_run(LocalStore(tmp_path / "store"), tmp_path / "scratch", clean=settings)


NOTHING = dict.fromkeys(("rows", "documents", "rejected", "unchanged", "repeated"), 0)
DIRTY: list[tuple[Any, Any, str | None]] = [
    ("1", "Return the sum of the array elements.", None),
    (None, "A row that nobody gave an id.", reasons.MISSING_ID),
    ("  ", "A row whose id is only blanks.", reasons.MISSING_ID),
    ("i" * 501, "A row whose id is somebody's whole document.", reasons.LONG_ID),
    ("2", None, reasons.NO_TEXT),
    ("3", " \n\x00\t ", reasons.NO_TEXT),
    ("4", "Text with\x00 NUL\x00 characters in it.", None),
    ("5", "x" * 10_000_000, reasons.TOO_LONG),
    ("6", "<div><br/><script>track('everything')</script></div>", reasons.ONLY_MARKUP),
    ("7", "tiny", reasons.TOO_SHORT),
    ("8", "Gibt die Summe der Elemente des Feldes entlang der angegebenen Achse zurück.", reasons.LANGUAGE),
    ("9", "The array doesnâ€™t need to be sorted.", None),
    ("10", "Use a < b, List<int> and <class 'str'> freely in the text.", None),
]


def test_every_dirty_row_is_kept_or_turned_away_for_its_own_reason(run: Run) -> None:
    made = clean(run, "api", raw_of(run, [table(*((key, body) for key, body, _ in DIRTY))]))
    documents = {row["document_id"]: row for row in read(run, made, "documents")}
    turned = read(run, made, "rejected")

    assert [(row["row"], row["reason"]) for row in turned] == [(n, r) for n, (_, _, r) in enumerate(DIRTY) if r]
    assert list(documents) == [f"api:{key}" for key, _, reason in DIRTY if not reason]
    assert documents["api:4"]["text"] == "Text with NUL characters in it."
    assert documents["api:9"]["text"] == "The array doesn’t need to be sorted."
    assert documents["api:10"]["text"] == DIRTY[12][1]
    assert {row["document_id"] for row in turned if row["reason"] in (reasons.MISSING_ID, reasons.LONG_ID)} == {None}
    assert all(len(row["excerpt"]) <= 200 and row["excerpt"].isprintable() for row in turned)
    assert made.counts == NOTHING | {"rows": 13, "documents": 4, "rejected": 9}
    assert made.facts["rejected_by_reason"] == dict(Counter(reason for _, _, reason in DIRTY if reason))
    assert made.facts["repaired"] == 1
    assert made.facts["source"] == "api"


def test_bytes_that_are_not_utf8_cost_one_row(run: Run) -> None:
    bodies = pa.array([b"Plain bytes that are UTF-8.", "Größe in Latin-1, not UTF-8".encode("latin-1")])
    made = clean(run, "api", raw_of(run, [table(("1", ""), ("2", ""), body=bodies)]))
    (turned,) = read(run, made, "rejected")
    assert (turned["document_id"], turned["reason"]) == ("api:2", reasons.NOT_UTF8)
    assert turned["detail"] == "column body: byte 0xf6 at position 2 is not UTF-8"
    assert turned["excerpt"] == "Gr\ufffd\ufffde in Latin-1, not UTF-8 name 2"


def test_a_string_column_that_lies_about_its_bytes_costs_one_row(run: Run) -> None:
    plain = pa.array([b"A text that is what it says.", b"Caf\xe9 in a string column"])
    lying = pa.Array.from_buffers(pa.string(), 2, plain.buffers())
    made = clean(run, "api", raw_of(run, [table(("1", ""), ("2", ""), body=lying)]))
    assert made.counts == NOTHING | {"rows": 2, "documents": 1, "rejected": 1}
    assert made.facts["rejected_by_reason"] == {reasons.NOT_UTF8: 1}


def test_parts_of_different_types_are_cleaned_alike(run: Run) -> None:
    texts = table((1, "A row with a whole number for its id."))
    floats = table((2.0, "A row whose id column turned to floats."), (None, "And the null that turned it."))
    strings = table((" 3 ", "A row whose id column turned to text."))
    made = clean(run, "api", raw_of(run, [texts, floats, strings]))
    assert [row["document_id"] for row in read(run, made, "documents")] == ["api:1", "api:2", "api:3"]
    assert [row["row"] for row in read(run, made, "rejected")] == [2]


def test_rows_keep_their_order_and_number_over_many_lots(run: Run) -> None:
    rows = [(n, None if n % 7 == 0 else f"Document number {n} of very many documents.") for n in range(3 * LOT_ROWS)]
    made = clean(run, "api", raw_of(run, [table(*rows)]))
    assert [row["row"] for row in read(run, made, "rejected")] == [n for n, body in rows if body is None]
    assert [row["document_id"] for row in read(run, made, "documents")] == [f"api:{n}" for n, body in rows if body]


def test_parts_have_the_agreed_schemas(run: Run) -> None:
    made = clean(run, "api", raw_of(run, [table(("1", "A good document, long enough."), ("2", None))]))
    for name, schema in (("documents-00000.parquet", DOCUMENTS), ("rejected-00000.parquet", REJECTED)):
        assert pq.read_schema(fetch(run.store, made.one(name), run.scratch)).equals(schema)


def test_no_rows_make_no_parts(run: Run) -> None:
    made = clean(run, "api", raw_of(run, []))
    assert made.counts == NOTHING
    assert made.objects == ()


def test_the_same_rows_are_cleaned_once(run: Run) -> None:
    rows = table(("1", "A good document, long enough."))
    first = clean(run, "api", raw_of(run, [rows]))
    assert clean(run, "api", raw_of(run, [rows])) == first
    assert clean(run, "api", raw_of(run, [table(("2", "Another document, long enough."))])).place != first.place


def test_another_configuration_cleans_again(run: Run, tmp_path: Path) -> None:
    raw = raw_of(run, [table(("1", "A good document, long enough."))])
    other = a_run(run.store, tmp_path / "other", clean={"min_characters": 100})
    assert clean(run, "api", raw).counts["documents"] == 1
    assert clean(other, "api", raw).counts["documents"] == 0


def test_bands_are_made_only_when_near_duplicates_are_sought(run: Run, tmp_path: Path) -> None:
    raw = raw_of(run, [table(("1", "A good document, long enough."))])
    near = a_run(run.store, tmp_path / "near", clean={"duplicates": "near"})
    assert [row["bands"] for row in read(run, clean(run, "api", raw), "documents")] == [[]]
    assert [len(row["bands"]) for row in read(near, clean(near, "api", raw), "documents")] == [12]


def test_a_column_that_is_not_there_is_named(run: Run) -> None:
    raw = raw_of(run, [table(("1", "text")).drop_columns(["body"])])
    with pytest.raises(SourceSchemaError, match="source 'api': the rows read have no column body; they have id, name"):
        clean(run, "api", raw)


def test_a_row_that_got_lost_is_noticed_and_nothing_is_sealed(run: Run) -> None:
    raw = raw_of(run, [table(("1", "A good document, long enough."))], rows=2)
    with pytest.raises(OperationError, match="2 rows came in, 1 documents and 0 rejected rows came out, so 1 are lost"):
        clean(run, "api", raw)
    assert not [info for info in run.store.list("documents/") if info.key.endswith("manifest.json")]


def test_progress_tells_the_rows(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None, str]] = []
    quiet = a_run(MemoryStore(), tmp_path)
    run = Run(quiet.collection, quiet.store, "run-1", tmp_path, quiet.connections, lambda *step: told.append(step))
    clean(run, "api", raw_of(run, [table(("1", "text"), ("2", "more"))]))
    assert told == [("clean (compare)", 2, 2, "rows"), ("clean", 2, 2, "rows")]


cells = st.none() | st.text() | st.text(alphabet="<>&;/ab \n\x00é", max_size=30)
arbitrary = st.lists(st.tuples(st.none() | st.text(max_size=4), cells), max_size=30)
odd = st.lists(st.tuples(st.none() | st.floats() | st.integers(-5, 5).map(float), st.none() | st.binary()), max_size=30)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(arbitrary | odd, max_size=3),
    st.sampled_from(["none", "exact", "near"]),
    st.sampled_from(["keep", "strip"]),
)
def test_every_row_of_any_table_is_counted_once(
    tables: list[list[tuple[Any, Any]]], duplicates: str, html: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = a_run(MemoryStore(), Path(folder), clean={"duplicates": duplicates, "html": html, "max_characters": 20})
        made = clean(run, "api", raw_of(run, [table(*rows) for rows in tables]))
        documents, turned = read(run, made, "documents"), read(run, made, "rejected")
        assert made.counts["rows"] == sum(map(len, tables))
        assert made.counts["rows"] == made.counts["documents"] + made.counts["rejected"]
        assert (len(documents), len(turned)) == (made.counts["documents"], made.counts["rejected"])
        assert Counter(row["reason"] for row in turned) == made.facts["rejected_by_reason"]
        assert set(made.facts["rejected_by_reason"]) <= set(reasons.MEANINGS)
