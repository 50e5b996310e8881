"""Nights that build on the night before end in the state that a run from nothing would make."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.cleaning import reasons
from slipway.cleaning.rows import is_tombstone
from slipway.errors import OperationError
from slipway.manifest import Manifest
from slipway.run import Run
from slipway.stages.clean import clean
from slipway.stages.snapshot import snapshot
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.cleaning_run import a_run, raw_of, read, table

Rows = dict[str, str | None]


def night(run: Run, base: Manifest | None, **sources: tuple[str, Any]) -> Manifest:
    """A snapshot from a reading of each source: ("full", rows), or ("changes", (rows, deleted ids))."""
    cleaned = []
    for name, (mode, reading) in sources.items():
        rows, deleted = (reading, ()) if mode == "full" else reading
        raw = raw_of(run, [table(*rows)], name, base=base, mode=mode, deleted=deleted)
        cleaned.append(clean(run, name, raw))
    return snapshot(run, cleaned)


def ids(run: Run, made: Manifest, part: str = "documents") -> list[str]:
    return [row["document_id"] for row in read(run, made, part)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


ONE_TWO_THREE = [("1", "one"), ("2", "two"), ("3", "three")]


def test_a_full_reading_cleans_only_what_is_new(run: Run) -> None:
    first = night(run, None, api=("full", ONE_TWO_THREE))
    raw = raw_of(run, [table(("1", "one"), ("2", "another two"), ("4", "four"))], base=first)
    cleaned = clean(run, "api", raw)
    assert cleaned.counts == {
        "rows": 3, "documents": 2, "rejected": 0, "unchanged": 1, "repeated": 0,
    }  # fmt: skip
    second = snapshot(run, [cleaned])
    assert ids(run, second) == ["api:1", "api:2", "api:4"]
    assert [row["text"] for row in read(run, second, "documents")] == ["one", "another two", "four"]
    assert second.facts["base"] == first.place


def test_a_reading_of_changes_leaves_the_rest_alone(run: Run) -> None:
    first = night(run, None, api=("full", ONE_TWO_THREE))
    second = night(run, first, api=("changes", ([("2", "another two"), ("1", "one")], ["api:3"])))
    assert [(row["document_id"], row["text"]) for row in read(run, second, "documents")] == [
        ("api:1", "one"),
        ("api:2", "another two"),
    ]


def test_a_night_without_a_change_is_the_night_before(run: Run) -> None:
    rows = [*ONE_TWO_THREE, ("4", None), ("5", "one"), (None, "no id")]
    first = night(run, None, api=("full", rows))
    assert night(run, first, api=("full", rows[::-1])) == first
    assert night(run, first, api=("changes", ([("1", "one")], ["api:never there"]))) == first


def test_a_duplicate_comes_back_when_its_twin_goes(run: Run) -> None:
    first = night(run, None, api=("full", [("1", "twin"), ("2", "twin")]))
    assert (ids(run, first), ids(run, first, "duplicates")) == (["api:1"], ["api:2"])
    second = night(run, first, api=("changes", ([], ["api:1"])))
    assert (ids(run, second), ids(run, second, "duplicates")) == (["api:2"], [])
    third = night(run, second, api=("full", [("1", "twin"), ("2", "twin")]))
    assert ids(run, third) == ["api:1"]
    assert third.facts["content"] == first.facts["content"]


def test_rejected_rows_are_carried_and_go_when_they_are_mended(run: Run) -> None:
    first = night(run, None, api=("full", [("1", "one"), ("2", None)]))
    second = night(run, first, api=("changes", ([("1", "uno")], [])))
    assert second.facts["rejected_by_reason"] == {reasons.NO_TEXT: 1}
    third = night(run, second, api=("changes", ([("2", "two")], [])))
    assert third.facts["rejected_by_reason"] == {}
    assert third.counts == {"documents_in": 2, "documents": 2, "rejected": 0}


def test_a_row_that_becomes_unfit_takes_its_document_away(run: Run) -> None:
    first = night(run, None, api=("full", ONE_TWO_THREE))
    second = night(run, first, api=("changes", ([("2", None)], [])))
    assert ids(run, second) == ["api:1", "api:3"]
    assert second.counts == {"documents_in": 3, "documents": 2, "rejected": 1}


def test_identical_rows_are_counted_each_and_one_is_kept(run: Run) -> None:
    first = night(run, None, api=("full", [("1", "one"), ("1", "one"), ("1", "one")]))
    assert first.counts == {"documents_in": 3, "documents": 1, "rejected": 2}
    second = night(run, first, api=("full", [("1", "one"), ("1", "one")]))
    assert second.counts == {"documents_in": 2, "documents": 1, "rejected": 1}


def test_a_source_that_is_read_from_nothing_keeps_nothing_of_the_base(run: Run, tmp_path: Path) -> None:
    run = a_run(run.store, tmp_path, sources=("api", "guides"))
    first = night(run, None, api=("full", ONE_TWO_THREE), guides=("full", [("a", "guide")]))
    api = clean(run, "api", raw_of(run, [table(("9", "nine"))], "api"))
    guides = clean(run, "guides", raw_of(run, [table(("a", "guide"))], "guides", base=first))
    second = snapshot(run, [api, guides])
    assert ids(run, second) == ["api:9", "guides:a"]


def test_a_source_taken_out_of_the_collection_takes_its_documents_away(run: Run, tmp_path: Path) -> None:
    both = a_run(run.store, tmp_path, sources=("api", "guides"))
    first = night(both, None, api=("full", ONE_TWO_THREE), guides=("full", [("a", "guide")]))
    assert ids(run, night(run, first, api=("full", ONE_TWO_THREE))) == ["api:1", "api:2", "api:3"]


@pytest.mark.parametrize(("mode", "kept"), [("full", ["api:1"]), ("changes", ["api:1", "api:3"])])
def test_a_tombstone_takes_a_row_away(tmp_path: Path, mode: str, kept: list[str]) -> None:
    source = {"name": "api", "kind": "lake", "path": "/lake", "id": "id", "tombstone": "gone"}
    run = a_run(MemoryStore(), tmp_path)
    run = replace(run, collection=run.collection.model_validate({**run.collection.model_dump(), "sources": [source]}))
    alive = clean(run, "api", raw_of(run, [table(*ONE_TWO_THREE, gone=[None, None, None])]))
    first = snapshot(run, [alive])
    raw = raw_of(run, [table(("1", "one"), ("2", "two"), gone=[None, "2026-01-01"])], base=first, mode=mode)
    cleaned = clean(run, "api", raw)
    assert cleaned.facts["rejected_by_reason"] == {reasons.TOMBSTONE: 1}
    second = snapshot(run, [cleaned])
    assert ids(run, second) == kept
    restored = raw_of(run, [table(("2", "two"), gone=[None])], base=second, mode="changes")
    assert ids(run, snapshot(run, [clean(run, "api", restored)])) == sorted([*kept, "api:2"])


@pytest.mark.parametrize("value", [None, False, 0, "", "0", "false", " No ", float("nan")])
def test_values_that_leave_a_row_alive(value: Any) -> None:
    assert not is_tombstone(value)


@pytest.mark.parametrize("value", [True, 1, "2026-01-30", "yes", 17.5])
def test_values_that_mark_a_row_as_deleted(value: Any) -> None:
    assert is_tombstone(value)


def test_a_base_that_lost_rows_is_noticed(run: Run) -> None:
    first = night(run, None, api=("full", ONE_TWO_THREE))
    cleaned = clean(run, "api", raw_of(run, [table(*ONE_TWO_THREE[:2])], base=first))
    wrong = replace(cleaned, counts={**cleaned.counts, "unchanged": 3})
    with pytest.raises(OperationError, match="3 rows came in, 2 documents"):
        snapshot(run, [wrong])


# Two texts may be equal or nearly equal, so that rows of one source drop rows of the other.
texts = st.sampled_from([None, "same", "other words", "w " * 30 + "a", "w " * 30 + "b"]) | st.text("xy", max_size=3)
keys = st.sampled_from("abcdef")
edits = st.lists(st.tuples(keys, st.none() | st.tuples(texts)), max_size=5)  # None deletes; a tuple writes
nights = st.lists(st.tuples(edits, edits, st.sampled_from(["full", "changes"]), st.booleans()), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(nights, st.sampled_from(["none", "exact", "near"]))
def test_any_history_ends_where_a_run_from_nothing_does(history: list[Any], duplicates: str) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def fresh(name: str) -> Run:
            clean = {"duplicates": duplicates, "near_threshold": 0.6}
            return a_run(MemoryStore(), Path(folder) / name, sources=("api", "guides"), clean=clean)

        run = fresh("nights")
        tables: dict[str, Rows] = {"api": {}, "guides": {}}
        base = night(run, None, api=("full", []), guides=("full", []))
        for number, (api, guides, mode, touch) in enumerate(history):
            readings = {name: _edit(tables[name], edit, mode, touch, name) for name, edit in
                        (("api", api), ("guides", guides))}  # fmt: skip
            before, base = base, night(run, base, **readings)
            whole = {name: ("full", list(rows.items())) for name, rows in tables.items()}
            scratch = fresh(f"scratch-{number}")
            expected = night(scratch, None, **whole)
            assert base.facts["content"] == expected.facts["content"]
            assert base.counts == expected.counts
            assert base.facts["rejected_by_reason"] == expected.facts["rejected_by_reason"]
            assert base.facts["sources"] == expected.facts["sources"]
            assert night(run, base, **whole) == base
            assert (base == before) or base.place != before.place


def _edit(rows: Rows, edits: list[Any], mode: str, touch: bool, name: str) -> tuple[str, Any]:
    """Apply edits to a table; returns the reading that a source makes of it. `touch`: all rows are read as changed."""
    written, deleted = set(), set()
    for key, write in edits:
        written.discard(key)
        deleted.discard(key)
        if write is None:
            rows.pop(key, None)
            deleted.add(key)
        else:
            rows[key] = write[0]
            written.add(key)
    if mode == "full":
        return "full", list(rows.items())
    changed = rows if touch else {key: rows[key] for key in sorted(written)}
    return "changes", (list(changed.items()), [f"{name}:{key}" for key in sorted(deleted)])
