import random
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.cleaning import pairs, reasons
from slipway.cleaning.near import jaccard, shingle_sets
from slipway.errors import OperationError
from slipway.manifest import Manifest, fetch
from slipway.records import DOCUMENTS
from slipway.run import Run
from slipway.stages.clean import clean
from slipway.stages.snapshot import snapshot
from slipway.storage.local import LocalStore
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.cleaning_run import a_run, raw_of, read, table

Rows = list[tuple[Any, Any]]


def a_snapshot(run: Run, **sources: Rows) -> Manifest:
    return snapshot(run, [clean(run, name, raw_of(run, [table(*rows)], name)) for name, rows in sources.items()])


def a_local_run(folder: Path, duplicates: str = "exact", **fields: Any) -> Run:
    store = LocalStore(folder / "store")
    return a_run(store, folder / "scratch", sources=("api", "guides"), clean={"duplicates": duplicates, **fields})


def test_all_sources_come_together_sorted(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    made = a_snapshot(run, guides=[("b", "second guide"), ("a", "first guide")], api=[("z", "last"), ("c", None)])
    documents = read(run, made, "documents")
    assert [row["document_id"] for row in documents] == ["api:z", "guides:a", "guides:b"]
    assert [row["text"] for row in documents] == ["last", "first guide", "second guide"]
    assert made.counts == {"documents_in": 4, "documents": 3, "rejected": 1}
    assert made.facts["rejected_by_reason"] == {reasons.NO_TEXT: 1}
    assert made.facts["sources"] == {
        "api": {"rows": 2, "documents": 1, "rejected": 1},
        "guides": {"rows": 2, "documents": 2, "rejected": 0},
    }
    assert set(made.inputs) == {"api", "guides"}
    assert pq.read_schema(fetch(run.store, made.one("documents-00000.parquet"), run.scratch)).equals(DOCUMENTS)


@pytest.mark.parametrize("duplicates", ["none", "exact", "near"])
def test_of_rows_with_one_id_the_same_one_is_kept_in_any_order(tmp_path: Path, duplicates: str) -> None:
    rows = [("1", "first version"), ("1", "second version"), ("2", "another"), ("1", "first version"), (" 1", "third")]
    kept = set()
    for turn, order in enumerate((rows, rows[::-1], rows[2:] + rows[:2])):
        run = a_local_run(tmp_path / str(turn), duplicates)
        made = a_snapshot(run, api=order)
        documents, turned = read(run, made, "documents"), read(run, made, "duplicates")
        assert [row["document_id"] for row in documents] == ["api:1", "api:2"]
        assert made.facts["rejected_by_reason"] == {reasons.DUPLICATE_ID: 3}
        assert {(row["document_id"], row["source"]) for row in turned} == {("api:1", "api")}
        assert turned[0]["detail"] == "another row with the id api:1 was kept"
        assert made.facts["repeated_ids"] == ["api"]
        kept.add(documents[0]["text"])
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("rows", "repeated"),
    [
        ([("1", "one"), ("1", None)], ["api"]),  # one of them was rejected
        ([("1", None), ("1", None)], ["api"]),
        ([("1", "same"), ("2", "same"), (None, "no id"), (None, "no id")], []),
    ],
)
def test_sources_with_one_id_in_several_rows_are_named(tmp_path: Path, rows: Rows, repeated: list[str]) -> None:
    run = a_local_run(tmp_path)
    assert a_snapshot(run, api=rows, guides=[("1", "one")]).facts["repeated_ids"] == repeated


