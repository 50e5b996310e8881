"""Reading what a report consists of. Light: the web server reads reports too."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from slipway.errors import CorruptObject
from slipway.manifest import Manifest, SealedObject
from slipway.storage.base import ObjectStore

PAGE, DOCUMENT = "report.html", "report.json"


def page_of(report: Manifest) -> SealedObject:
    """The object that is the report as HTML. Raises `ObjectMissing`."""
    return report.one(PAGE)


def read_page(store: ObjectStore, report: Manifest) -> str:
    """The report as HTML. Raises `ObjectMissing`, and `CorruptObject` when it is not what was sealed."""
    return read_object(store, page_of(report)).decode()


def read_document(store: ObjectStore, report: Manifest) -> dict[str, Any]:
    """The report as data. Raises `ObjectMissing`, and `CorruptObject` when it is not what was sealed."""
    found: dict[str, Any] = read_json(store, report, DOCUMENT)
    return found


def read_json(store: ObjectStore, manifest: Manifest, name: str) -> Any:
    """The JSON value that a manifest names so. Raises `ObjectMissing`, `CorruptObject`."""
    return json.loads(read_object(store, manifest.one(name)))


def read_object(store: ObjectStore, sealed: SealedObject) -> bytes:
    """The object's bytes, checked. Raises `ObjectMissing`, `CorruptObject`."""
    body = store.read(sealed.key).body
    if hashlib.sha256(body).hexdigest() != sealed.sha256:
        raise CorruptObject(f"{sealed.key} is not what its manifest says: its SHA-256 differs; restore it")
    return body
