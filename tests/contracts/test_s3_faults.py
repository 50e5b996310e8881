"""Won, lost or unknown: what `put_if` says of a write is true, whatever a server over HTTP does with the requests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import ConflictError, StateUnknown
from slipway.storage.s3 import S3Store
from tests.support.s3_server import S3Server

STATUSES = ["500 InternalError", "503 SlowDown", "409 ConditionalRequestConflict", "412 PreconditionFailed"]


@dataclass(frozen=True)
class Told:
    """How a server treats one request: whether it carries it out, and what it answers instead of the truth."""

    method: str
    carried_out: bool
    status: str


FAULTS = st.lists(
    st.builds(Told, st.just("PUT"), st.booleans(), st.sampled_from(STATUSES))
    | st.builds(Told, st.just("GET"), st.just(False), st.sampled_from(STATUSES[:2])),
    max_size=4,
)


def test_what_is_told_of_a_conditional_write_is_true(s3_server: S3Server) -> None:
    bucket, client = s3_server.new_bucket(), s3_server.client()
    seen: set[str] = set()

    @settings(max_examples=120, deadline=None)
    @given(faults=FAULTS, exists=st.booleans(), rival=st.booleans())
    def check(faults: list[Told], exists: bool, rival: bool) -> None:
        store = S3Store(f"s3://{bucket}/{uuid.uuid4().hex}", client=client)
        expected = store.put_if("pointer", b"zero", None) if exists else None
        if rival:
            store.put_if("pointer", b"theirs", expected)
        before = b"theirs" if rival else b"zero" if exists else None
        for fault in faults:
            answer = s3_server.lose_replies_as if fault.carried_out else s3_server.refuse
            answer(fault.method, fault.status)
        told = outcome(store, expected)
        s3_server.heal()
        now = store.read("pointer").body if store.exists("pointer") else None
        seen.add(told)
        if told == "won":
            assert now == b"ours"
        elif told == "lost":
            assert now == before
        else:
            assert now in (b"ours", before)
        if rival:
            assert told != "won"
        if not faults:
            assert told == ("lost" if rival else "won")

    check()
    assert seen == {"won", "lost", "unknown"}


def outcome(store: S3Store, expected: str | None) -> str:
    try:
        version = store.put_if("pointer", b"ours", expected)
    except ConflictError:
        return "lost"
    except StateUnknown:
        return "unknown"
    return "won" if version else "a version is missing"
