"""Every store behaves as the fake does, whatever is asked of it and in whatever order."""

from __future__ import annotations

import itertools
import tempfile
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import SlipwayError
from slipway.storage import LocalStore, ObjectStore
from tests.support.memory_store import MemoryStore

KEYS = st.sampled_from(["a", "a.b", "c/d", "c/e", "c.d", "c/f/g"])
PREFIXES = st.sampled_from(["", "a", "c", "c/", "c/f", "nothing"])
BODIES = st.binary(max_size=8)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, BODIES),
        st.tuples(st.just("put_if"), KEYS, BODIES, st.sampled_from(["current", "absent", "stale"])),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("copy"), KEYS, KEYS),
        st.tuples(st.just("read"), KEYS),
        st.tuples(st.just("exists"), KEYS),
        st.tuples(st.just("list"), PREFIXES),
    ),
    max_size=25,
)


@settings(max_examples=100, deadline=None)
@given(operations=OPERATIONS)
def test_any_sequence_gives_the_same_answers(operations: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        local, fake = LocalStore(folder), MemoryStore()
        for operation in operations:
            assert outcome(local, *operation) == outcome(fake, *operation), operation
        assert contents(local) == contents(fake)


_numbers = itertools.count()


@pytest.mark.parametrize("server", ["s3_server", "ceph_server"])
def test_any_sequence_gives_the_same_answers_over_http(server: str, request: pytest.FixtureRequest) -> None:
    from slipway.storage.s3 import S3Store

    running = request.getfixturevalue(server)
    bucket, client = running.new_bucket(), running.client()

    @settings(max_examples=25, deadline=None)
    @given(operations=OPERATIONS)
    def check(operations: list[tuple[str, ...]]) -> None:
        remote, fake = S3Store(f"s3://{bucket}/{uuid.uuid4().hex}", client=client), MemoryStore()
        for name, *arguments in operations:
            if name == "copy" and arguments[0] == arguments[1]:
                continue  # S3 refuses to copy an object onto itself, and nobody needs it
            if name == "put_if":  # bodies that are unique, as the port asks for
                arguments[1] += str(next(_numbers)).encode()
            assert outcome(remote, name, *arguments) == outcome(fake, name, *arguments), (name, *arguments)
        assert contents(remote) == contents(fake)

    check()


def outcome(store: ObjectStore, name: str, *arguments: str) -> object:
    """What the operation returned, or the kind of its error."""
    try:
        if name == "list":
            return [(info.key, info.size_bytes) for info in store.list(*arguments)]
        if name == "put_if":
            key, body, expectation = arguments
            version = store.put_if(key, body, expected(store, key, expectation))
            return version == store.read(key).version
        if name == "read":
            return store.read(*arguments).body
        return getattr(store, name)(*arguments)
    except SlipwayError as error:
        return type(error)


def expected(store: ObjectStore, key: str, expectation: str) -> str | None:
    if expectation == "current" and store.exists(key):
        return store.read(key).version
    return "no such version" if expectation == "stale" else None


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.read(info.key).body for info in store.list()}
