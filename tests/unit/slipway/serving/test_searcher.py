import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import CorruptObject, InputError
from slipway.index import artifact
from slipway.index.artifact import DOCUMENTS_SCHEMA, ROWS_SCHEMA
from slipway.index.build import read, write
from slipway.index.update import remove
from slipway.serving.searcher import SNIPPET, Searcher, snippet
from tests.support.releases import (
    DIMENSION,
    a_searcher,
    clustered_vectors,
    spec,
    unit_vectors,
    write_arrow,
    write_files,
)

VECTORS = unit_vectors(30)


def ids(searcher: Searcher, query: np.ndarray, k: int = 10) -> list[str]:
    return [hit.document_id for hit in searcher.search(query[None, :], k)[0]]


def test_a_hit_tells_the_document_and_its_passage(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, VECTORS)
    hit = searcher.search(VECTORS[7:8], 1)[0][0]
    assert hit.score == pytest.approx(1, abs=1e-5)
    assert (hit.document_id, hit.title, hit.snippet) == ("doc-00007", "Title of doc-00007", "text")
    assert hit.metadata == {"number": 7}
    assert (searcher.dimension, searcher.vectors, searcher.documents) == (DIMENSION, 30, 30)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF4,Flat"])
def test_documents_come_nearest_first_by_inner_product(tmp_path: Path, factory: str) -> None:
    searcher = a_searcher(tmp_path, VECTORS, index_spec=spec(factory))
    query = unit_vectors(1, seed=5)
    hits = searcher.search(query, 5)[0]
    assert searcher.higher_is_nearer
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert factory == "IVF4,Flat" or ids(searcher, query[0], 1) == [f"doc-{int(np.argmax(VECTORS @ query[0])):05d}"]


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "SQ8"])
def test_documents_come_nearest_first_by_distance(tmp_path: Path, factory: str) -> None:
    """Vectors of many lengths: the nearest is not the one with the largest product."""
    vectors = VECTORS * np.linspace(0.5, 20, 30, dtype=np.float32)[:, None]
    searcher = a_searcher(tmp_path, vectors, index_spec=spec(factory, "l2"))
    query = unit_vectors(1, seed=5)
    distances = ((vectors - query) ** 2).sum(axis=1)
    hits = searcher.search(query, 3)[0]
    assert not searcher.higher_is_nearer
    assert [hit.metadata["number"] for hit in hits] == np.argsort(distances)[:3].tolist()
    assert [hit.score for hit in hits] == pytest.approx(np.sort(distances)[:3], rel=0.05)


def test_a_passage_of_several_documents_finds_them_all(tmp_path: Path) -> None:
    owners = [[row] for row in range(30)]
    owners[4] = [4, 12, 25]
    searcher = a_searcher(tmp_path, VECTORS, owners=owners)
    hits = searcher.search(VECTORS[4:5], 3)[0]
    assert [hit.document_id for hit in hits] == ["doc-00004", "doc-00012", "doc-00025"]
    assert len({hit.score for hit in hits}) == 1
    assert ids(searcher, VECTORS[4], 2) == ["doc-00004", "doc-00012"]


