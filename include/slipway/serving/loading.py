"""Opening one release: manifest, checksums, smoke queries, and only then a searcher."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from slipway import layout, signing
from slipway.config.encoder import Encoder
from slipway.errors import CorruptObject, ReleaseRefused
from slipway.index import artifact
from slipway.manifest import MANIFEST, Manifest, fetch
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import run_smoke_queries
from slipway.signing import Trusted
from slipway.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """A release that is whole and answers its own smoke queries."""

    release_id: str
    manifest: Manifest
    searcher: Searcher
    encoder: Encoder
    encoder_fingerprint: str


def load_release(
    store: ObjectStore,
    release_id: str,
    cache: Path,
    manifest_sha256: str | None = None,
    trusted: Trusted | None = None,
) -> LoadedRelease:
    """Fetch a release into `cache` where the store is remote, verify every byte, and run its smoke queries.

    `manifest_sha256` is what serving.json says of it, `trusted` the keys of which one must have signed it. Raises
    `ObjectMissing`, `CorruptObject`, `ReleaseRefused`, `UntrustedRelease`.
    """
    manifest = read_release_manifest(store, release_id, manifest_sha256, trusted)
    files = {sealed.name: fetch(store, sealed, cache) for sealed in manifest.objects}
    for name in (artifact.INDEX, artifact.ROWS, artifact.DOCUMENTS, artifact.ENCODER, artifact.SMOKE):
        manifest.one(name)
    searcher = Searcher(files, manifest.facts["parameters"])
    run_smoke_queries(searcher, json.loads(files[artifact.SMOKE].read_bytes()))
    description = json.loads(files[artifact.ENCODER].read_bytes())
    encoder_fingerprint = description.pop("fingerprint")
    return LoadedRelease(release_id, manifest, searcher, Encoder(**description), encoder_fingerprint)


def read_release_manifest(
    store: ObjectStore, release_id: str, manifest_sha256: str | None = None, trusted: Trusted | None = None
) -> Manifest:
    """A release's manifest, its own checksum compared and, with `trusted` keys, its signature checked.

    Raises `ObjectMissing`, `CorruptObject`, `UntrustedRelease`.
    """
    key = f"{layout.release(release_id)}/{MANIFEST}"
    body = store.read(key).body
    actual = hashlib.sha256(body).hexdigest()
    if manifest_sha256 is not None and actual != manifest_sha256:
        raise CorruptObject(f"{key} has SHA-256 {actual}, {layout.SERVING} says {manifest_sha256}; restore it")
    if trusted is not None:
        signing.check(store, release_id, body, trusted)
    return Manifest.from_json(body, key)


@dataclass(frozen=True, slots=True)
class Whole:
    """A release of which every object is in the store: its manifest, and the SHA-256 of that."""

    manifest: Manifest
    manifest_sha256: str


def check_whole(store: ObjectStore, release_id: str, manifest_sha256: str | None = None) -> Whole:
    """The release, if every object is in the store with its size; readers verify the objects' checksums.

    `manifest_sha256` is what serving.json says of it, where it stands there. Raises `ReleaseRefused` when it is not
    whole, and `CorruptObject` when its manifest is not the one that was sealed.
    """
    sizes = {info.key: info.size_bytes for info in store.list(f"{layout.release(release_id)}/")}
    if not sizes:
        raise ReleaseRefused(f"there is no release {release_id}; see slipway releases")
    if f"{layout.release(release_id)}/{MANIFEST}" not in sizes:
        raise ReleaseRefused(f"release {release_id} is not whole: it has no manifest, as its run was cut short")
    manifest = read_release_manifest(store, release_id, manifest_sha256)
    for sealed in manifest.objects:
        if sizes.get(sealed.key) != sealed.size_bytes:
            raise ReleaseRefused(f"release {release_id} is not whole: {sealed.key} is missing or cut short")
    return Whole(manifest, manifest_sha256 or manifest_sum(store, release_id))


def manifest_sum(store: ObjectStore, release_id: str) -> str:
    """SHA-256 of a release's manifest as it lies in the store."""
    return hashlib.sha256(store.read(f"{layout.release(release_id)}/{MANIFEST}").body).hexdigest()
