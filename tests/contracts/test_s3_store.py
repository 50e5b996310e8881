"""What only S3 can get wrong: lost replies, answers that mislead, pages, parts, and a server that is not there."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from slipway.errors import (
    ConflictError,
    CorruptObject,
    DiskFull,
    InputError,
    ObjectMissing,
    StateUnknown,
    StoreDenied,
    StoreUnreachable,
)
from slipway.storage.s3 import S3Store
from tests.support.abandoning import abandon
from tests.support.s3_server import S3Server, make_test_client

LOSER_STATUSES = ["412 PreconditionFailed", "409 ConditionalRequestConflict", "500 InternalError", "503 SlowDown"]


@pytest.fixture
def own_client_store(s3_server: S3Server) -> S3Store:
    """A store whose client is its own, so that a test may register events on it."""
    return S3Store(f"s3://{s3_server.new_bucket()}", client=make_test_client(s3_server.endpoint_url))


def writes(server: S3Server, key: str) -> list[str | None]:
    """The If-Match header of every PUT of `key`."""
    return [if_match for method, path, if_match in server.requests if method == "PUT" and path.endswith(f"/{key}")]


# --- conditional writes whose answers cannot be taken at their word ---------------------------------------------------


@pytest.mark.parametrize("replace", [False, True], ids=["create", "replace"])
def test_a_win_whose_reply_was_lost_is_a_win(s3_store: S3Store, s3_server: S3Server, replace: bool) -> None:
    expected = s3_store.put_if("pointer", b"zero", None) if replace else None
    s3_server.lose_replies("PUT")

    version = s3_store.put_if("pointer", b"ours", expected)

    assert s3_store.read("pointer").body == b"ours"
    s3_store.put_if("pointer", b"next", version)


def test_a_win_that_the_client_retried_into_a_refusal_is_a_win(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first PUT lands and its reply is lost; botocore sends it again and is told 412, by our own write."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    store = S3Store(f"s3://{s3_server.new_bucket()}", client=s3_server.client(attempts=3))
    s3_server.lose_replies("PUT")

    version = store.put_if("retried-pointer", b"ours", None)

    assert len(writes(s3_server, "retried-pointer")) == 2
    assert (store.read("retried-pointer").body, store.read("retried-pointer").version) == (b"ours", version)


def test_a_win_that_timed_out_is_a_win(own_client_store: S3Store, s3_server: S3Server) -> None:
    store = own_client_store
    other = S3Store(store.url, client=s3_server.client())

    def land_then_time_out(request: object, **_context: object) -> None:
        other.put("pointer", b"ours")
        raise ReadTimeoutError(endpoint_url=s3_server.endpoint_url)

    store._client.meta.events.register("before-send.s3.PutObject", land_then_time_out)

    assert store.put_if("pointer", b"ours", None) == other.read("pointer").version


@pytest.mark.parametrize("status", LOSER_STATUSES)
def test_a_loser_is_told_so_whatever_status_it_saw(s3_store: S3Store, s3_server: S3Server, status: str) -> None:
    version = s3_store.put_if("pointer", b"zero", None)
    s3_store.put_if("pointer", b"theirs", version)
    s3_server.refuse("PUT", status)

    with pytest.raises(ConflictError, match="somebody else"):
        s3_store.put_if("pointer", b"ours", version)
    assert s3_store.read("pointer").body == b"theirs"


@pytest.mark.parametrize("status", LOSER_STATUSES)
def test_a_refusal_although_nothing_changed_is_tried_again(s3_store: S3Store, s3_server: S3Server, status: str) -> None:
    version = s3_store.put_if("pointer", b"zero", None)
    s3_server.refuse("PUT", status)

    s3_store.put_if("pointer", b"ours", version)

    assert s3_store.read("pointer").body == b"ours"


def test_the_bare_etag_is_sent_first_and_the_quoted_one_after_a_refusal(s3_store: S3Store, s3_server: S3Server) -> None:
    version = s3_store.put_if("quoting-pointer", b"zero", None)
    s3_server.refuse("PUT", "412 PreconditionFailed")
    s3_store.put_if("quoting-pointer", b"ours", version)

    assert writes(s3_server, "quoting-pointer") == [None, version, f'"{version}"']


def test_a_store_that_never_confirms_leaves_the_outcome_unknown(s3_store: S3Store, s3_server: S3Server) -> None:
    version = s3_store.put_if("pointer", b"zero", None)
    s3_server.refuse("PUT", "503 SlowDown", count=3)

    with pytest.raises(StateUnknown, match="read the object again"):
        s3_store.put_if("pointer", b"ours", version)


def test_a_store_that_always_refuses_is_a_conflict_that_says_why(s3_store: S3Store, s3_server: S3Server) -> None:
    version = s3_store.put_if("pointer", b"zero", None)
    s3_server.refuse("PUT", "412 PreconditionFailed", count=3)

    with pytest.raises(ConflictError, match="honours If-Match"):
        s3_store.put_if("pointer", b"ours", version)


@pytest.mark.parametrize("reading_again", ["503 SlowDown", "403 AccessDenied"])
def test_an_outcome_that_cannot_be_read_is_unknown(s3_store: S3Store, s3_server: S3Server, reading_again: str) -> None:
    s3_server.lose_replies("PUT")
    s3_server.refuse("GET", reading_again)

    with pytest.raises(StateUnknown, match="delete nothing"):
        s3_store.put_if("pointer", b"ours", None)
    assert s3_store.read("pointer").body == b"ours"


def test_a_store_without_conditional_writes_is_denied_at_once(s3_store: S3Store, s3_server: S3Server) -> None:
    s3_server.refuse("PUT", "501 NotImplemented")

    with pytest.raises(StoreDenied, match="conditional writes"):
        s3_store.put_if("pointer", b"ours", None)


# --- listings, parts, encryption --------------------------------------------------------------------------------------


def test_a_listing_goes_on_past_its_first_page(s3_store: S3Store, s3_server: S3Server) -> None:
    names = [f"many/{number:04}" for number in range(1001)]
    for name in names:
        s3_store.put(name, b"")
    s3_store.put("other", b"")
    small_pages = S3Store(s3_store.url, client=s3_server.client(), page_size=100)

    assert [info.key for info in s3_store.list("many/")] == names
    before = len(s3_server.requests)
    assert [info.key for info in small_pages.list("many/")] == names
    assert len(s3_server.requests) - before == 11


def test_what_has_not_changed_is_not_sent_again(own_client_store: S3Store) -> None:
    answers: list[tuple[int, int]] = []
    own_client_store._client.meta.events.register(
        "after-call.s3.GetObject",
        lambda http_response, **_: answers.append((http_response.status_code, len(http_response.content or b""))),
    )
    version = own_client_store.put_if("pointer", b"one", None)

    assert own_client_store.read_if_changed("pointer", version) is None
    assert answers == [(304, 0)]


def test_a_store_that_sends_it_all_the_same_changes_nothing(
    own_client_store: S3Store,
) -> None:
    version = own_client_store.put_if("pointer", b"one", None)

    def unconditional(params: dict[str, Any], **_: Any) -> None:
        params["headers"].pop("If-None-Match")

    own_client_store._client.meta.events.register("before-call.s3.GetObject", unconditional)

    assert own_client_store.read_if_changed("pointer", version) is None
    own_client_store.put_if("pointer", b"two", version)
    found = own_client_store.read_if_changed("pointer", version)
    assert found is not None and found.body == b"two"


def test_unfinished_uploads_and_folder_markers_are_never_listed(s3_store: S3Store, s3_server: S3Server) -> None:
    client = s3_server.client()
    bucket, _, prefix = s3_store.url.removeprefix("s3://").partition("/")
    begun = client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/unfinished")
    client.upload_part(
        Bucket=bucket, Key=f"{prefix}/unfinished", UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * 10
    )
    client.put_object(Bucket=bucket, Key=f"{prefix}/folder/", Body=b"")
    s3_store.put("folder/finished", b"x")

    assert [info.key for info in s3_store.list()] == ["folder/finished"]
    assert not s3_store.exists("unfinished")


def test_encryption_settings_go_with_every_write(s3_server: S3Server, tmp_path: Path) -> None:
    settings = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/slipway"}
    bucket = s3_server.new_bucket()
    store = S3Store(f"s3://{bucket}", client=s3_server.client(), encryption=settings).scoped("below")
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(17 << 20))
    store.put("put", b"x")
    store.put_if("put_if", b"x", None)
    store.upload(tmp_path / "small", "upload")
    store.upload(tmp_path / "large", "upload_in_parts")
    store.copy("put", "copy")

    for info in store.list():
        head = s3_server.client().head_object(Bucket=bucket, Key=f"below/{info.key}")
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/slipway"), info.key


def test_unknown_encryption_settings_are_refused(s3_server: S3Server) -> None:
    with pytest.raises(InputError, match="ServerSideEncrypt"):
        S3Store("s3://bucket", client=s3_server.client(), encryption={"Encrypt": "yes"})


def test_an_upload_that_arrived_short_is_noticed(own_client_store: S3Store, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"12345")
    events = own_client_store._client.meta.events
    events.register("after-call.s3.HeadObject", lambda parsed, **_context: parsed.update(ContentLength=3))

    with pytest.raises(CorruptObject, match="holds 3 bytes"):
        own_client_store.upload(tmp_path / "source", "a")


def test_a_download_that_arrived_short_leaves_nothing(own_client_store: S3Store, tmp_path: Path) -> None:
    own_client_store.put("a", b"12345")
    events = own_client_store._client.meta.events
    events.register("after-call.s3.GetObject", lambda parsed, **_context: parsed.update(ContentRange="bytes 0-4/7"))

    with pytest.raises(StoreUnreachable, match="try again"):
        own_client_store.download("a", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_download_to_a_full_disk(s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unfinished file is opened on /dev/full, so the refusal comes from the system itself."""
    open_for_real = os.open
    s3_store.put("a", bytes(1 << 20))

    def open_full(path: object, *arguments: int, **options: object) -> int:
        full = str(path).endswith(".part")
        return open_for_real("/dev/full", os.O_WRONLY) if full else open_for_real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(DiskFull, match="free some space"):
        s3_store.download("a", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


# --- a server that refuses, or is not there ---------------------------------------------------------------------------


def calls(store: S3Store, tmp_path: Path) -> dict[str, object]:
    (tmp_path / "source").write_bytes(b"x")
    return {
        "read": lambda: store.read("a"),
        "put": lambda: store.put("a", b"x"),
        "put_if": lambda: store.put_if("a", b"x", None),
        "upload": lambda: store.upload(tmp_path / "source", "a"),
        "download": lambda: store.download("a", tmp_path / "copy"),
        "copy": lambda: store.copy("a", "b"),
        "list": lambda: list(store.list()),
        "delete": lambda: store.delete("a"),
        "exists": lambda: store.exists("a"),
    }


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint_url = f"http://127.0.0.1:{unused.getsockname()[1]}"  # bound, but nobody listens
        store = S3Store("s3://bucket", client=make_test_client(endpoint_url))
        for name, call in calls(store, tmp_path).items():
            # The client may have retried, so nobody can say that a conditional write was never sent.
            with pytest.raises(StateUnknown if name == "put_if" else StoreUnreachable, match=endpoint_url):
                call()
    assert not (tmp_path / "copy").exists()


def test_a_bucket_that_is_not_there(s3_server: S3Server, tmp_path: Path) -> None:
    store = S3Store("s3://no-such-bucket-here", client=s3_server.client())
    outcomes = calls(store, tmp_path)
    assert outcomes.pop("exists")() is False
    with pytest.raises(ObjectMissing, match="no-such-bucket-here"):
        outcomes.pop("copy")()  # begins with a HEAD request, whose answer does not say which one is missing
    for call in outcomes.values():
        with pytest.raises(InputError, match=r"no-such-bucket-here.*no such bucket; create it"):
            call()


def test_credentials_that_are_refused(s3_store: S3Store, s3_server: S3Server, tmp_path: Path) -> None:
    s3_server.refuse("*", "403 AccessDenied", count=100)
    for call in calls(s3_store, tmp_path).values():
        with pytest.raises(StoreDenied, match="check the credentials") as caught:
            call()
        assert "testing-secret" not in str(caught.value)


def test_no_credentials_at_all(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = S3Store("s3://bucket", endpoint_url=s3_server.endpoint_url)

    with pytest.raises(StoreDenied, match="AWS_ACCESS_KEY_ID"):
        store.read("a")


def test_a_part_that_fails_leaves_no_object(s3_store: S3Store, s3_server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(20 << 20))
    s3_server.refuse("PUT", "503 SlowDown")

    with pytest.raises(StoreUnreachable):
        s3_store.upload(tmp_path / "large", "large")
    assert not s3_store.exists("large")
    bucket = s3_store.url.removeprefix("s3://").partition("/")[0]
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=bucket)


def test_endpoints_with_credentials_are_refused_without_repeating_them() -> None:
    with pytest.raises(InputError) as caught:
        S3Store("s3://bucket", endpoint_url="http://someone:hunter2@127.0.0.1:1")
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_is_no_url_is_an_input_error() -> None:
    with pytest.raises(InputError, match="endpoint"):
        S3Store("s3://bucket", endpoint_url="not a url")


# --- uploads that were never completed --------------------------------------------------------------------------------


def test_an_upload_that_ended_meanwhile_is_no_error(s3_store: S3Store) -> None:
    abandon(s3_store, "a", b"x")
    [found] = s3_store.abandoned(datetime(2200, 1, 1, tzinfo=UTC))
    [again] = s3_store.abandoned(datetime(2200, 1, 1, tzinfo=UTC))
    again.discard()

    found.discard()

    assert list(s3_store.abandoned(datetime(2200, 1, 1, tzinfo=UTC))) == []


def test_a_server_that_does_not_answer_is_told_as_such(s3_store: S3Store, s3_server: S3Server) -> None:
    abandon(s3_store, "a", b"x")
    [found] = s3_store.abandoned(datetime(2200, 1, 1, tzinfo=UTC))
    s3_server.refuse("*", "503 SlowDown")
    with pytest.raises(StoreUnreachable, match="cannot list unfinished uploads"):
        list(s3_store.abandoned(datetime(2200, 1, 1, tzinfo=UTC)))
    s3_server.refuse("*", "503 SlowDown")
    with pytest.raises(StoreUnreachable, match="cannot abort the upload"):
        found.discard()