def test_of_equal_texts_the_smallest_id_is_kept(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    made = a_snapshot(run, guides=[("a", "the same")], api=[("2", " the same\n"), ("10", "the same"), ("3", "other")])
    turned = read(run, made, "duplicates")
    assert [row["document_id"] for row in read(run, made, "documents")] == ["api:10", "api:3"]
    assert [(row["document_id"], row["reason"], row["detail"], row["text"]) for row in turned] == [
        ("api:2", reasons.DUPLICATE, "same text as api:10", "the same"),
        ("guides:a", reasons.DUPLICATE, "same text as api:10", "the same"),
    ]
    assert made.facts["sources"]["guides"] == {"rows": 1, "documents": 0, "rejected": 1}


def test_equal_texts_are_kept_when_duplicates_are_allowed(tmp_path: Path) -> None:
    run = a_local_run(tmp_path, "none")
    assert a_snapshot(run, api=[("1", "the same"), ("2", "the same")]).counts["documents"] == 2


BASE = "Return the cumulative sum of the elements along a given axis of the array that was passed to this function " * 3


def test_a_near_duplicate_names_the_document_it_repeats(tmp_path: Path) -> None:
    rows = [("1", BASE + "in numpy"), ("2", BASE + "in scipy"), ("3", "Something else altogether, about trees.")]
    exact, near = a_local_run(tmp_path / "exact"), a_local_run(tmp_path / "near", "near", near_threshold=0.8)
    assert a_snapshot(exact, api=rows).counts["documents"] == 3
    made = a_snapshot(near, api=rows)
    (turned,) = read(near, made, "duplicates")
    assert (turned["document_id"], turned["reason"]) == ("api:2", reasons.NEAR_DUPLICATE)
    assert turned["detail"] == "nearly the text of api:1"


def drifting(chosen: random.Random, families: int, versions: int) -> Rows:
    """Families of texts in which each version changes a few words of the one before: chains, if one let them."""
    rows: Rows = []
    for family in range(families):
        words = [f"w{chosen.randrange(400)}" for _ in range(chosen.randrange(20, 80))]
        for version in range(versions):
            rows.append((f"{family:03d}-{version}", " ".join(words)))
            for _ in range(chosen.randrange(3)):
                words[chosen.randrange(len(words))] = f"w{chosen.randrange(400)}"
    chosen.shuffle(rows)
    return rows


def greedy(texts: dict[str, str], threshold: float) -> dict[str, str]:
    """Every dropped id → the kept id it repeats, by comparing all with all in the order of ids."""
    kept: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for document_id in sorted(texts):
        (shingles,) = shingle_sets([texts[document_id]])
        twin = next((one for one, other in kept.items() if jaccard(other, shingles) >= threshold), None)
        if twin is None:
            kept[document_id] = shingles
        else:
            dropped[document_id] = twin
    return dropped


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_near_duplicates_are_those_that_comparing_all_with_all_finds(
    tmp_path: Path, seed: int, threshold: float
) -> None:
    run = a_local_run(tmp_path, "near", near_threshold=threshold)
    rows = drifting(random.Random(seed), families=30, versions=6)
    made = a_snapshot(run, api=rows)
    turned = [row for row in read(run, made, "duplicates") if row["reason"] == reasons.NEAR_DUPLICATE]
    found = {row["document_id"]: row["detail"].removeprefix("nearly the text of ") for row in turned}
    exact = {row["document_id"] for row in read(run, made, "duplicates") if row["reason"] == reasons.DUPLICATE}
    texts = {f"api:{key}": text for key, text in rows if f"api:{key}" not in exact}
    kept = {row["document_id"] for row in read(run, made, "documents")}

    for dropped, twin in found.items():  # always: nothing is dropped but for a kept, smaller and really similar one
        assert twin in kept
        assert twin < dropped
        assert jaccard(*shingle_sets([texts[twin], texts[dropped]])) >= threshold
    assert found == greedy(texts, threshold)  # with these seeds no pair escaped the bands
    assert len(found) > 10


def test_a_dropped_document_drops_no_other(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(60)]
    rows: Rows = []
    for step in range(12):  # neighbours are alike, the first and the last are not
        words[step * 5 % 60] = f"new{step}"
        rows.append((f"{step:02d}", " ".join(words)))
    run = a_local_run(tmp_path, "near", near_threshold=0.85)
    made = a_snapshot(run, api=rows)
    kept = [row["document_id"] for row in read(run, made, "documents")]
    assert len(kept) > 1
    assert set(greedy({f"api:{key}": text for key, text in rows}, 0.85)) == {f"api:{key}" for key, _ in rows} - set(
        kept
    )


def test_a_band_of_thousands_is_not_compared_all_with_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = Counter[int]()
    alike = pairs._alike

    def counting(shingles: Any, first: int, second: int, threshold: float) -> bool:
        compared[second] += 1
        return alike(shingles, first, second, threshold)

    monkeypatch.setattr(pairs, "_alike", counting)
    run = a_local_run(tmp_path, "near", near_threshold=0.9)
    boilerplate = " ".join(f"legal{n}" for n in range(300))
    made = a_snapshot(run, api=[(f"{n:05d}", f"{boilerplate} page {n}") for n in range(2_000)])
    assert made.counts["documents"] == 1
    assert sum(compared.values()) < 2_000 * 2


@pytest.mark.parametrize("duplicates", ["none", "exact", "near"])
def test_nothing_in_gives_nothing_out(tmp_path: Path, duplicates: str) -> None:
    run = a_local_run(tmp_path, duplicates)
    made = a_snapshot(run, api=[], guides=[(None, "no id")])
    assert made.counts == {"documents_in": 1, "documents": 0, "rejected": 1}
    assert [one.name for one in made.objects] == ["rejected-00000.parquet"]


def test_the_same_documents_make_the_same_snapshot(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    first = a_snapshot(run, api=[("1", "one"), ("2", "two")], guides=[("g", "guide")])
    assert a_snapshot(run, api=[("1", "one"), ("2", "two")], guides=[("g", "guide")]) == first
    assert a_snapshot(run, api=[("1", "one"), ("2", "two")]).place != first.place


def test_snapshots_made_apart_have_equal_bytes(tmp_path: Path) -> None:
    rows = drifting(random.Random(1), families=20, versions=4)
    digests = {a_snapshot(a_local_run(tmp_path / str(turn), "near"), api=rows, guides=rows).digest for turn in range(2)}
    assert len(digests) == 1


def test_documents_that_got_lost_are_noticed(tmp_path: Path) -> None:
    run = a_local_run(tmp_path)
    cleaned = clean(run, "api", raw_of(run, [table(("1", "one"))]))
    more = replace(cleaned, counts={**cleaned.counts, "rows": 3, "documents": 3})
    with pytest.raises(OperationError, match="3 rows came in, 1 documents and 0 rejected rows came out, so 2 are lost"):
        snapshot(run, [more])


def test_a_store_whose_path_looks_like_a_pattern_is_read(tmp_path: Path) -> None:
    run = a_local_run(tmp_path / "it's [a] *")
    assert a_snapshot(run, api=[("1", "one")]).counts["documents"] == 1


short = st.sampled_from(["a", "b", "c d e", "c d e f", BASE, BASE + "x", None])
rows_of = st.lists(st.tuples(st.none() | st.sampled_from("abcdefgh"), short | st.text(max_size=5)), max_size=25)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(rows_of, rows_of, st.sampled_from(["none", "exact", "near"]))
def test_counts_add_up_and_ids_are_unique_and_sorted(api: Rows, guides: Rows, duplicates: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = a_run(MemoryStore(), Path(folder), sources=("api", "guides"), clean={"duplicates": duplicates})
        made = a_snapshot(run, api=api, guides=guides)
        ids = [row["document_id"] for row in read(run, made, "documents")]
        texts = [row["text"] for row in read(run, made, "documents")]
        assert ids == sorted(set(ids))
        assert made.counts["documents_in"] == len(api) + len(guides)
        assert made.counts["documents_in"] == made.counts["documents"] + made.counts["rejected"]
        assert sum(made.facts["rejected_by_reason"].values()) == made.counts["rejected"]
        assert made.counts["documents"] == len(ids)
        for name in ("rows", "documents", "rejected"):
            total = {"rows": "documents_in"}.get(name, name)
            assert sum(one[name] for one in made.facts["sources"].values()) == made.counts[total]
        if duplicates != "none":
            assert len(set(texts)) == len(texts)
