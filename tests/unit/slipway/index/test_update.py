from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.config.index import IndexUpdate, SearchParameters
from slipway.errors import CorruptObject
from slipway.index import update as module
from slipway.index.anatomy import inverted_file, lists
from slipway.index.build import build
from slipway.index.exact import exact_neighbours
from slipway.index.live import Live, nearest
from slipway.index.spec import default_parameters
from slipway.index.stored import stored
from tests.support.releases import clustered_vectors, spec
from tests.support.updates import NEVER, Following, name

DIMENSION = 32
UNIVERSE = clustered_vectors(4_000, DIMENSION)
UPDATED = [
    "HNSW16",
    "HNSW16,SQ8",
    "HNSW16,RFlat",
    "PCA16,HNSW16",
    "IVF4,Flat",
    "IVF4,SQ8",
    "IVF4,PQ8x4fs",
    "IVF4,PQ8x4fs,Refine(SQ8)",
    "IVF4,PQ8x4fs,RFlat",
    "OPQ8,IVF4,PQ8x4fs,RFlat",
    "IVF4,RaBitQ",
]
EVERYTHING = SearchParameters(ef_search=512, nprobe=4, refine_factor=100)


def whole(factory: str) -> dict[str, int]:
    """Search parameters that visit everything."""
    return default_parameters(spec(factory), EVERYTHING)


def check(following: Following, wanted: set[int]) -> None:
    """The rows are those wanted, once each, and the index holds for each row the vector of its chunk."""
    live = following.live()
    assert sorted(live.values()) == sorted(wanted)
    index, rows = following.index, np.array(sorted(live))
    ivf = inverted_file(index)
    if ivf is None:
        assert index.ntotal == following.rows.num_rows
    else:
        assert sorted(np.concatenate([ids for _, ids in lists(ivf)]).tolist()) == rows.tolist()
    vectors = following.universe[[live[int(row)] for row in rows]]
    for part in stored(index, rows, vectors):
        distances = ((part.held[:, None, :] - part.given[None, :, :]) ** 2).sum(axis=-1)
        assert (distances.argmin(axis=1) == np.arange(len(rows))).mean() > (0.99 if part.exact else 0.9)


@pytest.mark.parametrize("factory", UPDATED)
def test_texts_come_go_and_come_back(tmp_path: Path, factory: str) -> None:
    random = np.random.default_rng(5)
    wanted = set(range(300))
    following = Following(tmp_path, UNIVERSE[:400], spec(factory), wanted)
    for _ in range(5):
        came = set(random.choice(400, 25, replace=False).tolist())
        gone = set(random.choice(sorted(wanted), 25, replace=False).tolist())
        after = (wanted | came) - (gone - came)
        attempt = following.follow(after)
        assert (attempt.added, attempt.removed) == (len(after - wanted), len(wanted - after))
        wanted = after
        check(following, wanted)
        found = following.found(UNIVERSE[:400], 10, whole(factory))
        assert all(set(ranked) <= wanted and len(ranked) == 10 for ranked in found)


@settings(max_examples=25)
@given(
    factory=st.sampled_from(["HNSW8", "IVF2,Flat", "IVF2,PQ8x4fs,RFlat"]),
    nights=st.lists(st.sets(st.integers(0, 39), min_size=1), min_size=1, max_size=6),
)
def test_any_history_leaves_what_is_wanted(factory: str, nights: list[set[int]]) -> None:
    with TemporaryDirectory() as folder:
        following = Following(Path(folder), UNIVERSE[:40], spec(factory), set(range(20)))
        for wanted in nights:
            assert following.follow(wanted).index is not None
            live = following.live()
            assert sorted(live.values()) == sorted(wanted)
            for row, chunk in live.items():
                for part in stored(following.index, np.array([row]), UNIVERSE[chunk : chunk + 1]):
                    assert not part.exact or (part.held == part.given).all()
            found = following.found(UNIVERSE[:40], 40, whole(factory))
            assert all(set(ranked) <= wanted for ranked in found)
            if factory != "HNSW8":  # a graph may lose sight of a row
                assert all(set(ranked) == wanted for ranked in found)


