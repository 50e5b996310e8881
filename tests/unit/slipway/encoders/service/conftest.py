"""What the tests of the HTTP backend share: a server, a clock that nobody waits for, and encoders between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Lock
from typing import Any

import pytest

from slipway.config import Encoder
from slipway.encoders import Model, find_model
from slipway.encoders.service import ServiceEncoder
from tests.support.embedding_service import EmbeddingService, serving
from tests.support.encoders import FakeEncoder, model_folder

DIMENSION = 8


class Waits:
    """A clock that goes on by what it is told to wait. `waited` lists that."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.waited: list[float] = []
        self._lock = Lock()

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float, stop: Event) -> None:
        with self._lock:
            self.waited.append(seconds)
            self.seconds += seconds


@pytest.fixture
def clock() -> Waits:
    return Waits()


@pytest.fixture
def described(tmp_path: Path) -> Encoder:
    folder = model_folder(tmp_path / "model")
    return Encoder(name="small", folder=str(folder), dimension=DIMENSION, max_tokens=16)


@pytest.fixture
def fake(described: Encoder) -> FakeEncoder:
    """What the server computes with."""
    return FakeEncoder(find_model(described))


@pytest.fixture
def service(fake: FakeEncoder) -> Iterator[EmbeddingService]:
    with serving(fake.encode_queries) as running:
        yield running


Connect = Callable[..., ServiceEncoder]


@pytest.fixture
def connect(described: Encoder, service: EmbeddingService, clock: Waits) -> Connect:
    """Make the encoder with these settings of its service; `encoder` holds further fields of the encoder's."""

    def made(encoder: dict[str, Any] | None = None, secrets: Any = None, **settings: Any) -> ServiceEncoder:
        there = {"url": service.url, "model": "small-1", "timeout_seconds": 5} | settings
        fields = described.model_dump() | {"service": there} | (encoder or {})
        model = Model(Encoder.model_validate(fields), find_model(described).folder)
        return ServiceEncoder(model, secrets, clock=clock, seed=1)

    return made
