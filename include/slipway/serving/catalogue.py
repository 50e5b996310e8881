"""The releases that a store retains, and which of them serves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from slipway import layout
from slipway.errors import CorruptObject, ObjectMissing
from slipway.manifest import MANIFEST, Manifest, find
from slipway.pointer import Serving, read_serving, records
from slipway.serving.loading import read_release_manifest
from slipway.storage.base import ObjectStore


def list_releases(store: ObjectStore) -> dict[str, Any]:
    """All sealed releases, newest first, with their state: "live", "trial", "standby", "withdrawn" or None.

    A release that is not whole stands in the list all the same: `damaged` says why (None: nothing was seen; `slipway
    verify` looks at every byte), and what its manifest does not tell is None. Those without a time come last.
    """
    serving, _ = read_serving(store)
    sizes = {info.key: info.size_bytes for info in store.list(layout.RELEASES)}
    sealed = {key.removeprefix(layout.RELEASES).partition("/")[0] for key in sizes if key.endswith(f"/{MANIFEST}")}
    found = (_entry(store, release_id, serving, sizes) for release_id in sorted(sealed | set(serving.named)))
    entries = sorted(filter(None, found), key=lambda entry: entry["created_at"] or "", reverse=True)
    return {"generation": serving.generation, "releases": entries}


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
    for state in _states(store):
        sums |= {one: state.named[one].manifest_sha256 for one in set(wanted).intersection(state.named) - set(sums)}
        if set(wanted) <= set(sums):
            break
    return sums


def _states(store: ObjectStore) -> Iterator[Serving]:
    """serving.json, then the audit trail backwards, as far as they can be read."""
    with suppress(CorruptObject, ObjectMissing):
        yield Serving.from_json(store.read(layout.SERVING).body)
    yield from (state for _, state in records(store) if isinstance(state, Serving))


def _entry(store: ObjectStore, release_id: str, serving: Serving, sizes: Mapping[str, int]) -> dict[str, Any] | None:
    """What is listed of a release; None for one that was removed since the listing."""
    slot = serving.named.get(release_id)
    entry: dict[str, Any] = {"release_id": release_id, "state": state_of(release_id, serving), "damaged": None}
    try:
        manifest = read_release_manifest(store, release_id, slot.manifest_sha256 if slot else None)
        said = _said(manifest)
    except (CorruptObject, ObjectMissing) as error:
        if slot is None and isinstance(error, ObjectMissing):
            return None
        return entry | dict.fromkeys(_SAID) | {"damaged": str(error)}
    wrong = [one.key for one in manifest.objects if sizes.get(one.key) != one.size_bytes]
    damaged = f"{wrong[0]} is missing or cut short; restore it from a backup" if wrong else None
    return entry | said | {"damaged": damaged}


_SAID = ("created_at", "documents", "vectors", "bytes", "spec", "encoder", "encoder_name", "metrics", "run_id")


def _said(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says of its release. Raises `CorruptObject`."""
    try:
        counts, facts = manifest.counts, manifest.facts
        values = (counts["documents"], counts["vectors"], manifest.size_bytes, facts["spec"]["factory"])
        return dict(
            zip(
                _SAID,
                (
                    *(str(manifest.created_at), *values, facts["encoder"], facts.get("encoder_name")),
                    *(dict(facts["metrics"]), facts["run_id"]),
                ),
                strict=True,
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptObject(f"the manifest of {manifest.place} does not describe a release: {error!r}") from error


def state_of(release_id: str, serving: Serving) -> str | None:
    """What serving.json makes of a release: "live", "trial", "standby", "withdrawn" or None."""
    if serving.live_release and serving.live_release.release_id == release_id:
        return "live"
    if serving.trial and serving.trial.release_id == release_id:
        return "trial"
    if release_id in serving.withdrawn:
        return "withdrawn"
    if serving.standby_release and serving.standby_release.release_id == release_id:
        return "standby"
    return None
