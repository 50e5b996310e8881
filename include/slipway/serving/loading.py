"""Opening one release: manifest, checksums, smoke queries, and only then a searcher."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from slipway import layout, signing
from slipway.config.encoder import Encoder
from slipway.errors import CorruptObject, OperationError, ReleaseRefused, SlipwayError, disk_errors
from slipway.index import artifact, written
from slipway.manifest import MANIFEST, Manifest
from slipway.serving.cache import Cache, is_remote
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import read_smoke_queries, run_smoke_queries
from slipway.signing import Trusted
from slipway.storage.base import ObjectStore

PARALLEL = 4  # objects fetched and verified at once


@dataclass(frozen=True, slots=True, weakref_slot=True)
class LoadedRelease:
    """A release that is whole and answers its own smoke queries."""

    release_id: str
    manifest: Manifest
    searcher: Searcher
    encoder: Encoder
    encoder_fingerprint: str

    @property
    def created_at(self) -> datetime:
        """When it was sealed (UTC)."""
        return datetime.fromisoformat(self.manifest.created_at)


def load_release(
    store: ObjectStore,
    release_id: str,
    cache: Path,
    manifest_sha256: str | None = None,
    trusted: Trusted | None = None,
) -> LoadedRelease:
    """Fetch a release into `cache` where the store is remote, verify every byte, and run its smoke queries.

    `manifest_sha256` is what serving.json says of it, `trusted` the keys of which one must have signed it. Raises
    `ObjectMissing`, `CorruptObject`, `ReleaseRefused`, `UntrustedRelease`, and what the store and the disk may say;
    whatever a release holds, the error is a `SlipwayError`.
    """
    copies = Cache(cache)
    with copies.in_use(release_id) if is_remote(store) else nullcontext():
        try:
            with disk_errors():
                return _load(store, release_id, copies, manifest_sha256, trusted)
        except SlipwayError:
            raise
        except MemoryError as error:
            raise OperationError(
                f"release {release_id} does not fit into this machine's memory beside what it serves"
            ) from error
        except Exception as error:  # forged files can make any library stumble
            raise CorruptObject(f"release {release_id} cannot be opened: {error!r}"[:500]) from error


def _load(
    store: ObjectStore, release_id: str, cache: Cache, manifest_sha256: str | None, trusted: Trusted | None
) -> LoadedRelease:
    manifest = read_release_manifest(store, release_id, manifest_sha256, trusted)
    parameters = _checked_facts(manifest)
    files = _fetch(store, manifest, cache)
    encoder, encoder_fingerprint = read_encoder(files[artifact.ENCODER], manifest)
    searcher = Searcher(files, parameters)
    _check_counts(searcher, manifest)
    run_smoke_queries(searcher, read_smoke_queries(files[artifact.SMOKE].read_bytes(), searcher.dimension))
    return LoadedRelease(release_id, manifest, searcher, encoder, encoder_fingerprint)


def _checked_facts(manifest: Manifest) -> dict[str, int]:
    """The search parameters, once all that is used of the manifest is known to be sound."""
    for name in artifact.needed([sealed.name for sealed in manifest.objects]):
        manifest.one(name)
    if written.FACT in manifest.facts:
        written.check_readable(manifest.facts[written.FACT])
    if not isinstance(manifest.created_at, str) or datetime.fromisoformat(manifest.created_at).tzinfo is None:
        raise CorruptObject(f"{manifest.place} was created at {manifest.created_at!r}, which is no time in UTC")
    parameters = manifest.facts.get("parameters")
    if not isinstance(parameters, dict) or not all(type(value) is int for value in parameters.values()):
        raise CorruptObject(f"{manifest.place} has search parameters {parameters!r}; expected names with whole numbers")
    return parameters


def _fetch(store: ObjectStore, manifest: Manifest, cache: Cache) -> dict[str, Path]:
    """The release's files by name, each verified."""
    with ThreadPoolExecutor(PARALLEL, "slipway-fetch") as pool:
        fetched = {sealed.name: pool.submit(cache.fetch, store, sealed) for sealed in manifest.objects}
        try:
            return {name: one.result() for name, one in fetched.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_encoder(path: Path, manifest: Manifest) -> tuple[Encoder, str]:
    """The encoder that built the release, and the fingerprint of its vector space. Raises `CorruptObject`."""
    try:
        description: dict[str, Any] = json.loads(path.read_bytes())
        fingerprint = description.pop("fingerprint")
        encoder = Encoder(**description)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptObject(f"{manifest.one(artifact.ENCODER).key} does not describe an encoder: {error}") from error
    if not isinstance(fingerprint, str) or fingerprint != manifest.facts.get("encoder"):
        raise CorruptObject(
            f"{manifest.one(artifact.ENCODER).key} has fingerprint {fingerprint!r}, its manifest says "
            f"{manifest.facts.get('encoder')!r}"
        )
    return encoder, fingerprint


def _check_counts(searcher: Searcher, manifest: Manifest) -> None:
    said = (manifest.counts.get("vectors"), manifest.counts.get("documents"), manifest.facts.get("dimension"))
    found = (searcher.vectors, searcher.documents, searcher.dimension)
    if said != found:
        raise CorruptObject(
            f"{manifest.place} holds {found[0]} vectors of {found[1]} documents with dimension {found[2]}, its "
            f"manifest says {said[0]}, {said[1]} and {said[2]}"
        )


def read_release_manifest(
    store: ObjectStore, release_id: str, manifest_sha256: str | None = None, trusted: Trusted | None = None
) -> Manifest:
    """A release's manifest, its own checksum compared and, with `trusted` keys, its signature checked.

    Raises `ObjectMissing`, `CorruptObject`, `UntrustedRelease`.
    """
    body = read_manifest_body(store, release_id, manifest_sha256)
    if trusted is not None:
        signing.check(store, release_id, body, trusted)
    return Manifest.from_json(body, manifest_key(release_id))


def read_manifest_body(store: ObjectStore, release_id: str, manifest_sha256: str | None = None) -> bytes:
    """The bytes of a release's manifest, their SHA-256 compared with what serving.json or one of its records says.

    Raises `ObjectMissing` and `CorruptObject`.
    """
    key = manifest_key(release_id)
    body = store.read(key).body
    actual = hashlib.sha256(body).hexdigest()
    if manifest_sha256 is not None and actual != manifest_sha256:
        raise CorruptObject(f"{key} has SHA-256 {actual}, {layout.SERVING} says {manifest_sha256}; restore it")
    return body


def manifest_key(release_id: str) -> str:
    """Where a release's manifest lies."""
    return f"{layout.release(release_id)}/{MANIFEST}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A release of which every object is in the store: its manifest, and the SHA-256 of that."""

    manifest: Manifest
    manifest_sha256: str


def check_whole(store: ObjectStore, release_id: str, manifest_sha256: str | None = None) -> Whole:
    """The release, if every object is in the store with its size; readers verify the objects' checksums.

    `manifest_sha256` is what serving.json or one of its records says of it. Raises `ReleaseRefused` when it is not
    whole, and `CorruptObject` when its manifest is not the one that was sealed.
    """
    sizes = {info.key: info.size_bytes for info in store.list(f"{layout.release(release_id)}/")}
    if not sizes:
        raise ReleaseRefused(f"there is no release {release_id}; see slipway releases")
    if manifest_key(release_id) not in sizes:
        raise ReleaseRefused(f"release {release_id} is not whole: it has no manifest, as its run was cut short")
    body = read_manifest_body(store, release_id, manifest_sha256)
    manifest = Manifest.from_json(body, manifest_key(release_id))
    for sealed in manifest.objects:
        if sizes.get(sealed.key) != sealed.size_bytes:
            raise ReleaseRefused(f"release {release_id} is not whole: {sealed.key} is missing or cut short")
    return Whole(manifest, hashlib.sha256(body).hexdigest())


def manifest_sum(store: ObjectStore, release_id: str) -> str:
    """SHA-256 of a release's manifest as it lies in the store."""
    return hashlib.sha256(store.read(manifest_key(release_id)).body).hexdigest()