def test_a_document_counts_once_with_its_best_passage(tmp_path: Path) -> None:
    owners = [[row // 10] for row in range(30)]
    searcher = a_searcher(tmp_path, VECTORS, owners=owners)
    hits = searcher.search(VECTORS[13:14], 10)[0]
    assert sorted(hit.document_id for hit in hits) == ["doc-00000", "doc-00001", "doc-00002"]
    assert hits[0].document_id == "doc-00001"
    similarities = VECTORS @ VECTORS[13]
    best = {number: float(similarities[number * 10 : number * 10 + 10].max()) for number in range(3)}
    assert {hit.metadata["number"]: hit.score for hit in hits} == pytest.approx(best, abs=1e-5)


def test_a_document_with_thousands_of_passages_does_not_hide_the_others(tmp_path: Path) -> None:
    near = VECTORS[:1] + 0.01 * unit_vectors(3_000, seed=3)
    searcher = a_searcher(tmp_path, np.vstack([near, VECTORS]), owners=[[0]] * 3_000 + [[1 + n] for n in range(30)])
    found = searcher.nearest_documents(np.vstack([VECTORS[:1], VECTORS[20:21]]), 10)
    assert [len(ranked) for ranked in found] == [10, 10]
    assert (found[0][0][0], found[1][0][0]) == (0, 21)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owners=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), min_size=1, max_size=60),
    k=st.integers(1, 15),
    seed=st.integers(0, 100),
)
def test_it_ranks_documents_by_their_best_passage(owners: list[list[int]], k: int, seed: int, tmp_path: Path) -> None:
    vectors, query = unit_vectors(len(owners), seed=seed), unit_vectors(1, seed=seed + 1_000)
    searcher = a_searcher(tmp_path, vectors, owners=owners, documents=10)
    best: dict[int, float] = {}
    for row, its_owners in enumerate(owners):
        for owner in its_owners:
            best[owner] = max(best.get(owner, -2.0), float(vectors[row] @ query[0]))
    expected = sorted(best.values(), reverse=True)[:k]
    found = searcher.nearest_documents(query, k)[0]
    assert [score for _, score, _ in found] == pytest.approx(expected, abs=1e-5)
    assert all(best[ordinal] == pytest.approx(score, abs=1e-5) for ordinal, score, _ in found)
    assert all(ordinal in owners[row] for ordinal, _, row in found)
    assert len({ordinal for ordinal, _, _ in found}) == len(found)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
@pytest.mark.parametrize("k", [30, 31, 1_000, 10**9])
def test_more_documents_than_there_are_can_be_asked_for(tmp_path: Path, factory: str, k: int) -> None:
    assert len(ids(a_searcher(tmp_path, VECTORS, index_spec=spec(factory)), VECTORS[0], k)) == 30


@pytest.mark.parametrize("factory", ["HNSW16", "HNSW16,SQ8"])
def test_a_graph_tuned_for_ten_finds_hundreds_too(tmp_path: Path, factory: str) -> None:
    """With 16 visits FAISS would give some 200 of the 600 asked for, and not the nearest."""
    vectors = clustered_vectors(3_000)
    searcher = a_searcher(tmp_path, vectors, {"efSearch": 16}, index_spec=spec(factory))
    query = clustered_vectors(1, seed=1)
    found = [row for _, _, row in searcher.nearest_documents(query, 600)[0]]
    assert len(found) == 600
    assert len(set(found) & set(np.argsort(-(vectors @ query[0]))[:600].tolist())) > 560
    assert searcher.index.hnsw.efSearch == 16


class Counting:
    """An index that remembers how many rows it was asked for, and for how many queries."""

    def __init__(self, index: object) -> None:
        self.index, self.asked = index, []

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((len(queries), k))
        return self.index.search(queries, k)


def test_an_index_that_has_no_more_to_give_is_not_asked_again(tmp_path: Path) -> None:
    """One list of 64 visited: asking for ever more rows would cost memory and find nothing."""
    vectors = clustered_vectors(4_000)
    searcher = a_searcher(tmp_path, vectors, {"nprobe": 1}, index_spec=spec("IVF64,Flat"))
    searcher.index = Counting(searcher.index)
    found = searcher.nearest_documents(vectors[:5], 500)
    assert all(10 < len(ranked) < 500 for ranked in found)
    assert searcher.index.asked == [(5, 1_000)]


def test_only_queries_that_are_short_of_documents_are_searched_again(tmp_path: Path) -> None:
    near = VECTORS[:1] + 0.01 * unit_vectors(500, seed=3)
    searcher = a_searcher(tmp_path, np.vstack([near, VECTORS]), owners=[[0]] * 500 + [[1 + n] for n in range(30)])
    searcher.index = Counting(searcher.index)
    searcher.nearest_documents(np.vstack([-VECTORS[:1], VECTORS[:1], -VECTORS[:1]]), 5)
    assert searcher.index.asked == [(3, 16), (1, 64), (1, 256), (1, 530)]


