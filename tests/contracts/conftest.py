"""The stores that the contract suite runs on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.storage import LocalStore, ObjectStore
from tests.support.memory_store import MemoryStore
from tests.support.s3_server import S3Server

REAL_S3_ENDPOINT = os.environ.get("SLIPWAY_TEST_S3_ENDPOINT")
KINDS = ["memory", "local", "s3"] + (["real_s3"] if REAL_S3_ENDPOINT else [])


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store, one of every kind."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    if request.param == "s3":
        return request.getfixturevalue("s3_store")
    return request.getfixturevalue("real_s3_store")


@pytest.fixture
def local_store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def s3_store(s3_server: S3Server) -> Iterator[ObjectStore]:
    """An S3 store in a bucket of its own, whose client does not retry, so that each fault is seen once."""
    from slipway.storage.s3 import S3Store

    yield S3Store(f"s3://{s3_server.new_bucket()}/some/prefix", client=s3_server.client())
    s3_server.heal()


@pytest.fixture(scope="session")
def real_bucket() -> Iterator[str]:
    """A bucket on the server that SLIPWAY_TEST_S3_ENDPOINT names, removed in the end."""
    from slipway.storage.s3_client import make_client

    client = make_client(REAL_S3_ENDPOINT)
    name = f"slipway-test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=name, Key=entry["Key"])
    client.delete_bucket(Bucket=name)


@pytest.fixture
def real_s3_store(real_bucket: str) -> ObjectStore:
    from slipway.storage.s3 import S3Store

    return S3Store(f"s3://{real_bucket}/{uuid.uuid4().hex}", endpoint_url=REAL_S3_ENDPOINT)
