"""A collection's store is opened with the settings of its file, whoever writes there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from slipway import serving
from slipway.cli import main
from slipway.config import load_collection
from slipway.errors import ConfigError, InputError
from slipway.pointer import read_serving
from slipway.stores import collection_store, named_collection_store
from tests.support.releases import a_run, publish
from tests.support.s3_server import S3Server

COLLECTION = """
sources: [{name: api, kind: lake, path: lake, id: id, text: "{body}"}]
encoder: {name: none, folder: model, dimension: 16, max_tokens: 256}
release: {encryption: {ServerSideEncryption: "aws:kms", SSEKMSKeyId: alias/slipway}}
"""


@pytest.fixture
def bucket(tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the server that the environment names, and a folder with the file of the collection `docs`."""
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH", "SLIPWAY_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (tmp_path / "docs.yaml").write_text(COLLECTION)
    return s3_server.new_bucket()


def unencrypted(server: S3Server, bucket: str) -> list[str]:
    client = server.client()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    heads = {key: client.head_object(Bucket=bucket, Key=key) for key in keys}
    return [
        key
        for key, head in heads.items()
        if (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")) != ("aws:kms", "alias/slipway")
    ]


def test_all_that_releases_and_a_rollback_write_is_encrypted(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    store = collection_store(load_collection(tmp_path, "docs"), f"s3://{bucket}/root")
    run = a_run(store, tmp_path / "scratch")
    first = publish(run, 1)
    publish(replace(run, run_id="run-2"), 2)
    assert unencrypted(s3_server, bucket) == []

    options = ["--collections", str(tmp_path), "--store", f"s3://{bucket}/root", "--reason", "a test"]
    done = CliRunner().invoke(main, ["rollback", "docs", *options])

    assert done.exit_code == 0, done.output
    live = read_serving(store)[0].live_release
    assert live is not None and live.release_id == first.release_id
    assert unencrypted(s3_server, bucket) == []


def test_a_readers_acknowledgements_are_encrypted_as_it_is_told(
    bucket: str, s3_server: S3Server, tmp_path: Path
) -> None:
    store = collection_store(load_collection(tmp_path, "docs"), f"s3://{bucket}/root")
    publish(a_run(store, tmp_path / "scratch"))
    settings = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/slipway"}
    with serving.open(store.url, cache=tmp_path / "cache", follow=3600, name="reader", encryption=settings):
        assert [info.key[: len("readers/reader-")] for info in store.list("readers/")] == ["readers/reader-"]
        assert unencrypted(s3_server, bucket) == []


def test_without_the_file_the_store_is_opened_as_it_is_named(bucket: str, s3_server: S3Server, tmp_path: Path) -> None:
    store = named_collection_store("docs", tmp_path / "elsewhere", f"s3://{bucket}")
    store.put("key", b"x")
    assert store.url == f"s3://{bucket}/docs"
    assert unencrypted(s3_server, bucket) == ["docs/key"]


def test_a_store_that_nothing_names_needs_the_file(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such"):
        named_collection_store("docs", tmp_path / "elsewhere")


def test_encryption_that_a_folder_cannot_give_is_refused(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="s3:// stores only"):
        collection_store(load_collection(tmp_path, "docs"), str(tmp_path))


def test_the_files_own_store_is_used_where_nothing_else_names_one(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "docs.yaml").write_text(f"{COLLECTION}store: s3://{bucket}/own\n")
    for store in (collection_store(load_collection(tmp_path, "docs")), named_collection_store("docs", tmp_path)):
        assert store.url == f"s3://{bucket}/own/docs"