@pytest.mark.parametrize(
    "query",
    [
        np.zeros((1, DIMENSION + 1), np.float32),
        np.zeros((1, DIMENSION - 1), np.float32),
        np.zeros(DIMENSION, np.float32),
        np.zeros((1, 1, DIMENSION), np.float32),
        np.zeros((0, 0), np.float32),
        np.full((1, DIMENSION), np.nan, np.float32),
        np.full((1, DIMENSION), np.inf, np.float32),
        np.full((1, DIMENSION), -np.inf, np.float32),
    ],
)
def test_a_query_of_another_shape_or_not_of_numbers_is_refused(tmp_path: Path, query: np.ndarray) -> None:
    searcher = a_searcher(tmp_path, VECTORS)
    with pytest.raises(InputError, match=rf"\(n, {DIMENSION}\), got|must be finite"):
        searcher.search(query)


def test_doubles_and_views_are_taken(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, VECTORS)
    wide = np.zeros((3, 2 * DIMENSION))
    wide[:, ::2] = VECTORS[:3]
    assert [ranked[0].document_id for ranked in searcher.search(wide[:, ::2])] == [
        "doc-00000",
        "doc-00001",
        "doc-00002",
    ]


def test_no_queries_find_nothing(tmp_path: Path) -> None:
    assert a_searcher(tmp_path, VECTORS).search(np.empty((0, DIMENSION), np.float32)) == []


@pytest.mark.parametrize("k", [0, -1, np.int64(0)])
def test_k_must_be_positive(tmp_path: Path, k: int) -> None:
    with pytest.raises(InputError, match="k must be at least 1"):
        a_searcher(tmp_path, VECTORS).search(VECTORS[:1], k)


@pytest.mark.parametrize("k", ["3", 2.5, 3.0, True, None, [3], np.float32(3)])
def test_k_must_be_a_whole_number(tmp_path: Path, k: Any) -> None:
    with pytest.raises(InputError, match="k must be a whole number"):
        a_searcher(tmp_path, VECTORS).search(VECTORS[:1], k)


