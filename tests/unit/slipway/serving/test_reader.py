from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway import layout, serving
from slipway.config import Encoder
from slipway.encoders import Model
from slipway.errors import (
    CorruptObject,
    EncoderError,
    InputError,
    ObjectMissing,
    ReleaseRefused,
    StoreUnreachable,
)
from slipway.index import artifact
from slipway.manifest import load
from slipway.rollback import roll_back
from slipway.serving.catalogue import list_releases
from slipway.serving.loading import load_release, read_release_manifest
from slipway.serving.reader import Reader
from slipway.storage import LocalStore, ObjectStore
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.support.releases import DIMENSION, a_run, again, publish, unit_vectors
from tests.support.s3_server import S3Server


@pytest.fixture(params=["local", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    if request.param == "memory":
        return MemoryStore()
    return request.getfixturevalue("s3_store")


@pytest.fixture
def s3_store(s3_server: S3Server) -> Iterator[ObjectStore]:
    from slipway.storage.s3 import S3Store

    yield S3Store(f"s3://{s3_server.new_bucket()}/indexes/test", client=s3_server.client())
    s3_server.heal()


def prefix_of(hits: list[serving.Hit]) -> str:
    return hits[0].document_id.split("-")[0]


def cached(cache: Path, name: str) -> Path:
    return next(cache.rglob(name))


def test_the_live_release_is_opened_and_searched(store: ObjectStore, tmp_path: Path) -> None:
    live = publish(a_run(store, tmp_path / "scratch"), seed=1)
    with Reader(store, tmp_path / "cache") as reader:
        assert reader.release.release_id == live.release_id
        hits = reader.search(unit_vectors(40, seed=1)[11], k=3)
        assert hits[0].document_id == "seed1-00011"
        assert len(hits) == 3
        batch = reader.search_batch(unit_vectors(40, seed=1)[:4], k=1)
        assert [ranked[0].document_id for ranked in batch] == [f"seed1-{row:05d}" for row in range(4)]


def test_a_reader_opens_a_url(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root" / "test")
    first = publish(a_run(store, tmp_path / "scratch"), seed=1)
    publish(a_run(store, tmp_path / "scratch", "run-2"), seed=2)
    for url in (tmp_path / "root" / "test", str(tmp_path / "root" / "test"), store.url, f"{store.url}/"):
        with serving.open(url) as reader:
            assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed2"
    with serving.open(store.url, first.release_id) as reader:
        assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed1"


def test_nothing_released_says_so(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(ReleaseRefused, match=r"nothing is released at .* yet; run the collection first"):
        Reader(store, tmp_path / "cache")
    with pytest.raises(ObjectMissing):
        Reader(store, tmp_path / "cache", "20200101T000000-abcdefgh")


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.SMOKE, artifact.ENCODER])
@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_cache_is_fetched_again(s3_store: ObjectStore, tmp_path: Path, name: str, damage: str) -> None:
    publish(a_run(s3_store, tmp_path / "scratch"))
    cache = tmp_path / "cache"
    Reader(s3_store, cache).close()
    harm(cached(cache, name), damage)
    with Reader(s3_store, cache) as reader:
        assert reader.search(unit_vectors(40)[5], 1)[0].document_id == "seed0-00005"


def harm(path: Path, damage: str) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 4
    whole = {"flipped": bytes(body), "cut": bytes(body[: len(body) // 2]), "emptied": b""}[damage]
    path.unlink()  # another file: the old one may be mapped
    path.write_bytes(whole)


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.SMOKE, artifact.ENCODER])
def test_a_store_that_is_damaged_itself_is_refused(store: ObjectStore, tmp_path: Path, name: str) -> None:
    live = publish(a_run(store, tmp_path / "scratch"))
    sealed = load(store, layout.release(live.release_id)).one(name)
    body = bytearray(store.read(sealed.key).body)
    body[len(body) // 2] ^= 4
    store.put(sealed.key, bytes(body))
    with pytest.raises(CorruptObject, match=rf"{name} has SHA-256 .*its manifest says"):
        Reader(store, tmp_path / "cache")


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.SMOKE])
def test_a_release_with_an_object_gone_is_refused(store: ObjectStore, tmp_path: Path, name: str) -> None:
    live = publish(a_run(store, tmp_path / "scratch"))
    store.delete(load(store, layout.release(live.release_id)).one(name).key)
    with pytest.raises(ObjectMissing, match=name):
        Reader(store, tmp_path / "cache")


def test_a_manifest_that_is_not_the_one_that_went_live_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    live = publish(a_run(store, tmp_path / "scratch"))
    key = f"{layout.release(live.release_id)}/manifest.json"
    store.put(key, store.read(key).body.replace(b'"run-1"', b'"run-9"'))
    with pytest.raises(CorruptObject, match=r"manifest.json has SHA-256 .*serving.json says .*; restore it"):
        Reader(store, tmp_path / "cache")


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.DOCUMENTS, artifact.ENCODER, artifact.SMOKE])
def test_a_manifest_that_lacks_an_object_is_no_release(tmp_path: Path, name: str) -> None:
    store = MemoryStore()
    live = publish(a_run(store, tmp_path / "scratch"))
    key = f"{layout.release(live.release_id)}/manifest.json"
    store.put(key, store.read(key).body.replace(f'"name": "{name}"'.encode(), b'"name": "other"'))
    with pytest.raises(ObjectMissing, match=rf"names no object '{name}'"):
        load_release(store, live.release_id, tmp_path / "cache")


