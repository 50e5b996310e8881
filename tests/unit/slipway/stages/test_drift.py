from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from slipway import layout
from slipway.checkpoint import Start, begin
from slipway.drift import history, record
from slipway.drift.draw import Rows
from slipway.drift.of_texts import UNTOLD
from slipway.encoders import find_model
from slipway.errors import EncoderError
from slipway.manifest import Draft, Manifest, load
from slipway.run import Run
from slipway.stages import drift as module
from slipway.stages.difference import difference
from slipway.stages.drift import observe
from slipway.stages.index import index
from tests.support.encoders import FakeEncoder, model_folder
from tests.support.memory_store import MemoryStore
from tests.support.releases import again
from tests.unit.slipway.stages.index_run import a_run, a_snapshot, changed, chunks_of, go_live, store_vectors

TEXTS = [f"number {number} " + "and some words " * (number % 9) for number in range(300)]
ANSWERS = ["answer to it all " * (number % 5 + 20) + str(number) for number in range(100)]


class Meaning:
    """Vectors that say what a text is about: the fake encoder's, moved by whether it is an answer."""

    def __init__(self, fake: FakeEncoder) -> None:
        self.fake, self.fingerprint, self.calls = fake, fake.fingerprint, 0

    def encode_documents(self, texts: Sequence[str]) -> Any:
        self.calls += 1
        return self.vectors(texts)

    def vectors(self, texts: Sequence[str]) -> Any:
        drawn = self.fake.encode_queries(texts)
        drawn[[text.startswith("answer") for text in texts], 0] += 3
        drawn[:, 1] += 1
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    fields: dict[str, Any] = {"sample": 100, "permutations": 999}
    return a_run(MemoryStore(), tmp_path, drift=fields, chunk={"title": False})


@pytest.fixture(autouse=True)
def encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> Meaning:
    made = Meaning(FakeEncoder(find_model(run.collection.encoder)))
    monkeypatch.setattr(module, "load_encoder", lambda *_, **__: made)
    monkeypatch.setattr(module, "identifier", lambda: lambda text: UNTOLD)
    return made


Build = Callable[..., tuple[Manifest, Manifest]]


@pytest.fixture
def build(run: Run, encoder: Meaning) -> Build:
    """A snapshot of texts and its candidate, with `stored` for what the vector store is given."""

    def made(texts: Sequence[str], stored: Any = None, titles: str = "title") -> tuple[Manifest, Manifest]:
        named = {f"api:{number:05d}": text for number, text in enumerate(texts)}
        vectors = encoder.vectors(texts) if stored is None else stored
        store_vectors(run, dict(zip(texts, vectors, strict=True)))
        snapshot = a_snapshot(run, named, titles)
        return snapshot, index(run, chunks_of(run, snapshot, named))

    return made


def alarms(record: Manifest) -> set[str]:
    return {one["name"] for one in record.facts["measures"] if one["alarm"]}


def values(record: Manifest) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in record.facts["measures"]}


def test_before_the_first_release_values_are_kept(run: Run, build: Build) -> None:
    made = observe(run, *build(TEXTS), None)
    assert alarms(made) == set()
    assert made.facts["against"] is None
    assert made.facts["sample"] == {"documents": 100, "vectors": 100}
    assert values(made)["fidelity"] == pytest.approx(1, abs=1e-5)
    assert len(made.facts["centroid"]) == 8
    assert (made.counts["alarms"], made.facts["alarms"]) == (0, 0)
    assert made.place.startswith(layout.DRIFT)


def test_some_news_of_the_same_kind_raises_no_alarm(run: Run, build: Build) -> None:
    live = go_live(run, build(TEXTS)[1])
    made = observe(again(run, "run-2"), *build([*TEXTS, "a new one", "another new one"]), None)
    assert alarms(made) == set()
    assert made.facts["against"] == live
    assert values(made)["mmd"] is not None


