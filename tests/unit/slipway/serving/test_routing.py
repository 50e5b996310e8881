import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import InputError
from slipway.run import Run
from slipway.serving.reader import Reader
from slipway.serving.routing import is_in_share
from slipway.serving.searcher import Hit, Searcher
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, publish, spec, unit_vectors
from tests.support.shifts import offer, promote, sealed, take_back

KEYS = [f"user-{number}" for number in range(4000)]
QUERY = unit_vectors(1, seed=5)[0]


@given(st.one_of(st.text(), st.binary()), st.integers(1, 100), st.integers(1, 100))
def test_who_is_in_at_a_share_is_in_at_every_larger_one(key: str | bytes, one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert is_in_share("r", key, small) <= is_in_share("r", key, large)
    assert is_in_share("r", key, 100)
    assert not is_in_share("r", key, 0)


@pytest.mark.parametrize("percent", [1, 10, 50, 90])
def test_a_share_is_that_large(percent: int) -> None:
    found = sum(is_in_share("20260101T000000-0123abcd", key, percent) for key in KEYS) / len(KEYS)
    assert abs(found - percent / 100) < 0.02


def test_the_hash_is_the_documented_one_so_that_all_readers_agree() -> None:
    digest = hashlib.blake2b(b"release\0user-7", digest_size=8).digest()
    place = int.from_bytes(digest, "big") % 10_000
    assert [is_in_share("release", "user-7", percent) for percent in range(101)] == [
        place < 100 * percent for percent in range(101)
    ]
    assert is_in_share("release", "user-7", 50) == is_in_share("release", b"user-7", 50)


def test_another_trial_meets_other_people() -> None:
    first, second = ({key for key in KEYS if is_in_share(name, key, 10)} for name in ("r1", "r2"))
    assert len(first & second) < 0.3 * len(first)


def seed_of(hits: list[Hit]) -> str:
    (name,) = {hit.document_id.split("-")[0] for hit in hits}
    return name


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path / "scratch")


@pytest.fixture
def reader(run: Run, tmp_path: Path) -> Reader:
    publish(run, seed=1)
    return Reader(run.store, tmp_path / "cache")


def test_during_a_shift_the_key_decides_and_after_it_nobody_asks(run: Run, reader: Reader) -> None:
    second = sealed(run, 2)
    before: set[str] = set()
    for percent in (10, 50, 100):
        offer(run.store, second, percent)
        assert reader.refresh()
        on_trial = {key for key in KEYS[:200] if seed_of(reader.search(QUERY, key=key)) == "seed2"}
        assert on_trial == {key for key in KEYS[:200] if is_in_share(second.release_id, key, percent)}
        assert on_trial >= before
        before = on_trial
    promote(run.store, second)
    assert reader.refresh()
    assert seed_of(reader.search(QUERY, key="user-1")) == "seed2"
    assert reader.trial is None
    assert reader.metrics().loads == 2  # that of the trial was enough


def test_after_a_take_back_nobody_is_on_trial(run: Run, reader: Reader) -> None:
    offer(run.store, sealed(run, 2), 100)
    reader.refresh()
    assert seed_of(reader.search(QUERY)) == "seed2"
    take_back(run.store)
    assert reader.refresh()
    assert seed_of(reader.search(QUERY)) == "seed1"
    assert (reader.trial, reader.metrics().percent) == (None, 0)


def test_without_a_key_the_query_decides_the_same_each_time(run: Run, reader: Reader) -> None:
    offer(run.store, sealed(run, 2), 50)
    reader.refresh()
    answers = [[seed_of(reader.search(vector)) for vector in unit_vectors(60, seed=3)] for _ in range(2)]
    assert answers[0] == answers[1]
    assert set(answers[0]) == {"seed1", "seed2"}


