"""A service whose model is not here is compared with what it was; and a whole stage over a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slipway import vectors
from slipway.config import Encoder
from slipway.encoders import find_model, forget, load_encoder
from slipway.encoders.model import WEIGHTS
from slipway.encoders.service import ServiceEncoder
from slipway.errors import EncoderError
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
    return Encoder.model_validate(described.model_dump() | {"service": {"url": service.url, "model": "small-1"}})


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


def test_a_whole_shard_is_embedded_over_a_service(
    far: Encoder, service: EmbeddingService, fake: FakeEncoder, tmp_path: Path
) -> None:
    far = far.model_copy(update={"max_tokens": 128})  # longer than the chunks, which are not cut
    run = a_run(MemoryStore(), tmp_path / "run", encoder=far.model_dump(mode="json"))
    tokens = {f"{number:032x}": 10 + number for number in range(20)}
    made = plan(run, chunks_of(run, tokens), a_difference(run))
    done = embed(run, made, 0)
    assert (done.embedded, done.backend, done.device) == (20, "service", "service")
    [part] = vectors.parts(run.store, find_model(far).fingerprint)
    assert part.facts["backend"] == "service"
    hashes = pq.read_table(vectors.fetch_hashes(run.store, part, run.scratch))["chunk_hash"].to_pylist()
    expected = fake.encode_queries([f"text {one}" for one in hashes])
    np.testing.assert_allclose(vectors.open_vectors(run.store, part, run.scratch), expected, atol=1e-6)
