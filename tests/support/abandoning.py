"""Writes that are killed half-way, on every kind of store."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from slipway.errors import StoreUnreachable
from slipway.storage import LocalStore, ObjectStore
from tests.support.memory_store import MemoryStore


def abandon(store: ObjectStore, key: str, body: bytes) -> None:
    """Begin to write `body` to `key`, and die before it is whole."""
    if isinstance(store, MemoryStore):
        store.abandon(key, body)
    elif isinstance(store, LocalStore):
        _die_before_the_rename(store, key, body)
    else:
        _upload_one_part(store, key, body)


def _die_before_the_rename(store: LocalStore, key: str, body: bytes) -> None:
    def die(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch:
        # A killed process neither renames nor cleans up.
        patch.setattr(Path, "replace", die)
        patch.setattr(Path, "unlink", die)
        with pytest.raises(StoreUnreachable):
            store.put(key, body)


def _upload_one_part(store: ObjectStore, key: str, body: bytes) -> None:
    from slipway.storage.s3 import S3Store

    assert isinstance(store, S3Store)
    of_object = {"Bucket": store._bucket, "Key": store._key(key)}
    upload_id = store._client.create_multipart_upload(**of_object)["UploadId"]
    store._client.upload_part(**of_object, UploadId=upload_id, PartNumber=1, Body=body)