@pytest.mark.parametrize(
    ("factory", "parameters"),
    [
        ("HNSW32", {"efSearch": 64}),
        ("IVF32,PQ16x4fs,Refine(SQ8)", {"nprobe": 8, "k_factor_rf": 10}),
        ("IVF32,PQ16x4fs,RFlat", {"nprobe": 8, "k_factor_rf": 4}),
    ],
)
def test_twenty_nights_cost_no_recall_and_fire_no_trigger(
    tmp_path: Path, factory: str, parameters: dict[str, int]
) -> None:
    random, wanted = np.random.default_rng(1), set(range(3_000))
    following = Following(tmp_path, UNIVERSE, spec(factory), wanted)
    waiting = list(range(3_000, 4_000))
    for _ in range(20):
        gone = random.choice(sorted(wanted), 30, replace=False).tolist()
        wanted = (wanted - set(gone)) | {waiting.pop() for _ in gone}
        attempt = following.follow(wanted, IndexUpdate())
        assert attempt.index is not None, attempt.reason
    numbers = np.array(sorted(wanted))
    queries = clustered_vectors(300, DIMENSION, seed=8)
    truth = numbers[exact_neighbours(UNIVERSE[numbers], queries, 10)[1]].tolist()
    anew = build(UNIVERSE[numbers], spec(factory), 100_000, 100)
    for parameter, value in parameters.items():
        module.faiss.ParameterSpace().set_index_parameter(anew, parameter, value)
    rebuilt = numbers[nearest(anew, Live.of(np.ones(len(numbers), dtype=bool)), queries, 10)[1]].tolist()
    updated = following.found(queries, 10, parameters)
    assert all(set(ranked) <= wanted for ranked in updated)
    recalls = [
        np.mean([len(set(found) & set(exact)) / 10 for found, exact in zip(each, truth, strict=True)])
        for each in (updated, rebuilt)
    ]
    assert recalls[0] == pytest.approx(recalls[1], abs=0.01)
    assert recalls[0] > 0.9


def test_a_row_that_comes_back_to_a_graph_is_the_one_it_was(tmp_path: Path) -> None:
    following = Following(tmp_path, UNIVERSE[:50], spec("HNSW16"), set(range(40)))
    before = {chunk: row for row, chunk in following.live().items()}
    following.follow(set(range(30)))
    assert following.rows.num_rows == 40
    attempt = following.follow(set(range(45)))
    assert (attempt.added, attempt.removed, attempt.rows) == (15, 0, 45)
    after = {chunk: row for row, chunk in following.live().items()}
    assert {chunk: after[chunk] for chunk in before} == before
    assert following.index.ntotal == 45


def test_a_row_that_left_an_inverted_file_never_comes_back(tmp_path: Path) -> None:
    following = Following(tmp_path, UNIVERSE[:50], spec("IVF4,PQ8x4fs,RFlat"), set(range(40)))
    following.follow(set(range(30)))
    attempt = following.follow(set(range(40)))
    assert (attempt.rows, following.rows.num_rows) == (50, 50)
    assert sorted(following.live()) == [*range(30), *range(40, 50)]
    assert (following.index.ntotal, inverted_file(following.index).ntotal) == (50, 40)


def test_new_rows_are_appended_in_the_order_of_their_hashes(tmp_path: Path) -> None:
    following = Following(tmp_path, UNIVERSE[:50], spec("HNSW16"), {5, 9, 20})
    following.follow({5, 9, 20, 30, 1, 12})
    assert following.rows["chunk_hash"].to_pylist() == [name(number) for number in (5, 9, 20, 1, 12, 30)]


def test_nothing_new_changes_nothing(tmp_path: Path) -> None:
    following = Following(tmp_path, UNIVERSE[:50], spec("IVF4,PQ8x4fs,RFlat"), set(range(40)))
    following.follow(set(range(40)))
    first = following.index_file.read_bytes()
    attempt = following.follow(set(range(40)))
    assert (attempt.added, attempt.removed) == (0, 0)
    assert following.index_file.read_bytes() == first


def fired(attempt: Any) -> list[str]:
    return [trigger.name for trigger in attempt.triggers if trigger.fired]


def test_too_many_tombstones_end_the_update(tmp_path: Path) -> None:
    following = Following(tmp_path, UNIVERSE[:100], spec("HNSW16"), set(range(100)))
    assert following.follow(set(range(80)), IndexUpdate()).index is not None
    attempt = following.follow(set(range(79)), IndexUpdate())
    assert (attempt.index, fired(attempt)) == (None, ["tombstone_share"])
    assert attempt.reason == "tombstone_share 0.21, over the limit of 0.2"
    assert [trigger.name for trigger in attempt.triggers] == ["tombstone_share"]  # none after the first that fires


