"""The stores that the contract suite runs on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slipway.storage import LocalStore, ObjectStore
from tests.support import ceph
from tests.support.ceph import CephServer
from tests.support.memory_store import MemoryStore
from tests.support.s3_server import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REAL_S3_ENDPOINT = os.environ.get("SLIPWAY_TEST_S3_ENDPOINT")
KINDS = ["memory", "local", "s3", "ceph"] + (["real_s3"] if REAL_S3_ENDPOINT else [])


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store, one of every kind."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    return request.getfixturevalue(f"{request.param}_store")


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
def ceph_server() -> Iterator[CephServer]:
    """One gateway for the whole test session; skips, with the reason, where Ceph cannot be run."""
    if reason := ceph.why_not():
        pytest.skip(reason)
    with ceph.running() as server:
        yield server


@pytest.fixture(scope="session")
def ceph_client(ceph_server: CephServer) -> S3Client:
    """One client for the session, which does not retry."""
    return ceph_server.client()


@pytest.fixture
def ceph_store(ceph_server: CephServer, ceph_client: S3Client) -> ObjectStore:
    """A store in a bucket of its own on the gateway, as a listing of unfinished uploads is one of a bucket."""
    from slipway.storage.s3 import S3Store

    return S3Store(f"s3://{ceph_server.new_bucket()}/some/prefix", client=ceph_client)


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
