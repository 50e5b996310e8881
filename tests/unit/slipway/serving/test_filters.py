import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import CorruptObject, InputError
from slipway.index.build import build
from slipway.index.selection import Selection
from slipway.serving import filters as module
from slipway.serving.filters import Filters
from tests.support.releases import a_searcher, clustered_vectors, spec, unit_vectors

DOCUMENTS: list[dict[str, Any]] = [
    {"package": "numpy", "year": 2019, "stable": True, "released": "2019-07-26"},
    {"package": "numpy", "year": 2022.5, "stable": False, "released": "2022-06-22"},
    {"package": "scipy", "year": None, "stable": 1, "released": "2022-06-22T10:00:00"},
    {"package": "Pandas", "year": "2020", "tags": ["tables", "time"]},
    {"package": "été", "year": 1 << 60, "tags": [], "nested": {"a": [1]}},
    {"year": (1 << 60) + 1, "tags": ["time", 7]},
]


def filters_of(documents: list[dict[str, Any]]) -> Filters:
    return Filters(
        pa.chunked_array([[json.dumps(one) for one in documents]], pa.string()), rows_are_documents(documents)
    )


def rows_are_documents(documents: list[dict[str, Any]]) -> Callable[[np.ndarray], Selection]:
    index = build(unit_vectors(len(documents)), spec("Flat"), 1_000, 40)
    return lambda mask: Selection.of(index, mask)


@pytest.fixture(scope="module")
def filters() -> Filters:
    return filters_of(DOCUMENTS)


def found(filters: Filters, **where: Any) -> list[int]:
    matching = filters.matching(where)
    ordinals = [ordinal for ordinal in range(len(DOCUMENTS)) if ordinal in matching]
    assert matching.selection.count == len(ordinals)
    return ordinals


@pytest.mark.parametrize(
    ("where", "ordinals"),
    [
        ({"package": "numpy"}, [0, 1]),
        ({"package": "NumPy"}, []),
        ({"package": "été"}, [4]),
        ({"package": None}, [5]),
        ({"year": None}, [2]),
        ({"year": 2019}, [0]),
        ({"year": 2019.0}, [0]),
        ({"year": np.int64(2019)}, [0]),
        ({"year": "2019"}, []),
        ({"year": "2020"}, [3]),
        ({"year": 1 << 60}, [4]),
        ({"year": (1 << 60) + 1}, [5]),
        ({"stable": True}, [0]),
        ({"stable": 1}, [2]),
        ({"stable": False}, [1]),
        ({"stable": 0}, []),
        ({"package": ["numpy", "Pandas", "none such"]}, [0, 1, 3]),
        ({"package": ("scipy", None)}, [2, 5]),
        ({"package": {"scipy"}}, [2]),
        ({"year": np.array([2019, 2022.5])}, [0, 1]),
        ({"package": []}, []),
        ({"year": {"gte": 2019}}, [0, 1, 4, 5]),
        ({"year": {"gt": 2019}}, [1, 4, 5]),
        ({"year": {"gt": 2019, "lt": 1 << 60}}, [1]),
        ({"year": {"lte": 2022.5}}, [0, 1]),
        ({"year": {"gte": "2000"}}, [3]),
        ({"released": {"gte": "2022-01-01"}}, [1, 2]),
        ({"released": {"gte": "2019", "lt": "2020"}}, [0]),
        ({"released": {"gte": 2019}}, []),
        ({"stable": {"gte": 0}}, [2]),
        ({"package": {"not": "numpy"}}, [2, 3, 4, 5]),
        ({"package": {"not": ["numpy", None]}}, [2, 3, 4]),
        ({"package": {"not": None, "lt": "a"}}, [3]),
        ({"tags": "time"}, [3, 5]),
        ({"tags": ["tables", 7]}, [3, 5]),
        ({"tags": {"gt": 6}}, [5]),
        ({"tags": {"not": "time"}}, [0, 1, 2, 4]),
        ({"nested": "a"}, []),
        ({"package": "numpy", "stable": False}, [1]),
        ({"package": "numpy", "tags": "time"}, []),
    ],
)
def test_a_filter_finds_the_documents_that_match(filters: Filters, where: dict[str, Any], ordinals: list[int]) -> None:
    assert found(filters, **where) == ordinals
    assert found(filters, **where) == ordinals  # as it is kept


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"packages": "numpy"}, "'packages'; there are nested, package, released, stable, tags, year"),
        ({"year": {"above": 3}}, r"where\['year'\] has \['above'\]; expected any of gte, gt, lte, lt, not"),
        ({"year": {}}, r"where\['year'\] has \[\]; expected any of"),
        ({"year": {"gte": 1, 3: 4}}, r"has \['3', 'gte'\]; expected"),
        ({"year": float("nan")}, "compared with nan; expected a text, a finite number"),
        ({"year": [1, float("inf")]}, "compared with inf; expected"),
        ({"year": object()}, "expected a text, a finite number, true, false or None"),
        ({"year": [[1]]}, r"compared with \[1\]; expected"),
        ({"year": b"2019"}, "expected a text"),
        ({"year": {"gte": None}}, r"where\['year'\].gte is None; expected a number or a text"),
        ({"year": {"lt": True}}, "lt is True; expected a number"),
        ({"year": {"gt": [1]}}, r"gt is \[1\]; expected a number"),
        ({"year": {"not": {"gte": 3}}}, "not takes a value or a list"),
        (["year"], r"where maps metadata fields to what is asked of them, got \['year'\]"),
        ({3: "x"}, "names metadata fields by text, got 3"),
    ],
)
def test_what_is_no_filter_is_refused(filters: Filters, where: Any, message: str) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            filters.matching(where)


