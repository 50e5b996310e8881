"""A service whose model is not here is compared with what it was; and a whole stage over a service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slipway import groups as grouping
from slipway import layout, vectors
from slipway.config import Encoder
from slipway.encoders import find_model, forget, load_encoder
from slipway.encoders.model import WEIGHTS
from slipway.encoders.service import ServiceEncoder
from slipway.errors import CorruptObject, EncoderError
from slipway.maintenance.places import list_places, place_of
from slipway.manifest import MANIFEST, Manifest
from slipway.run import Run
from slipway.stages.embed import embed
from slipway.stages.plan import plan
from tests.support.embedding_service import EmbeddingService
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.embedding_run import a_difference, a_run, chunks_of


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache folder of the test's own, and no encoder that another test loaded."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    forget()
    yield
    forget()


@pytest.fixture
def far(described: Encoder, service: EmbeddingService) -> Encoder:
    """An encoder of which only the tokenizer is here."""
    (Path(described.folder or "") / WEIGHTS).unlink()
    there = {"url": service.url, "model": "small-1", "verify": "first_use"}
    return Encoder.model_validate(described.model_dump() | {"service": there})


def test_a_service_that_answers_as_it_did_is_taken(far: Encoder, service: EmbeddingService) -> None:
    first = load_encoder(far)
    assert isinstance(first, ServiceEncoder)
    forget()
    again = load_encoder(far)
    assert again is not first
    np.testing.assert_array_equal(again.encode_queries(["text"]), first.encode_queries(["text"]))
    assert all(text.strip() for asked in service.seen for text in asked["input"])


def test_a_service_with_another_model_behind_it_is_refused(
    far: Encoder, service: EmbeddingService, fake: FakeEncoder
) -> None:
    load_encoder(far)
    forget()
    service.encode = lambda texts: fake.encode_queries([f"{text} by another model" for text in texts])
    with pytest.raises(EncoderError, match=r"other vectors than when it was first used here: cosine .* remove /"):
        load_encoder(far)


def far_run(far: Encoder, store: MemoryStore, folder: Path) -> Run:
    """A run whose encoder reads more than the chunks have, which are not cut then."""
    return a_run(store, folder, encoder=far.model_copy(update={"max_tokens": 128}).model_dump(mode="json"))


def a_plan(run: Run) -> Manifest:
    return plan(run, chunks_of(run, {f"{number:032x}": 10 + number for number in range(20)}), a_difference(run))


def test_a_whole_shard_is_embedded_over_a_service(
    far: Encoder, service: EmbeddingService, fake: FakeEncoder, tmp_path: Path
) -> None:
    run = far_run(far, MemoryStore(), tmp_path / "run")
    done = embed(run, a_plan(run), 0)
    assert (done.embedded, done.backend, done.device) == (20, "service", "service")
    [part] = vectors.parts(run.store, find_model(run.collection.encoder).fingerprint)
    assert part.facts["backend"] == "service"
    hashes = pq.read_table(vectors.fetch_hashes(run.store, part, run.scratch))["chunk_hash"].to_pylist()
    expected = fake.encode_queries([f"text {one}" for one in hashes])
    np.testing.assert_allclose(vectors.open_vectors(run.store, part, run.scratch), expected, atol=1e-6)


def on_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "elsewhere"))
    forget()


def test_a_machine_that_never_saw_the_service_compares_it_with_the_store(
    far: Encoder, service: EmbeddingService, fake: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = far_run(far, MemoryStore(), tmp_path / "run")
    made = a_plan(run)
    assert embed(run, made, 0).embedded == 20
    for part in vectors.parts(run.store, find_model(run.collection.encoder).fingerprint):
        run.store.delete(f"{part.place}/{MANIFEST}")  # so that there is work again
    on_another_machine(monkeypatch, tmp_path)
    service.encode = lambda texts: fake.encode_queries([f"{text} by another model" for text in texts])
    service.seen.clear()
    with pytest.raises(EncoderError, match=r"other vectors than when .* remove memory:///vectors/\w+/probe-\w+.npy"):
        embed(run, made, 0)
    asked = {text for one in service.seen for text in one["input"]}
    assert not any(text.startswith("text 0") for text in asked)  # nothing of the collection was paid for


def test_the_stores_probes_are_compared_once_a_loaded_encoder(
    far: Encoder, service: EmbeddingService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "GROUP_CHUNKS", 6)
    store = MemoryStore()
    run = far_run(far, store, tmp_path / "run")
    made = a_plan(run)
    embed(run, made, 0)
    reads = [key for method, key in store.calls if method == "read" and "/probe-" in key]
    assert len(reads) == 1


def test_the_stores_probes_are_kept_by_whoever_is_first(tmp_path: Path) -> None:
    store = MemoryStore()
    mine, others = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(vectors.first_probe(store, "space", "k", mine), mine)
    np.testing.assert_array_equal(vectors.first_probe(store, "space", "k", others), mine)
    raced = MemoryStore()
    put_if = raced.put_if

    def late(key: str, body: bytes, expected: str | None) -> str:
        body_of_mine = BytesIO()
        np.save(body_of_mine, mine)
        put_if(key, body_of_mine.getvalue(), None)
        return put_if(key, body, expected)

    raced.put_if = late  # type: ignore[method-assign]
    np.testing.assert_array_equal(vectors.first_probe(raced, "space", "k", others), mine)


@pytest.mark.parametrize("kept", [b"", b"no array", np.full((2, 3), np.nan, np.float32), np.ones((2, 4), np.float32)])
def test_bad_input_probes_in_the_store_that_are_none(kept: bytes | np.ndarray) -> None:
    store = MemoryStore()
    if not isinstance(kept, bytes):
        body = BytesIO()
        np.save(body, kept)
        kept = body.getvalue()
    store.put(layout.vector_probe("space", "k"), kept)
    with pytest.raises(CorruptObject, match=r"vectors/space/probe-k.npy .*restore it"):
        vectors.first_probe(store, "space", "k", np.ones((2, 3), np.float32))


def test_maintenance_and_readers_of_parts_pass_the_probes_by(tmp_path: Path) -> None:
    store = MemoryStore()
    vectors.first_probe(store, "space", "k", np.ones((2, 3), np.float32))
    key = layout.vector_probe("space", "k")
    assert place_of(key) is None
    assert list(list_places(store, "vectors")) == vectors.parts(store, "space") == []
    assert vectors.find_rows(store, "space", ["00"], datetime(2020, 1, 1, tzinfo=UTC), (), tmp_path) == set()