def test_the_answers_of_one_call_come_from_one_release(run: Run, reader: Reader) -> None:
    offer(run.store, sealed(run, 2), 50)
    reader.refresh()
    seen = set()
    for number in range(40):
        batch = unit_vectors(8, seed=100 + number)
        seeds = {seed_of(hits) for hits in reader.search_batch(batch)}
        assert seeds == {seed_of(reader.search(batch[0]))}
        assert {seed_of(hits) for hits in reader.search_batch(batch, key="user-7")} == {
            seed_of(reader.search(QUERY, key="user-7"))
        }
        seen |= seeds
    assert seen == {"seed1", "seed2"}
    assert reader.search_batch(np.empty((0, 16), np.float32)) == []


@pytest.mark.parametrize("key", [42, 4.5, True, ("user", 1), bytearray(b"user")])
@pytest.mark.parametrize("percent", [0, 50])
def test_a_key_that_is_no_text_is_refused_before_a_shift_as_in_one(
    run: Run, reader: Reader, key: Any, percent: int
) -> None:
    if percent:
        offer(run.store, sealed(run, 2), percent)
        reader.refresh()
    for ask in (lambda: reader.search(QUERY, key=key), lambda: reader.search_batch(QUERY[None, :], key=key)):
        with pytest.raises(InputError, match="expected a text or bytes"):
            ask()
    assert {one.queries for one in reader.metrics().releases} == {0}


class Broken:
    """A searcher whose index fails; it is what it was in all else."""

    def __init__(self, sound: Searcher, error: Exception) -> None:
        self.dimension, self.error = sound.dimension, error

    def search(self, *_: Any, **__: Any) -> Any:
        raise self.error


def break_trial(reader: Reader, error: Exception) -> None:
    served = reader._following.served
    assert served is not None and served.trial is not None
    trial = served.trial
    trial.loaded = replace(trial.loaded, searcher=Broken(trial.loaded.searcher, error))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [RuntimeError("faiss"), MemoryError(), InputError("blames the caller"), KeyError(1)])
def test_a_trial_that_fails_fails_no_query_and_is_counted(run: Run, reader: Reader, error: Exception) -> None:
    offer(run.store, sealed(run, 2), 100)
    reader.refresh()
    break_trial(reader, error)
    assert seed_of(reader.search(QUERY)) == "seed1"
    assert len(reader.search_batch(unit_vectors(3))) == 3
    live, trial = reader.metrics().releases
    assert (live.queries, live.errors, live.last_error) == (4, 0, None)
    assert (trial.queries, trial.errors, trial.last_error) == (4, 4, repr(error))


def test_what_the_caller_got_wrong_counts_for_no_release(run: Run, reader: Reader) -> None:
    offer(run.store, sealed(run, 2), 100)
    reader.refresh()
    for wrong in (np.full(16, np.nan, np.float32), np.zeros(15, np.float32)):
        with pytest.raises(InputError):
            reader.search(wrong)
    mistakes: list[dict[str, Any]] = [{"k": "3"}, {"k": 2.5}, {"k": True}, {"where": ["x"]}, {"where": "number"}]
    for mistake in mistakes:
        with pytest.raises(InputError):
            reader.search(QUERY, **mistake)
    assert [(one.queries, one.errors) for one in reader.metrics().releases] == [(0, 0), (0, 0)]


def test_vectors_stay_with_the_live_release_while_the_trial_is_of_another_space(run: Run, reader: Reader) -> None:
    offer(run.store, sealed(run, 2, encoder="f" * 16, index_spec=spec("HNSW8")), 100)
    assert reader.refresh()
    assert reader.trial is not None
    assert seed_of(reader.search(QUERY)) == "seed1"


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ("a text", "takes a list of texts"),
        ([["a"]], "texts or vectors of numbers"),
        ([object()], "texts or vectors of numbers"),
        ([1.0, 2.0], r"expected query vectors of shape \(n, 16\), got \(2,\)"),
        (np.zeros((1, 1, 16)), r"got \(1, 1, 16\)"),
    ],
)
def test_what_is_neither_texts_nor_vectors_is_refused(reader: Reader, queries: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reader.search_batch(queries)
