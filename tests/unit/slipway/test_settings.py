from pathlib import Path

import pytest

from slipway import settings
from slipway.config import Collection


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH"):
        monkeypatch.delenv(name, raising=False)


def a_collection(store: str | None) -> Collection:
    source = {"name": "api", "kind": "lake", "path": "/lake", "id": "id", "text": "{body}"}
    encoder = {"name": "none", "folder": "/model", "dimension": 4, "max_tokens": 256}
    return Collection.model_validate({"name": "docs", "store": store, "sources": [source], "encoder": encoder})


def test_the_collections_folder_is_the_option_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.collections_folder() == Path("include/collections")
    monkeypatch.setenv("SLIPWAY_COLLECTIONS", "/from/environment")
    assert settings.collections_folder() == Path("/from/environment")
    assert settings.collections_folder("/from/option") == Path("/from/option")


def test_the_store_is_the_option_then_the_environment_then_the_collections_own_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings.store_root() == settings.store_root(a_collection(None)) == ".slipway/store"
    assert settings.store_root(a_collection("s3://own")) == "s3://own"
    assert settings.named_store() is None
    monkeypatch.setenv("SLIPWAY_STORE", "s3://environment")
    assert settings.store_root(a_collection("s3://own")) == settings.named_store() == "s3://environment"
    assert settings.store_root(a_collection("s3://own"), "s3://option") == "s3://option"
    monkeypatch.setenv("SLIPWAY_STORE", "")
    assert settings.named_store() is None


@pytest.mark.parametrize("root", ["s3://bucket/prefix", "s3://bucket/prefix/"])
def test_a_collection_lies_below_the_root(root: str) -> None:
    assert settings.store_url("docs", root) == "s3://bucket/prefix/docs"
    assert settings.store_url("docs", "/") == "/docs"


def test_scratch_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.scratch_root() is None
    monkeypatch.setenv("SLIPWAY_SCRATCH", "/fast/disk")
    assert settings.scratch_root() == Path("/fast/disk")