def test_refresh_moves_to_the_new_release_and_back(store: ObjectStore, tmp_path: Path) -> None:
    run = a_run(store, tmp_path / "scratch")
    publish(run, seed=1)
    reader = Reader(store, tmp_path / "cache")
    assert not reader.refresh()
    publish(again(run, "run-2"), seed=2)
    assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed1"
    assert reader.refresh()
    assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed2"
    assert not reader.refresh()
    roll_back(store, "tester", "worse")
    assert reader.refresh()
    assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed1"


def test_a_refresh_that_fails_keeps_the_old_release(store: ObjectStore, tmp_path: Path) -> None:
    run = a_run(store, tmp_path / "scratch")
    publish(run, seed=1)
    reader = Reader(store, tmp_path / "cache")
    second = publish(again(run, "run-2"), seed=2)
    sealed = load(store, layout.release(second.release_id)).one(artifact.INDEX)
    body = store.read(sealed.key).body
    store.put(sealed.key, body[:-1] + bytes([body[-1] ^ 1]))
    for _ in range(2):
        with pytest.raises(CorruptObject):
            reader.refresh()
        assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed1"
    store.put(sealed.key, body)
    assert reader.refresh()
    assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed2"


def test_a_refresh_without_a_store_keeps_the_old_release(tmp_path: Path) -> None:
    store = MemoryStore()
    publish(a_run(store, tmp_path / "scratch"), seed=1)
    reader = Reader(store, tmp_path / "cache")
    store.fail_next("read", StoreUnreachable("gone"))
    with pytest.raises(StoreUnreachable):
        reader.refresh()
    assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed1"


def test_a_pinned_reader_stays(tmp_path: Path) -> None:
    run = a_run(LocalStore(tmp_path / "store"), tmp_path / "scratch")
    first = publish(run, seed=1)
    publish(again(run, "run-2"), seed=2)
    reader = Reader(run.store, tmp_path / "cache", first.release_id)
    assert not reader.refresh()
    assert reader.release.release_id == first.release_id


def test_vectors_of_another_shape_are_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    publish(a_run(store, tmp_path / "scratch"))
    reader = Reader(store, tmp_path / "cache")
    with pytest.raises(InputError, match=rf"one vector of shape \({DIMENSION},\), got \(1, {DIMENSION}\)"):
        reader.search(unit_vectors(1))
    with pytest.raises(InputError, match="expected query vectors of shape"):
        reader.search(unit_vectors(1)[0][:-1])
    with pytest.raises(InputError, match="must be finite"):
        reader.search(np.full(DIMENSION, np.nan, np.float32))
    assert reader.search(unit_vectors(40)[2].tolist(), 1)[0].document_id == "seed0-00002"


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> list[Encoder]:
    """The encoders that were loaded; each makes vectors under the fingerprint "eeeeeeeeeeeeeeee"."""
    loaded: list[Encoder] = []

    class Described(Model):
        fingerprint = "e" * 16  # type: ignore[assignment]

    def load_encoder(encoder: Encoder, fingerprint: str | None = None, secrets: object = None) -> Any:
        loaded.append(encoder)
        return FakeEncoder(Described(encoder, Path("/model")))

    monkeypatch.setattr("slipway.encoders.load_encoder", load_encoder)
    return loaded


def test_a_text_is_encoded_as_the_release_was(tmp_path: Path, encoders: list[Encoder]) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run, seed=1)
    reader = Reader(run.store, tmp_path / "cache")
    vector = FakeEncoder(type("M", (), {"fingerprint": "", "encoder": run.collection.encoder})).encode_queries(
        ["words"]
    )
    assert reader.search("words", 4) == reader.search(vector[0], 4)
    assert reader.search_batch(["words", "others"], 4)[0] == reader.search("words", 4)
    assert encoders == [run.collection.encoder]