def test_a_whole_number_of_numpy_is_one(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, VECTORS)
    assert searcher.search(VECTORS[:1], np.int32(3)) == searcher.search(VECTORS[:1], 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", [["number"], "number", 5, [], "", 0])
def test_a_filter_must_be_a_mapping(tmp_path: Path, where: Any) -> None:
    with pytest.raises(InputError, match="expected a mapping of metadata fields"):
        a_searcher(tmp_path, VECTORS).search(VECTORS[:1], 3, where)


def test_parameters_are_set_when_it_is_opened(tmp_path: Path) -> None:
    assert a_searcher(tmp_path, VECTORS, {"efSearch": 33}, index_spec=spec("HNSW16")).index.hnsw.efSearch == 33


def test_documents_that_are_held(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, VECTORS)
    assert searcher.held(["doc-00003", "doc-99999", ""]) == {"doc-00003"}
    assert searcher.held([]) == set()
    assert searcher.document_ids([2, 0]) == ["doc-00002", "doc-00000"]


def test_many_threads_get_the_answers_of_one(tmp_path: Path) -> None:
    vectors, queries = clustered_vectors(2_000), clustered_vectors(40, seed=1)
    searcher = a_searcher(tmp_path, vectors, {"efSearch": 64}, index_spec=spec("HNSW16"))
    expected = searcher.search(queries, 5)
    start, wrong = threading.Barrier(8), []

    def search(offset: int) -> None:
        start.wait(60)
        for turn in range(len(queries)):
            query = (turn + 5 * offset) % len(queries)
            if searcher.search(queries[query : query + 1], 5)[0] != expected[query]:
                wrong.append(query)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rows_of_another_index_are_corrupt(tmp_path: Path) -> None:
    files = write_files(tmp_path / "a", VECTORS)
    files[artifact.ROWS] = write_files(tmp_path / "b", VECTORS[:29])[artifact.ROWS]
    with pytest.raises(CorruptObject, match=r"the index holds 30 vectors, rows.arrow has 29 rows"):
        Searcher(files, {})


def test_documents_of_another_index_are_corrupt(tmp_path: Path) -> None:
    files = write_files(tmp_path / "a", VECTORS)
    files[artifact.DOCUMENTS] = write_files(tmp_path / "b", VECTORS[:29])[artifact.DOCUMENTS]
    with pytest.raises(CorruptObject, match=r"rows.arrow names a document that documents.arrow does not have"):
        Searcher(files, {})


def test_a_negative_ordinal_is_corrupt_and_not_the_last_document(tmp_path: Path) -> None:
    files = write_files(tmp_path, VECTORS[:1])
    row = {"chunk_hash": ["a"], "documents": [[-1]], "starts": [[0]], "ends": [[1]]}
    write_arrow(files[artifact.ROWS], pa.table(row, ROWS_SCHEMA))
    with pytest.raises(CorruptObject, match="names a document"):
        Searcher(files, {})


def test_files_in_each_others_place_are_corrupt(tmp_path: Path) -> None:
    files = write_files(tmp_path, VECTORS)
    swapped = files | {artifact.ROWS: files[artifact.DOCUMENTS], artifact.DOCUMENTS: files[artifact.ROWS]}
    with pytest.raises(CorruptObject, match="has columns"):
        Searcher(swapped, {})
    with pytest.raises(CorruptObject, match="cannot be read by FAISS"):
        Searcher(files | {artifact.INDEX: files[artifact.ROWS]}, {})


@pytest.mark.parametrize("name", [artifact.ROWS, artifact.DOCUMENTS])
@pytest.mark.parametrize("kept", [0, 1, 50, 0.5, 0.9, 0.999])
def test_a_cut_arrow_file_is_corrupt(tmp_path: Path, name: str, kept: float) -> None:
    files = write_files(tmp_path, VECTORS)
    body = files[name].read_bytes()
    files[name].write_bytes(body[: int(kept if kept == int(kept) else kept * len(body))])
    with pytest.raises(CorruptObject, match=rf"{name} is not a whole Arrow file"):
        Searcher(files, {})


CUT = """
import sys
from pathlib import Path
from slipway.errors import CorruptObject
from slipway.index.artifact import DOCUMENTS, INDEX, ROWS
from slipway.serving.searcher import Searcher

folder = Path(sys.argv[1])
files = {name: folder / name for name in (INDEX, ROWS, DOCUMENTS)}
body = files[INDEX].read_bytes()
kept = {*range(0, 400, 7), *range(400, len(body), max(1, len(body) // 40)), *range(len(body) - 9, len(body))}
for kept in sorted(kept):
    files[INDEX].unlink()  # another file: the last one may be mapped
    files[INDEX].write_bytes(body[:kept])
    try:
        Searcher(files, {})
    except CorruptObject as error:
        assert "index.faiss cannot be read by FAISS" in str(error), error
    else:
        raise SystemExit(f"{kept} of {len(body)} bytes passed for a whole index")
print("all refused")
"""


@pytest.mark.parametrize("factory", ["Flat", "HNSW16,SQ8", "IVF4,Flat", "IVF4,PQ4x4fs,Refine(SQ8)"])
def test_a_cut_index_file_is_corrupt_and_does_not_end_the_process(tmp_path: Path, factory: str) -> None:
    """Cut anywhere, checksums bypassed; in a process of its own, in case FAISS aborts."""
    write_files(tmp_path, VECTORS, index_spec=spec(factory))
    include = str(Path(__file__).parents[4] / "include")
    done = subprocess.run(
        [sys.executable, "-c", CUT, str(tmp_path)], capture_output=True, text=True, env={"PYTHONPATH": include}
    )
    assert (done.returncode, done.stdout.strip()) == (0, "all refused"), done.stderr[-2_000:]


@pytest.mark.parametrize(
    ("passage", "shown"),
    [
        ("", ""),
        ("  two\n\n lines\tand  spaces ", "two lines and spaces"),
        ("a" * SNIPPET, "a" * SNIPPET),
        ("a" * (SNIPPET + 1), "a" * SNIPPET + " …"),
        ("word " * 100, ("word " * 60).strip() + " …"),
    ],
)
def test_a_snippet_is_one_line_cut_at_a_word(passage: str, shown: str) -> None:
    assert snippet(passage) == shown


def test_a_snippet_shows_the_passage_that_was_found(tmp_path: Path) -> None:
    """Offsets count characters, not bytes, and each document has its own."""
    files = write_files(tmp_path, VECTORS[:2], owners=[[0, 1], [1]])
    text = {
        "document_id": ["a", "b"],
        "title": ["", ""],
        "text": ["ääää bread", "x" * 9 + "日本語 text"],
        "metadata": ["{}"] * 2,
    }
    rows = {"chunk_hash": ["1", "2"], "documents": [[0, 1], [1]], "starts": [[5, 9], [0]], "ends": [[10, 12], [9]]}
    write_arrow(files[artifact.DOCUMENTS], pa.table(text, DOCUMENTS_SCHEMA))
    write_arrow(files[artifact.ROWS], pa.table(rows, ROWS_SCHEMA))
    searcher = Searcher(files, {})
    assert [hit.snippet for hit in searcher.search(VECTORS[:1], 2)[0]] == ["bread", "日本語"]
    assert searcher.search(VECTORS[1:2], 1)[0][0].snippet == "x" * 9


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
def test_a_tombstone_is_neither_found_nor_counted(tmp_path: Path, factory: str) -> None:
    owners = [[row] if row % 3 else [] for row in range(30)]
    searcher = a_searcher(tmp_path, VECTORS, owners=owners, documents=30, index_spec=spec(factory))
    assert (searcher.vectors, searcher.rows) == (20, 30)
    assert ids(searcher, VECTORS[3], 30) == [
        f"doc-{row:05d}" for row in np.argsort(-(VECTORS @ VECTORS[3]), kind="stable") if row % 3
    ]
    rows = searcher.nearest_rows(VECTORS[:5], 10)[1]
    assert rows.shape == (5, 10)
    assert (rows % 3 > 0).all()


def test_tombstones_all_around_a_query_do_not_hide_what_lies_behind(tmp_path: Path) -> None:
    near = VECTORS[:1] + 0.01 * unit_vectors(2_000, seed=3)
    owners = [[]] * 2_000 + [[row] for row in range(30)]
    searcher = a_searcher(tmp_path, np.vstack([near, VECTORS]), owners=owners, documents=30)
    assert ids(searcher, VECTORS[0], 1) == ["doc-00000"]
    assert len(ids(searcher, VECTORS[0], 10)) == 10


def test_an_inverted_file_holds_live_rows_only(tmp_path: Path) -> None:
    owners = [[row] if row else [] for row in range(30)]
    files = write_files(tmp_path, VECTORS, owners=owners, documents=30, index_spec=spec("IVF2,PQ8x4fs,RFlat"))
    with pytest.raises(CorruptObject, match=r"the index holds 30 vectors, rows.arrow has 29 rows in use"):
        Searcher(files, {})
    index = read(files[artifact.INDEX])
    remove(index, np.array([0]))
    write(index, files[artifact.INDEX])
    searcher = Searcher(files, {"nprobe": 2, "k_factor_rf": 30})
    assert (searcher.vectors, searcher.rows) == (29, 30)
    assert ids(searcher, VECTORS[0], 30)[0] != "doc-00000"
    assert len(ids(searcher, VECTORS[0], 30)) == 29