def test_a_third_of_other_documents_raises_alarms_that_say_against_what(run: Run, build: Build) -> None:
    live = go_live(run, build(TEXTS)[1])
    made = observe(again(run, "run-2"), *build([*TEXTS[:200], *ANSWERS]), None)
    assert {"centroid_shift", "mmd"} <= alarms(made)
    said = next(one["says"] for one in made.facts["measures"] if one["name"] == "mmd")
    assert f"release {live}" in said
    assert made.facts["alarms"] == len(alarms(made))


def test_vectors_shuffled_against_their_texts_raise_an_alarm(run: Run, build: Build, encoder: Meaning) -> None:
    made = observe(run, *build(TEXTS, np.roll(encoder.vectors(TEXTS), 1, axis=0)), None)
    assert alarms(made) == {"fidelity"}


def test_the_live_release_itself_is_not_compared_and_loads_no_model(run: Run, build: Build, encoder: Meaning) -> None:
    snapshot, candidate = build(TEXTS)
    live = go_live(run, candidate)
    made = observe(run, snapshot, candidate, None)
    assert encoder.calls == 0
    assert alarms(made) == set()
    assert made.facts["against"] == live
    assert "mmd" not in values(made)
    assert values(made)["mean_norm"] == pytest.approx(1)


def test_a_run_that_has_released_its_candidate_meanwhile_is_compared_with_what_was_live(run: Run, build: Build) -> None:
    before = go_live(run, build(TEXTS)[1])
    second = again(run, "run-2")
    begin(second, Start(1, before, "e" * 16))
    snapshot, candidate = build([*TEXTS, "a new one"])
    go_live(second, candidate)
    made = observe(second, snapshot, candidate, None)
    assert made.facts["against"] == before
    assert values(made)["mmd"] is not None


def test_a_retry_finds_what_the_run_sealed_and_another_candidate_is_measured(run: Run, build: Build) -> None:
    first = build(TEXTS)
    made = observe(run, *first, None)
    assert observe(run, *first, None) == made
    assert record.places(run.store) == [made.place]
    assert observe(again(run, "run-2"), *first, None).facts["run_id"] == "run-2"


def test_the_oldest_record_of_the_same_encoder_shows_a_slow_drift(run: Run, build: Build) -> None:
    older(run, "20250101T000000Z", "f" * 16)
    first = observe(run, *build(TEXTS), None)
    assert first.facts["oldest"] is None
    second = observe(again(run, "run-2"), *build([*TEXTS[:50], *ANSWERS]), None)
    assert alarms(second) == {"centroid_trend"}
    assert second.facts["oldest"] == first.place
    third = observe(again(run, "run-3"), *build(TEXTS), None)
    assert third.facts["oldest"] == first.place


def older(run: Run, at: str, encoder: str) -> Manifest:
    facts = {"at": at, "encoder": encoder, "centroid": [1.0], "sample": {"vectors": 100}, "oldest": None}
    return Draft(run.store, layout.drift(at, "old"), "drift", "old").seal({}, {**facts, "candidate": "candidates/0"})


def test_history_is_told_oldest_first(run: Run) -> None:
    for number in (3, 1, 2):
        older(run, f"2025010{number}T000000Z", "f" * 16)
    assert [facts["at"][:8] for facts in history(run.store, 2)] == ["20250102", "20250103"]
    assert history(MemoryStore(), 5) == []


def test_vectors_of_another_encoder_are_not_compared(run: Run, build: Build, tmp_path: Path) -> None:
    go_live(run, build(TEXTS)[1])
    other = model_folder(tmp_path / "other", b"other weights")
    described = {"name": "other", "folder": str(other), "dimension": 8, "max_tokens": 512}
    moved = again(changed(run, encoder=described), "run-2")
    fake = Meaning(FakeEncoder(find_model(moved.collection.encoder)))
    named = {f"api:{number:05d}": text for number, text in enumerate(TEXTS)}
    store_vectors(moved, dict(zip(TEXTS, fake.vectors(TEXTS), strict=True)))
    snapshot = a_snapshot(moved, named)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_encoder", lambda *_, **__: fake)
        made = observe(moved, snapshot, index(moved, chunks_of(moved, snapshot, named)), None)
    assert alarms(made) == set()
    assert (values(made)["mmd"], values(made)["centroid_shift"]) == (None, None)
    assert values(made)["fidelity"] == pytest.approx(1, abs=1e-5)


