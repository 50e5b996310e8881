"""A reader's life on S3 over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.acknowledgement import heard
from slipway.serving.reader import Reader
from slipway.storage.s3 import S3Store
from tests.support.releases import a_run, publish, unit_vectors
from tests.support.s3_server import S3Server
from tests.support.shifts import offer, promote, sealed

QUERY = unit_vectors(1, seed=5)[0]


@pytest.fixture
def store(s3_server: S3Server) -> Iterator[S3Store]:
    yield S3Store(f"s3://{s3_server.new_bucket()}/indexes/test", client=s3_server.client())
    s3_server.heal()


def seed_of(reader: Reader) -> str:
    return reader.search(QUERY, key="user")[0].document_id.split("-")[0]


def test_it_follows_a_shift_and_acknowledges_each_step(store: S3Store, tmp_path: Path) -> None:
    run = a_run(store, tmp_path / "scratch")
    publish(run, seed=1)
    second = sealed(run, 2)
    with Reader(store, tmp_path / "cache", follow=3600, name="web-1") as reader:
        offer(store, second, 100)
        assert reader.poll()
        assert seed_of(reader) == "seed2"
        reader.poll()
        ((said,), _) = heard(store)
        of_trial = said.said.of(second.release_id)
        assert of_trial is not None and (of_trial.queries, of_trial.errors) == (1, 0)
        promote(store, second)
        assert reader.poll()
        assert (seed_of(reader), reader.metrics().loads) == ("seed2", 2)
    assert heard(store) == ([], [])


def test_a_poll_without_a_change_is_one_request(store: S3Store, s3_server: S3Server, tmp_path: Path) -> None:
    publish(a_run(store, tmp_path / "scratch"), seed=1)
    reader = Reader(store, tmp_path / "cache")
    before = len(s3_server.requests)
    assert not reader.poll()
    assert [method for method, _, _ in s3_server.requests[before:]] == ["GET"]


def test_it_survives_and_starts_while_the_store_is_down(store: S3Store, s3_server: S3Server, tmp_path: Path) -> None:
    publish(a_run(store, tmp_path / "scratch"), seed=1)
    reader = Reader(store, tmp_path / "cache")
    s3_server.refuse("*", "503 SlowDown", 2)
    reader.poll()
    assert seed_of(reader) == "seed1"
    assert reader.metrics().store_trouble is not None
    started = Reader(store, tmp_path / "cache")
    assert (seed_of(started), started.metrics().is_confirmed) == ("seed1", False)
    started.poll()
    assert started.metrics().is_confirmed
