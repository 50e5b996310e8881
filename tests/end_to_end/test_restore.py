"""A bucket is wiped and comes back from another one, over HTTP, as an operator brings it back: by the commands."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner

from slipway.cli import main
from slipway.storage import ObjectStore, open_store
from slipway.storage.s3_client import make_client
from tests.support.releases import a_run, again, publish, unit_vectors
from tests.support.s3_process import s3_process
from tests.support.s3_server import CREDENTIALS

__all__ = ["s3_process"]


@pytest.fixture
def root(s3_process: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket for the collection, whose backups go to another one. Commands find the server by the environment."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_process}.items():
        monkeypatch.setenv(name, value)
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_PUBLIC_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    bucket = f"docs-{uuid4().hex}"
    for name in (bucket, f"{bucket}-backup"):
        make_client(s3_process).create_bucket(Bucket=name)
    return f"s3://{bucket}"


def slipway(root: str, command: str, *options: str) -> dict[str, object]:
    done = CliRunner().invoke(main, [command, "docs", "--store", root, "--json", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def wipe(store: ObjectStore) -> None:
    for info in list(store.list()):
        store.delete(info.key)


@pytest.mark.parametrize("whole", [False, True])
def test_a_wiped_bucket_is_restored_verified_and_served(whole: bool, root: str, tmp_path: Path) -> None:
    from slipway import serving

    store, everything = open_store(f"{root}/docs"), ["--all"] if whole else []
    run = a_run(store, tmp_path / "scratch")
    was = [publish(again(run, f"night-{seed}"), seed).release_id for seed in range(2)][-1]
    with serving.open(f"{root}/docs", cache=tmp_path / "cache") as reader:
        before = reader.search_batch(unit_vectors(8, seed=5), 5)
        slipway(root, "backup", "--to", f"{root}-backup", *everything)
        assert slipway(root, "drill", "--from", f"{root}-backup")["is_live"] is True
        wipe(store)
        done = slipway(root, "restore", "--from", f"{root}-backup", "--reason", "the bucket was wiped", *everything)
        assert (done["release_id"], done["swapped"], done["generation"]) == (was, True, 3)
        assert slipway(root, "verify")["sound"] is True
        reader.refresh()  # which raises where the generation went back
        assert reader.search_batch(unit_vectors(8, seed=5), 5) == before
    with serving.open(f"{root}/docs", cache=tmp_path / "fresh") as reader:
        assert reader.release.release_id == was
        assert reader.search_batch(unit_vectors(8, seed=5), 5) == before