def test_an_encoder_of_another_vector_space_is_refused(tmp_path: Path, encoders: list[Encoder]) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run, seed=1, encoder="f" * 16)
    reader = Reader(run.store, tmp_path / "cache")
    with pytest.raises(EncoderError, match=r"with fingerprint f{16}; the model on this machine has e{16}"):
        reader.search("words")
    assert reader.search(unit_vectors(1)[0])


def test_a_release_whose_texts_cannot_be_encoded_here_does_not_replace_one_that_answers_texts(
    tmp_path: Path, encoders: list[Encoder]
) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run, seed=1)
    reader = Reader(run.store, tmp_path / "cache")
    found = reader.search("words")
    publish(again(run, "run-2"), seed=2, encoder="f" * 16)
    with pytest.raises(EncoderError):
        reader.refresh()
    assert reader.search("words") == found
    assert "install the same model" in reader.metrics().refused[0].why


def test_a_reader_of_vectors_needs_no_encoder_for_a_new_release(tmp_path: Path, encoders: list[Encoder]) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run, seed=1)
    reader = Reader(run.store, tmp_path / "cache")
    publish(again(run, "run-2"), seed=2, encoder="f" * 16)
    assert reader.refresh()
    assert prefix_of(reader.search(unit_vectors(1)[0])) == "seed2"
    assert encoders == []


@pytest.mark.parametrize("query", ["", "  ", "\n\t"])
def test_an_empty_query_is_refused_before_a_model_is_loaded(
    tmp_path: Path, query: str, encoders: list[Encoder]
) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run)
    reader = Reader(run.store, tmp_path / "cache")
    with pytest.raises(InputError, match="an empty query"):
        reader.search(query)
    with pytest.raises(InputError, match="an empty query"):
        reader.search_batch(["words", query])
    assert encoders == []


def test_releases_are_listed_newest_first_with_their_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    assert list_releases(run.store) == {"generation": 0, "releases": []}
    made = [publish(again(run, f"run-{seed}"), seed=seed).release_id for seed in range(3)]
    states = {entry["release_id"]: entry["state"] for entry in list_releases(run.store)["releases"]}
    assert states == {made[0]: None, made[1]: "standby", made[2]: "live"}
    roll_back(run.store, "tester", "worse")
    found = list_releases(run.store)
    states = {entry["release_id"]: entry["state"] for entry in found["releases"]}
    assert states == {made[0]: None, made[1]: "live", made[2]: "withdrawn"}
    assert found["generation"] == 4
    entry = next(entry for entry in found["releases"] if entry["release_id"] == made[0])
    manifest = read_release_manifest(run.store, made[0])
    assert entry == {
        "release_id": made[0],
        "state": None,
        "damaged": None,
        "created_at": manifest.created_at,
        "documents": 40,
        "vectors": 40,
        "bytes": manifest.size_bytes,
        "spec": "Flat",
        "encoder": "e" * 16,
        "encoder_name": "none",
        "metrics": {"recall_at_10": 1.0},
        "run_id": "run-0",
    }


def test_a_release_that_was_never_sealed_is_not_listed(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    live = publish(run)
    run.store.put("releases/20990101T000000-abcdefgh/0123abcd/index.faiss", b"half")
    assert [entry["release_id"] for entry in list_releases(run.store)["releases"]] == [live.release_id]


def test_a_search_may_be_filtered_by_metadata(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path / "scratch")
    publish(run, 1)
    with Reader(run.store, tmp_path / "cache") as reader:
        vectors = unit_vectors(2, seed=5)
        found = reader.search(vectors[0], 3, where={"number": {"lt": 5}})
        assert {hit.metadata["number"] < 5 for hit in found} == {True}
        assert reader.search_batch(vectors, 3, where={"number": {"lt": 5}})[0] == found
        assert reader.search(vectors[0], 3, where={"number": -1}) == []
        with pytest.raises(InputError, match="colour"):
            reader.search(vectors[0], 3, where={"colour": "red"})
        assert reader.metrics().releases[0].errors == 0


def test_what_filters_need_is_read_before_a_swap(tmp_path: Path) -> None:
    """Reading the metadata of a million documents takes seconds, which no search should wait for."""
    store = MemoryStore()
    run = a_run(store, tmp_path / "scratch")
    publish(run, seed=1)
    with Reader(store, tmp_path / "cache") as reader:
        publish(again(run, "run-2"), seed=2)
        assert reader.refresh()
        assert not reader.release.searcher.filters.is_prepared
        assert len(reader.search(unit_vectors(1)[0], where={"number": {"lt": 3}})) == 3
        publish(again(run, "run-3"), seed=3)
        assert reader.refresh()
        assert reader.release.searcher.filters.is_prepared