def test_documents_without_metadata_say_so() -> None:
    with pytest.raises(InputError, match="the metadata field 'x'; its documents have none"):
        filters_of([{}, {}]).matching({"x": 1})


@pytest.mark.parametrize("text", ["[1]", "3", "{", "", "null"])
def test_metadata_that_is_no_object_is_corrupt(text: str) -> None:
    filters = Filters(pa.chunked_array([["{}", text]]), rows_are_documents([{}, {}]))
    with pytest.raises(CorruptObject, match=r"documents\.arrow holds metadata that is no JSON object"):
        filters.matching({"x": 1})


@pytest.mark.parametrize("distinct", [1, 255, 256, 70_000])
def test_columns_are_as_narrow_as_their_values_allow(distinct: int) -> None:
    metadata = pa.chunked_array([[json.dumps({"n": number % distinct}) for number in range(70_000)]])
    column = module._columns(metadata)["n"]
    assert column.codes.dtype == {1: np.uint8, 255: np.uint8, 256: np.uint16, 70_000: np.int32}[distinct]
    assert [column.values[code] for code in column.codes[:300]] == [number % distinct for number in range(300)]


def test_columns_are_of_all_chunks() -> None:
    metadata = pa.chunked_array([['{"a": 1}', '{"b": 2}'], [], ['{"a": 3}', '{"a": 1}']], pa.string())
    columns = module._columns(metadata)
    assert {name: [one.values[code] for code in one.codes] for name, one in columns.items()} == {
        "a": [1, None, 3, 1],
        "b": [None, 2, None, None],
    }
    assert module._columns(pa.chunked_array([], pa.string())) == {}


def test_metadata_is_read_once_and_only_when_it_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = module._columns
    monkeypatch.setattr(module, "_columns", lambda metadata: read.append(1) or real(metadata))
    filters, start = filters_of(DOCUMENTS), threading.Barrier(6)
    assert read == []

    def work(number: int) -> None:
        start.wait(60)
        found(filters, year=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    filters.prepare()
    assert read == [1]


def test_the_last_filters_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 5_000)
    selected: list[int] = []
    filters = filters_of(DOCUMENTS)
    real = filters._select
    filters._select = lambda mask: selected.append(int(mask.sum())) or real(mask)
    for number in range(50):
        filters.matching({"year": number})
        filters.matching({"package": "numpy"})  # used all the time, so it stays
        assert filters._kept_bytes == sum(module._size(*one) for one in filters._kept.items()) <= 5_000
    assert selected.count(2) == 1
    assert len(filters._kept) == 4
    filters.matching({"package": ["x" * 5_000]})  # larger than all that may be kept
    assert len(filters._kept) == 4