def test_a_live_release_whose_vectors_are_gone_is_compared_by_its_texts(run: Run, build: Build) -> None:
    go_live(run, build(TEXTS)[1])
    for info in list(run.store.list("vectors/")):
        run.store.delete(info.key)
    made = observe(again(run, "run-2"), *build([f"{text} now" for text in TEXTS]), None)
    assert values(made)["mmd"] is None
    assert values(made)["lengths"] is not None


def test_a_model_that_changed_during_the_run_is_refused(run: Run, build: Build, encoder: Meaning) -> None:
    encoder.fingerprint = "0" * 16
    with pytest.raises(EncoderError, match="the model changed during the run"):
        observe(run, *build(TEXTS), None)


def test_neighbours_are_held_against_what_changed(run: Run, build: Build) -> None:
    before, candidate = build(TEXTS)
    go_live(run, candidate)
    second = again(run, "run-2")
    snapshot, candidate = build([*TEXTS, "a new one"])
    difference(second, snapshot, before)
    made = observe(second, snapshot, candidate, comparison(second, overlap=0.5))
    assert "overlap_at_10" in alarms(made)
    assert values(made)["rank_biased_overlap"] == 0.4


def test_neighbours_are_only_told_where_the_change_is_unknown(run: Run, build: Build) -> None:
    go_live(run, build(TEXTS)[1])
    second = again(run, "run-2")
    made = observe(second, *build([*TEXTS, "a new one"]), comparison(second, overlap=0.5))
    assert alarms(made) == set()
    assert values(made)["overlap_at_10"] == 0.5


def comparison(run: Run, overlap: float) -> Manifest:
    space = {"name": "small", "fingerprint": "e", "dimension": 8}
    found = {"overlap_at_10": overlap, "rank_biased_overlap": 0.4, "changed_share": 0.7}
    facts = {"encoders": {"candidate": space, "live": space}, "neighbours": found}
    return Draft(run.store, layout.comparison("c1"), "comparison", "c1").seal({}, facts)


def test_a_record_is_whole_when_it_is_read_back(run: Run, build: Build) -> None:
    made = observe(replace(run, run_id="scheduled__2026-01-31T00:00:00+00:00"), *build(TEXTS), None)
    assert load(run.store, made.place) == made


def test_half_of_the_passages_looked_at_are_those_that_the_live_release_does_not_hold(
    run: Run, build: Build, encoder: Meaning
) -> None:
    """Of 310 passages 10 are new, and their vectors are not those of their texts: 64 of all would show about two."""
    go_live(run, build(TEXTS)[1])
    news = [f"news {number}" for number in range(10)]
    stored = np.vstack([encoder.vectors(TEXTS), np.roll(encoder.vectors(news), 1, axis=0)])
    made = observe(again(run, "run-2"), *build([*TEXTS, *news], stored), None)
    said = next(one["says"] for one in made.facts["measures"] if one["name"] == "fidelity")
    assert said.startswith("10 of 64 stored vectors are not what the encoder makes")


@pytest.mark.parametrize(("held", "news", "of_news"), [(10_000, 50, 32), (10_000, 5, 5), (40, 10, 10), (0, 10, 10)])
def test_no_passage_is_drawn_twice(held: int, news: int, of_news: int) -> None:
    rows = Rows(pa.table({"chunk_hash": pa.array([""] * (held + news))}), np.arange(held + news))
    first = np.arange(news)
    drawn = rows.drawn(64, "night-1", first)
    assert drawn == rows.drawn(64, "night-1", first) == sorted(set(drawn))
    assert len(drawn) == min(64, held + news)
    assert len(set(drawn) & set(range(news))) >= of_news
