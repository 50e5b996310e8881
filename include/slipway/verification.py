"""The scrub: every object of every retained release, read from the store and compared with its manifest's sums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slipway import layout, signing
from slipway.errors import CorruptObject, ObjectMissing, ReleaseRefused, UntrustedRelease
from slipway.manifest import MANIFEST, Manifest, SealedObject, fetch
from slipway.pointer import Serving
from slipway.recover import Lost, sound_or_lost
from slipway.serving.catalogue import manifest_sums, state_of
from slipway.serving.loading import manifest_key
from slipway.signing import Trusted
from slipway.storage.base import ObjectStore

PASS, FAIL, UNFINISHED, REMOVED = "pass", "fail", "unfinished", "removed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an object, or, where it is no `damage`, what is worth knowing of it."""

    key: str
    problem: str
    damage: bool = True


@dataclass(frozen=True, slots=True)
class Checked:
    """One release: its `state` in serving.json (None: retained only), and how it came out.

    `result` is "pass", "fail", "unfinished" (it was never sealed, so it is no release yet) or "removed" (meanwhile).
    `objects` and `bytes` were read and compared; `signed_by` is the trusted key that vouches for it, where keys are
    given.
    """

    release_id: str
    state: str | None
    result: str
    objects: int = 0
    bytes: int = 0
    signed_by: str | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Verified:
    """All releases, newest first, and what is wrong with serving.json itself (None: nothing)."""

    releases: tuple[Checked, ...]
    serving: str | None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.serving is None and all(one.result != FAIL for one in self.releases)

    @property
    def damaged(self) -> list[str]:
        """Every damage in a sentence, with the object's key."""
        whole = [] if self.serving is None else [self.serving]
        return whole + [f"{one.key}: {one.problem}" for of in self.releases for one in of.findings if one.damage]

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return {
            "sound": self.sound,
            "serving": self.serving,
            "damaged": self.damaged,
            "releases": [asdict(one) for one in self.releases],
        }


@dataclass(slots=True)
class _Tally:
    """What was seen of one release so far."""

    objects: int = 0
    bytes: int = 0
    signed_by: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def damage(self, key: str, problem: object) -> None:
        self.findings.append(Finding(key, str(problem)))

    def note(self, key: str, problem: str) -> None:
        self.findings.append(Finding(key, problem, damage=False))


def verify(
    store: ObjectStore, scratch: Path, release_id: str | None = None, trusted: Trusted | None = None
) -> Verified:
    """Compare every object of every retained release (or of one) with its manifest, and that with what named it.

    Objects are read from the store, one after another, through a file below `scratch`; no cache is asked. Damage is
    told, not raised, and keeps nothing from being looked at. Raises `ReleaseRefused` where there is no such release,
    and what the store says when it does not answer. Nothing is written.
    """
    now = sound_or_lost(store)
    serving = now if isinstance(now, Serving) else Serving()
    sizes: dict[str, dict[str, int]] = {name: {} for name in serving.named}
    for info in store.list(layout.RELEASES):
        name = info.key.removeprefix(layout.RELEASES).partition("/")[0]
        sizes.setdefault(name, {})[info.key] = info.size_bytes
    if release_id is not None and release_id not in sizes:
        raise ReleaseRefused(f"there is no release {release_id} at {store.url}; see slipway releases")
    wanted = sorted(sizes, reverse=True) if release_id is None else [release_id]
    scrub = _Scrub(store, scratch, serving, trusted, manifest_sums(store, wanted))
    lost = now.why if isinstance(now, Lost) and not _is_backup(store) else None
    return Verified(tuple(scrub.release(name, sizes[name]) for name in wanted), lost)


def _is_backup(store: ObjectStore) -> bool:
    """Whether the store holds backups: those have no serving.json."""
    return any(True for _ in store.list(layout.BACKUPS))


@dataclass(frozen=True, slots=True)
class _Scrub:
    store: ObjectStore
    scratch: Path
    serving: Serving
    trusted: Trusted | None
    sums: Mapping[str, str]

    def release(self, release_id: str, sizes: Mapping[str, int]) -> Checked:
        """Look at one release; `sizes` is what the listing shows of its objects."""
        tally = _Tally()
        is_sealed = manifest_key(release_id) in sizes
        if not is_sealed and release_id not in self.serving.named:
            tally.note(f"{layout.release(release_id)}/", "no manifest: its run was cut short, or is at work")
            return self._checked(release_id, UNFINISHED, tally)
        manifest = self._manifest(release_id, tally)
        if manifest is not None:
            for sealed in manifest.objects:
                self._object(sealed, sizes, tally)
            self._strays(manifest, sizes, tally)
        if any(one.damage for one in tally.findings):
            if is_sealed and release_id not in self.serving.named and not self.store.exists(manifest_key(release_id)):
                return self._checked(release_id, REMOVED, _Tally())  # by retention, while it was looked at
            return self._checked(release_id, FAIL, tally)
        return self._checked(release_id, PASS, tally)

    def _manifest(self, release_id: str, tally: _Tally) -> Manifest | None:
        """The manifest, where it can be read; its sum and signature are compared as far as they are known."""
        key = manifest_key(release_id)
        try:
            body = self.store.read(key).body
            manifest = Manifest.from_json(body, key)
        except (CorruptObject, ObjectMissing) as error:
            tally.damage(key, error)
            return None
        known, actual = self.sums.get(release_id), hashlib.sha256(body).hexdigest()
        if known is not None and known != actual:
            tally.damage(key, f"it has SHA-256 {actual}, {layout.SERVING} or its audit trail says {known}")
        if self.trusted is not None:
            try:
                tally.signed_by = signing.check(self.store, release_id, body, self.trusted)
            except UntrustedRelease as error:
                tally.damage(layout.signature(release_id), error)
        tally.objects, tally.bytes = 1, len(body)
        return manifest

    def _object(self, sealed: SealedObject, sizes: Mapping[str, int], tally: _Tally) -> None:
        if sealed.key not in sizes:
            tally.damage(sealed.key, "it is named by the manifest and is not in the store")
            return
        path = self.scratch / sealed.key
        path.unlink(missing_ok=True)  # what a former scrub left proves nothing of the store
        try:
            fetch(self.store, sealed, self.scratch)
            tally.objects, tally.bytes = tally.objects + 1, tally.bytes + sealed.size_bytes
        except (CorruptObject, ObjectMissing) as error:
            tally.damage(sealed.key, error)
        finally:
            path.unlink(missing_ok=True)

    def _strays(self, manifest: Manifest, sizes: Mapping[str, int], tally: _Tally) -> None:
        named = {sealed.key for sealed in manifest.objects}
        named |= {f"{manifest.place}/{name}" for name in (MANIFEST, layout.SIGNATURE)}
        for key in sizes:
            if key not in named:
                tally.note(key, "no manifest names it: an attempt that was cut short left it, maintenance removes it")

    def _checked(self, release_id: str, result: str, tally: _Tally) -> Checked:
        state = state_of(release_id, self.serving)
        findings = tuple(tally.findings)
        return Checked(release_id, state, result, tally.objects, tally.bytes, tally.signed_by, findings)
