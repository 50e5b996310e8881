"""Which URL opens which store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import slipway.storage
from slipway.errors import InputError
from slipway.storage import LocalStore, open_store
from tests.support.s3_server import S3Server


@pytest.mark.parametrize("form", ["path", "text", "file", "file on localhost"])
def test_folders_open_a_local_store(tmp_path: Path, form: str) -> None:
    root = tmp_path / "with space % and ü"
    url = {
        "path": root,
        "text": str(root),
        "file": root.as_uri(),
        "file on localhost": root.as_uri().replace("file://", "file://localhost"),
    }[form]
    store = open_store(url)
    store.put("a", b"x")

    assert isinstance(store, LocalStore)
    assert (root / "a").read_bytes() == b"x"
    assert open_store(store.url).read("a").body == b"x"


def test_a_relative_path_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert open_store("store").url == open_store("~/store").url == (tmp_path / "store").as_uri()


def test_s3_urls_open_an_s3_store_from_the_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    bucket = s3_server.new_bucket()
    store = open_store(f"s3://{bucket}/releases/")
    store.put("a", b"x")

    assert store.url == f"s3://{bucket}/releases"
    assert [info.key for info in open_store(f"s3://{bucket}").list()] == ["releases/a"]
    assert store.local_path("a") is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "http://host/folder",
        "gs://bucket",
        "file://otherhost/folder",
        "file://",
        "s3://",
        "s3:///prefix",
        "s3://[bucket",
        "s3://bucket/a/../b",
        "s3://bucket/a?versionId=1",
    ],
)
def test_other_urls_are_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(InputError, match=r"s3://|relative path"):
        open_store(url)


def test_credentials_in_a_url_are_refused_without_repeating_them() -> None:
    for url in ("s3://key:hunter2@bucket/prefix", "http://key:hunter2@host", "file://key:hunter2@host/folder"):
        with pytest.raises(InputError) as caught:
            open_store(url)
        assert "hunter2" not in str(caught.value)


def test_encryption_of_a_local_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="encrypt the disk"):
        open_store(tmp_path, encryption={"ServerSideEncryption": "AES256"})


def test_a_missing_boto3_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    for name in [name for name in sys.modules if name.startswith("slipway.storage.s3")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match="pip install boto3"):
        open_store("s3://bucket")


def test_importing_the_package_loads_no_s3_client(tmp_path: Path) -> None:
    program = (
        "import sys, slipway.storage; slipway.storage.open_store(sys.argv[1]);"
        "print([name for name in ('boto3', 'botocore', 's3transfer', 'urllib3') if name in sys.modules])"
    )
    source = Path(slipway.storage.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, cwd=source
    )
    assert done.stdout.strip() == "[]"