@pytest.mark.parametrize(("training", "names"), [(0.0, ["cost"]), (10.0, [])])
def test_the_cheaper_way_is_taken(tmp_path: Path, training: float, names: list[str]) -> None:
    """A collection that grew manyfold: adding to a graph costs as much as building it, unless it has to be trained."""
    following = Following(tmp_path, UNIVERSE[:400], spec("HNSW16"), set(range(40)))
    following.built = replace(following.built, vectors=40, seconds=training + 0.04, seconds_per_vector=0.001)
    attempt = following.follow(set(range(400)), NEVER)
    assert fired(attempt) == names
    assert (attempt.index is None) == bool(names)
    cost = next(trigger for trigger in attempt.triggers if trigger.name == "cost")
    assert cost.value == pytest.approx(0.360 * np.log(400) / (np.log(40) - 1), rel=1e-3)
    assert cost.limit == pytest.approx(training + 0.4)


def test_vectors_unlike_those_trained_on_end_the_update(tmp_path: Path) -> None:
    strange = np.random.default_rng(3).normal(size=(200, DIMENSION)).astype(np.float32)
    strange /= np.linalg.norm(strange, axis=1, keepdims=True)
    tight = clustered_vectors(1_000, DIMENSION, centres=4)
    universe = np.vstack([tight, strange])
    following = Following(tmp_path, universe, spec("IVF8,PQ8x4fs,RFlat"), set(range(1_000)))
    attempt = following.follow(set(range(1_200)), IndexUpdate())
    assert (attempt.index, fired(attempt)) == (None, ["error_growth"])


def test_a_few_vectors_are_no_proof_of_drift(tmp_path: Path) -> None:
    """The two worst of a thousand are far over the mean, and chance."""
    following = Following(tmp_path, UNIVERSE[:1_000], spec("IVF8,PQ8x4fs,RFlat"), set(range(990)))
    for chunk in range(990, 1_000):
        assert "error_growth" not in fired(following.follow(set(range(988)) | {chunk, chunk - 1}, IndexUpdate()))


def test_lists_that_grew_apart_end_the_update(tmp_path: Path) -> None:
    one = UNIVERSE[:1] + 0.05 * np.random.default_rng(3).normal(size=(600, DIMENSION)).astype(np.float32)
    universe = np.vstack([UNIVERSE[:1_000], one / np.linalg.norm(one, axis=1, keepdims=True)]).astype(np.float32)
    following = Following(tmp_path, universe, spec("IVF16,Flat"), set(range(1_000)))
    attempt = following.follow(set(range(1_600)), IndexUpdate())
    assert (attempt.index, fired(attempt)) == (None, ["imbalance"])


def test_lost_recall_ends_the_update(tmp_path: Path) -> None:
    following = Following(tmp_path, UNIVERSE[:1_000], spec("HNSW16"), set(range(900)))
    following.built = replace(following.built, probe_recall=following.built.probe_recall + 0.02)
    attempt = following.follow(set(range(20, 1_000)), IndexUpdate())
    assert (attempt.index, fired(attempt)) == (None, ["recall_loss"])


def test_every_trigger_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    following = Following(tmp_path, UNIVERSE[:1_000], spec("IVF8,PQ8x4fs,RFlat"), set(range(900)))
    with caplog.at_level("INFO", "slipway"):
        attempt = following.follow(set(range(20, 950)), IndexUpdate())
    names = ["tombstone_share", "cost", "error_growth", "imbalance", "recall_loss"]
    assert [trigger.name for trigger in attempt.triggers] == names
    for trigger in attempt.triggers:
        assert str(trigger) in caplog.text
        assert trigger.as_json() == {
            "name": trigger.name, "value": trigger.value, "limit": trigger.limit, "fired": False,
        }  # fmt: skip


def test_an_index_that_faiss_cannot_change_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: Any) -> None:
        raise RuntimeError("Error in faiss::somewhere: not implemented")

    following = Following(tmp_path, UNIVERSE[:100], spec("IVF4,Flat"), set(range(90)))
    monkeypatch.setattr(module, "remove", cannot)
    attempt = following.follow(set(range(10, 100)))
    assert attempt.index is None
    assert attempt.reason == "FAISS cannot update IVF4,Flat: Error in faiss::somewhere: not implemented"


def test_rows_of_another_index_are_corrupt(tmp_path: Path) -> None:
    following = Following(tmp_path / "a", UNIVERSE[:100], spec("HNSW16"), set(range(90)))
    other = Following(tmp_path / "b", UNIVERSE[:100], spec("HNSW16"), set(range(91)))
    following.rows_file = other.rows_file
    with pytest.raises(CorruptObject, match=r"the index holds 90 vectors, rows.arrow has 91 rows"):
        following.follow(set(range(92)))
