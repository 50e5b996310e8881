import json
from pathlib import Path

import numpy as np
import pytest

from slipway.errors import ReleaseRefused
from slipway.index import artifact
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import K, run_smoke_queries, smoke_queries
from tests.support.releases import a_searcher, clustered_vectors, spec, unit_vectors, write_files

VECTORS = clustered_vectors(400)
QUERIES = unit_vectors(8, seed=3)


@pytest.mark.parametrize("metric", ["inner_product", "l2"])
@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF8,PQ4x4fs,RFlat"])
def test_an_index_answers_its_own_smoke_queries(tmp_path: Path, factory: str, metric: str) -> None:
    files = write_files(tmp_path, VECTORS, index_spec=spec(factory, metric))
    queries = json.loads(json.dumps(smoke_queries(Searcher(files, {}), QUERIES)))
    assert run_smoke_queries(Searcher(files, {}), queries) == 8


def test_they_keep_what_was_asked_and_found(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, VECTORS)
    queries = smoke_queries(searcher, QUERIES[:2], ["first", "second"])
    hits = searcher.search(QUERIES[1:2], K)[0]
    assert [query["text"] for query in queries] == ["first", "second"]
    assert queries[1]["documents"] == [hit.document_id for hit in hits]
    assert queries[1]["scores"] == [hit.score for hit in hits]
    assert np.array(queries[1]["vector"], np.float32).tolist() == QUERIES[1].tolist()


def test_vectors_in_another_order_are_noticed(tmp_path: Path) -> None:
    queries = smoke_queries(a_searcher(tmp_path / "a", VECTORS), QUERIES)
    shuffled = a_searcher(tmp_path / "b", VECTORS[np.random.default_rng(1).permutation(400)])
    with pytest.raises(ReleaseRefused, match=r"smoke query 0 found .*; expected .*not the one that was judged"):
        run_smoke_queries(shuffled, queries)


def test_rows_that_slipped_by_one_are_noticed(tmp_path: Path) -> None:
    queries = smoke_queries(a_searcher(tmp_path / "a", VECTORS), QUERIES)
    with pytest.raises(ReleaseRefused):
        run_smoke_queries(a_searcher(tmp_path / "b", np.roll(VECTORS, 1, axis=0)), queries)


def test_another_index_is_noticed(tmp_path: Path) -> None:
    queries = smoke_queries(a_searcher(tmp_path / "a", VECTORS), QUERIES)
    with pytest.raises(ReleaseRefused):
        run_smoke_queries(a_searcher(tmp_path / "b", clustered_vectors(400, seed=8)), queries)


def test_other_documents_are_noticed(tmp_path: Path) -> None:
    files = write_files(tmp_path / "a", VECTORS)
    queries = smoke_queries(Searcher(files, {}), QUERIES)
    files[artifact.DOCUMENTS] = write_files(tmp_path / "b", VECTORS, prefix="other")[artifact.DOCUMENTS]
    with pytest.raises(ReleaseRefused, match=r"smoke query 0 found other-.*; expected doc-"):
        run_smoke_queries(Searcher(files, {}), queries)


def test_other_scores_of_the_same_documents_are_noticed(tmp_path: Path) -> None:
    queries = smoke_queries(a_searcher(tmp_path / "a", VECTORS), QUERIES)
    with pytest.raises(ReleaseRefused, match=r"smoke query 0 scored .*the vectors are not those that were judged"):
        run_smoke_queries(a_searcher(tmp_path / "b", VECTORS * 1.1), queries)


def test_nothing_found_where_something_was_expected_is_noticed(tmp_path: Path) -> None:
    queries = smoke_queries(a_searcher(tmp_path / "a", VECTORS), QUERIES)
    searcher = a_searcher(tmp_path / "b", VECTORS)
    searcher.vectors = 0
    searcher.index.search = lambda vectors, k: (np.zeros((1, 0), np.float32), np.zeros((1, 0), np.int64))
    with pytest.raises(ReleaseRefused, match="found nothing; expected doc-"):
        run_smoke_queries(searcher, queries)


def test_one_document_that_changed_places_with_the_next_is_forgiven(tmp_path: Path) -> None:
    """Processors differ in the last bits, so the fifth and the sixth may change places."""
    searcher = a_searcher(tmp_path, VECTORS)
    queries = smoke_queries(searcher, QUERIES)
    queries[0]["documents"][-1] = "doc-99999"
    assert run_smoke_queries(searcher, queries) == 8
    queries[0]["documents"][-2] = "doc-99998"
    with pytest.raises(ReleaseRefused, match="smoke query 0"):
        run_smoke_queries(searcher, queries)


def test_a_corpus_smaller_than_k_has_smoke_queries_too(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, VECTORS[:1])
    assert run_smoke_queries(searcher, smoke_queries(searcher, QUERIES)) == 8