VALUES = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "a", "b", "2020-01-01"])
)
SCALARS = st.integers(-3, 3) | st.sampled_from(["a", "b"])
ASKED = (
    VALUES
    | st.lists(VALUES, max_size=3)
    | st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt"]), SCALARS, min_size=1)
    | VALUES.map(lambda value: {"not": value})
)
OBJECTS = st.dictionaries(st.sampled_from(["x", "y"]), VALUES | st.lists(VALUES, max_size=2))


def matches(document: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Another account of what a filter means, one document at a time."""
    return all(_meets(document.get(name), asked) for name, asked in where.items())


def _meets(stored: Any, asked: Any) -> bool:
    if isinstance(asked, dict) and "not" in asked:
        return not _meets(stored, asked["not"])
    if isinstance(asked, dict):
        return all(any(_orders(one, key, bound) for one in _elements(stored)) for key, bound in asked.items())
    return any(_equal(one, wanted) for one in _elements(stored) for wanted in _elements(asked))


def _elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _equal(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _orders(one: Any, key: str, bound: Any) -> bool:
    if isinstance(one, bool) or one is None or isinstance(one, str) != isinstance(bound, str):
        return False
    return {"gte": one >= bound, "gt": one > bound, "lte": one <= bound, "lt": one < bound}[key]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(OBJECTS, min_size=2, max_size=12),
    owners=st.lists(st.lists(st.integers(0, 11), max_size=3, unique=True), min_size=1, max_size=40),
    where=st.dictionaries(st.sampled_from(["x", "y"]), ASKED, max_size=2),
    k=st.integers(1, 14),
    seed=st.integers(0, 100),
)
def test_an_answer_is_the_nearest_of_the_documents_that_match(
    documents: list[dict[str, Any]], owners: list[list[int]], where: dict[str, Any], k: int, seed: int, tmp_path: Path
) -> None:
    """Rows of several documents, and tombstones, over an exact index."""
    documents = [{"x": 0, "y": 0}, *documents]
    owners = [[owner % len(documents) for owner in dict.fromkeys(row)] for row in owners]
    owners = [list(dict.fromkeys(row)) for row in owners]
    vectors, query = unit_vectors(len(owners), seed=seed), unit_vectors(1, seed=seed + 1_000)
    searcher = a_searcher(tmp_path, vectors, owners=owners, documents=len(documents), metadata=documents)
    best: dict[int, float] = {}
    for row, its_owners in enumerate(owners):
        for owner in its_owners:
            if matches(documents[owner], where):
                best[owner] = max(best.get(owner, -2.0), float(vectors[row] @ query[0]))
    ranked = searcher.nearest_documents(query, k, where)[0]
    assert [score for _, score, _ in ranked] == pytest.approx(sorted(best.values(), reverse=True)[:k], abs=1e-5)
    assert all(best[ordinal] == pytest.approx(score, abs=1e-5) for ordinal, score, _ in ranked)
    assert all(ordinal in owners[row] for ordinal, _, row in ranked)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF16,PQ4x4fs,RFlat"])
def test_a_filtered_search_of_any_index_gives_k_documents_that_match(tmp_path: Path, factory: str) -> None:
    vectors, queries = clustered_vectors(2_000), clustered_vectors(20, seed=1)
    metadata = [{"group": number % 100, "half": number % 2} for number in range(2_000)]
    searcher = a_searcher(tmp_path, vectors, {}, index_spec=spec(factory), metadata=metadata)
    for where, there in (({"half": 1}, 1_000), ({"group": 7}, 20), ({"group": 7, "half": 0}, 0)):
        answers = searcher.search(queries, 15, where)
        assert len(answers) == 20
        assert all(len(hits) == min(15, there) for hits in answers)
        assert all(hit.metadata[name] == value for hits in answers for hit in hits for name, value in where.items())
    everything = searcher.search(queries[:1], 10**6, {"half": 1})[0]
    assert len(everything) == 1_000


def test_an_empty_filter_is_none(tmp_path: Path) -> None:
    searcher = a_searcher(tmp_path, unit_vectors(30))
    assert searcher.search(unit_vectors(2, seed=1), 5, {}) == searcher.search(unit_vectors(2, seed=1), 5)
