"""The releases that a store retains, and which of them serves."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing
from slipway.manifest import MANIFEST, Manifest, find
from slipway.pointer import Serving, read_serving
from slipway.serving.loading import read_release_manifest
from slipway.storage.base import ObjectStore


def list_releases(store: ObjectStore) -> dict[str, Any]:
    """All whole releases, newest first, with their state: "live", "trial", "standby", "withdrawn" or None."""
    serving, _ = read_serving(store)
    keys = [info.key for info in store.list("releases/") if info.key.endswith(f"/{MANIFEST}")]
    manifests = [Manifest.from_json(store.read(key).body, key) for key in keys]
    newest = sorted(manifests, key=lambda manifest: manifest.created_at, reverse=True)
    return {"generation": serving.generation, "releases": [_entry(manifest, serving) for manifest in newest]}


def named_releases(store: ObjectStore) -> dict[str, Manifest]:
    """Manifests of the releases that serving.json names, by id: live first, then standby, then those withdrawn.

    A withdrawn release that is no longer in the store is left out. Raises `ObjectMissing` and `CorruptObject` for the
    two that serve.
    """
    serving, _ = read_serving(store)
    slots = [slot for slot in (serving.live_release, serving.standby_release) if slot is not None]
    named = {slot.release_id: read_release_manifest(store, slot.release_id, slot.manifest_sha256) for slot in slots}
    for release_id in sorted(set(serving.withdrawn) - set(named)):
        found = find(store, layout.release(release_id))
        if found is not None:
            named[release_id] = found
    return named


def manifest_sums(store: ObjectStore, wanted: Collection[str]) -> dict[str, str]:
    """SHA-256 of these releases' manifests, as serving.json and the audit trail tell them: newest record first.

    A release that never stood in a slot is not among them. Records that cannot be read are passed over.
    """
    sums: dict[str, str] = {}
    keys = sorted((info.key for info in store.list(layout.AUDIT)), reverse=True)
    for key in (layout.SERVING, *keys):
        if set(wanted) <= set(sums):
            break
        with suppress(CorruptObject, ObjectMissing):
            named = Serving.from_json(store.read(key).body).named
            sums |= {one: named[one].manifest_sha256 for one in set(wanted).intersection(named) - set(sums)}
    return sums


def _entry(manifest: Manifest, serving: Serving) -> dict[str, Any]:
    release_id = manifest.fingerprint
    return {
        "release_id": release_id,
        "state": _state(release_id, serving),
        "created_at": manifest.created_at,
        "documents": manifest.counts["documents"],
        "vectors": manifest.counts["vectors"],
        "bytes": manifest.size_bytes,
        "spec": manifest.facts["spec"]["factory"],
        "encoder": manifest.facts["encoder"],
        "metrics": manifest.facts["metrics"],
        "run_id": manifest.facts["run_id"],
    }


def _state(release_id: str, serving: Serving) -> str | None:
    if serving.live_release and serving.live_release.release_id == release_id:
        return "live"
    if serving.trial and serving.trial.release_id == release_id:
        return "trial"
    if release_id in serving.withdrawn:
        return "withdrawn"
    if serving.standby_release and serving.standby_release.release_id == release_id:
        return "standby"
    return None
