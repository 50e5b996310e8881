"""What only a real S3 server can show: how Ceph's gateway takes conditions, lost replies and the client's mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from slipway.errors import ConflictError, InputError, ObjectMissing, StoreDenied
from slipway.storage.s3 import S3Store
from tests.support.ceph import CephServer

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@pytest.fixture
def own_client_store(ceph_server: CephServer) -> S3Store:
    """A store whose client is its own, so that a test may register events on it."""
    return S3Store(f"s3://{ceph_server.new_bucket()}", client=ceph_server.client())


@pytest.mark.parametrize("replace", [False, True], ids=["create", "replace"])
def test_a_win_whose_reply_was_lost_is_a_win(own_client_store: S3Store, ceph_client: S3Client, replace: bool) -> None:
    store, other = own_client_store, S3Store(own_client_store.url, client=ceph_client)
    expected = other.put_if("pointer", b"zero", None) if replace else None
    lose_the_next_reply(store, lands=lambda: other.put("pointer", b"ours"))

    version = store.put_if("pointer", b"ours", expected)

    assert other.read("pointer").body == b"ours"
    other.put_if("pointer", b"next", version)


def test_a_loss_whose_reply_was_lost_is_a_loss(own_client_store: S3Store, ceph_client: S3Client) -> None:
    store, other = own_client_store, S3Store(own_client_store.url, client=ceph_client)
    expected = other.put_if("pointer", b"zero", None)
    lose_the_next_reply(store, lands=lambda: other.put_if("pointer", b"theirs", expected))

    with pytest.raises(ConflictError, match="somebody else"):
        store.put_if("pointer", b"ours", expected)
    assert other.read("pointer").body == b"theirs"


def lose_the_next_reply(store: S3Store, lands: object) -> None:
    """Instead of the store's next write `lands` happens, and no answer comes."""
    events = store._client.meta.events

    def interfere(**_context: object) -> None:
        events.unregister("before-send.s3.PutObject", interfere)
        lands()
        raise ReadTimeoutError(endpoint_url="http://ceph")

    events.register("before-send.s3.PutObject", interfere)


def test_a_condition_is_sent_once_when_it_holds(own_client_store: S3Store) -> None:
    """The bare ETag is understood at once: a quoted one is a refusal on some releases of Ceph, and costs a retry."""
    sent: list[object] = []
    version = own_client_store.put_if("pointer", b"one", None)
    own_client_store._client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_context: sent.append(request.headers["If-Match"])
    )
    own_client_store.put_if("pointer", b"two", version)

    assert sent == [version.encode()]


def test_a_stale_condition_is_a_conflict_that_the_server_itself_found(
    ceph_store: S3Store, ceph_client: S3Client
) -> None:
    first = ceph_store.put_if("pointer", b"one", None)
    ceph_store.put_if("pointer", b"two", first)
    bucket, _, prefix = ceph_store.url.removeprefix("s3://").partition("/")
    for condition in ({"IfMatch": first}, {"IfNoneMatch": "*"}):
        with pytest.raises(ClientError) as caught:
            ceph_client.put_object(Bucket=bucket, Key=f"{prefix}/pointer", Body=b"late", **condition)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert ceph_store.read("pointer").body == b"two"


def test_a_listing_goes_on_past_its_first_page(ceph_store: S3Store, ceph_client: S3Client) -> None:
    names = [f"many/{number:03}" for number in range(25)]
    for name in names:
        ceph_store.put(name, b"")

    assert [info.key for info in S3Store(ceph_store.url, client=ceph_client, page_size=10).list("many/")] == names


def test_a_bucket_that_is_not_there_and_credentials_that_are_refused(
    ceph_server: CephServer, ceph_client: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = S3Store("s3://no-such-bucket-here", client=ceph_client)
    for call in (lambda: missing.read("a"), lambda: missing.put("a", b""), lambda: missing.put_if("a", b"", None)):
        with pytest.raises(InputError, match="no such bucket; create it"):
            call()
    bucket = ceph_server.new_bucket()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "slipway")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    denied = S3Store(f"s3://{bucket}", endpoint_url=ceph_server.endpoint_url)
    for call in (lambda: denied.read("a"), lambda: denied.put_if("a", b"", None), lambda: list(denied.list())):
        with pytest.raises(StoreDenied, match="check the credentials"):
            call()


def test_a_file_whose_parts_were_aborted_leaves_no_object(ceph_store: S3Store, ceph_client: S3Client) -> None:
    bucket, _, prefix = ceph_store.url.removeprefix("s3://").partition("/")
    begun = ceph_client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/large")
    of_upload = {"Bucket": bucket, "Key": f"{prefix}/large", "UploadId": begun["UploadId"]}
    ceph_client.upload_part(**of_upload, PartNumber=1, Body=b"x" * 10)
    assert list(ceph_store.list()) == []
    ceph_client.abort_multipart_upload(**of_upload)

    with pytest.raises(ObjectMissing):
        ceph_store.read("large")
