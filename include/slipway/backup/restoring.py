"""Restoring: a release, or everything, copied back from a backup, opened as a reader does, and live by one swap."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from slipway import layout
from slipway.backup import index
from slipway.backup.backing_up import check_apart, copy_everything
from slipway.backup.copying import Copied, Copying, copy_audit, has_other_history
from slipway.errors import ReleaseRefused
from slipway.pointer import Change, Serving
from slipway.recover import ACTION, Lost, last_record, newest_generation, put_back, sound_or_lost
from slipway.serving.catalogue import manifest_sums
from slipway.serving.loading import LoadedRelease, check_whole, load_release, read_release_manifest
from slipway.signing import Trusted
from slipway.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: the release that was opened and how much was written for it; whether it was made `live` now.

    `generation` is serving.json's afterwards, None where there is none. `documents` and `vectors` are as the reader
    counted them. `damaged` names what the backup could not give, with why.
    """

    release_id: str
    swapped: bool
    generation: int | None
    source: str
    to: str
    documents: int
    vectors: int
    objects: int
    bytes: int
    damaged: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """All of it, for people and scripts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Restoring:
    """One restore from a backup to a store: through which scratch folder, who wants it, why, and the keys trusted.

    With `add` objects are put back or mended and serving.json stays as it is. Hold the target's lease meanwhile.
    """

    source: ObjectStore
    target: ObjectStore
    scratch: Path
    who: str
    why: str
    add: bool = False
    trusted: Trusted | None = None

    def release(self, release_id: str | None = None) -> Restored:
        """Restore one release (default: the newest backup of a live one that was not withdrawn since), and make it live
        where nothing is.

        Every byte is checked as it arrives, and the release is opened as a reader does. Where serving.json is lost or
        nothing was ever released, it then names this release alone, with a generation above all that the two stores
        know. Raises `ReleaseRefused` when another release is live, or retention is removing this one; `InputError` when
        there is no such backup; `CorruptObject`, `ObjectMissing` and `UntrustedRelease` when the backup is not good.
        """
        check_apart(self.source, self.target)
        last = last_record(self.target, self.source)
        wanted, known = self._chosen(release_id, last)
        before = self._standing(wanted)
        slot = before.named.get(wanted) if isinstance(before, Serving) else None
        copied = self._copied(wanted, slot.manifest_sha256 if slot else known)
        loaded, manifest_sha256 = self._opened(wanted)
        candidate = loaded.manifest.facts.get("candidate")
        state = _remembering(last, Serving().promoted(wanted, manifest_sha256, candidate))
        return self._told(loaded, copied, before, self._make_live(state, before), {})

    def everything(self) -> Restored:
        """Restore all that a backup of the whole collection holds, serving.json last.

        What is there and sound stays. The live release and the one on standby are opened as a reader does; a trial that
        was under way is not taken up again. Raises as `release`, and `ReleaseRefused` when the release to make live was
        withdrawn since the backup.
        """
        check_apart(self.source, self.target)
        made = index.of_collection(self.source)
        state = made.state.without_trial() if made.state.shift else made.state
        before = self._standing(made.release_id)
        last = max(made.state, last_record(self.target, self.source), key=lambda one: one.generation)
        if self._goes_live(before) and made.release_id in last.withdrawn:
            raise ReleaseRefused(
                f"release {made.release_id}, the live one of the backup in {self.source.url}, was withdrawn since "
                f"({last.withdrawn[made.release_id].why}). Bring the objects back with --all --add, then name the "
                f"release that is to serve: slipway restore --release <id>"
            )
        damaged: dict[str, str] = {}
        copied = copy_everything(Copying(self.source, self.target, self.scratch, repair=True), damaged)
        for slot in state.named.values():
            check_whole(self.target, slot.release_id, slot.manifest_sha256)
        if state.standby_release:
            self._opened(state.standby_release.release_id)
        loaded, _ = self._opened(made.release_id)
        return self._told(loaded, copied, before, self._make_live(_remembering(last, state), before), damaged)

    def _chosen(self, release_id: str | None, last: Serving) -> tuple[str, str | None]:
        """The release to restore, and its manifest's sum where the backup's index or audit trail knows it."""
        if release_id is None:
            found = index.newest(self.source, last.withdrawn)
            return found.release_id, found.manifest_sha256
        if made := index.find(self.source, release_id):
            return release_id, made.manifest_sha256
        return release_id, manifest_sums(self.source, {release_id}).get(release_id)

    def _standing(self, wanted: str) -> Serving | Lost:
        """What serves in the target, if this restore may touch it. Raises `ReleaseRefused`."""
        if not self.why.strip():
            raise ReleaseRefused("a restore needs a reason, for those who read the audit trail")
        before = sound_or_lost(self.target)
        if isinstance(before, Lost) or before.live_release is None:
            return before
        if wanted in before.retired:
            raise ReleaseRefused(
                f"release {wanted} is being removed by retention since {before.retired[wanted]}; let slipway retention "
                f"finish that, then restore it"
            )
        if not self.add and before.live_release.release_id != wanted:
            raise ReleaseRefused(
                f"release {before.live_release.release_id} is live at {self.target.url}, and a restore does not take "
                f"its place. Put the objects there with --add, then make it live: slipway rollback --to {wanted}"
            )
        return before

    def _copied(self, release_id: str, manifest_sha256: str | None) -> Copied:
        whole = check_whole(self.source, release_id, manifest_sha256)
        read_release_manifest(self.source, release_id, whole.manifest_sha256, self.trusted)
        copying = Copying(self.source, self.target, self.scratch, repair=True)
        return copying.place(layout.release(release_id), manifest_sha256)

    def _opened(self, release_id: str) -> tuple[LoadedRelease, str]:
        """The release, opened from the target as a reader does, and its manifest's sum."""
        manifest_sha256 = check_whole(self.target, release_id).manifest_sha256
        with _folder(self.scratch) as cache:
            return load_release(self.target, release_id, cache, manifest_sha256, self.trusted), manifest_sha256

    def _goes_live(self, before: Serving | Lost) -> bool:
        """Whether this restore is to write serving.json: nothing serves, and not only objects are wanted."""
        return not self.add and (isinstance(before, Lost) or before.live_release is None)

    def _make_live(self, state: Serving, before: Serving | Lost) -> Serving | None:
        """Write serving.json where there is none that serves; None where it stays as it is."""
        if not self._goes_live(before):
            return None
        if not has_other_history(self.source, self.target):
            copy_audit(self.source, self.target)
        version = before.version if isinstance(before, Lost) else None
        above = newest_generation(self.target, self.source)
        return put_back(self.target, state, Change(ACTION, self.who, self.why), version, above)

    def _told(
        self,
        loaded: LoadedRelease,
        copied: Copied,
        before: Serving | Lost,
        after: Serving | None,
        damaged: dict[str, str],
    ) -> Restored:
        now = after or (before if isinstance(before, Serving) else None)
        return Restored(
            release_id=loaded.release_id,
            swapped=after is not None,
            generation=now.generation if now else None,
            source=self.source.url,
            to=self.target.url,
            documents=loaded.searcher.documents,
            vectors=loaded.searcher.vectors,
            objects=copied.objects,
            bytes=copied.bytes,
            damaged=damaged,
        )


def _remembering(last: Serving, state: Serving) -> Serving:
    """The state to make live, with what the newest known one says of withdrawn releases and of those being removed."""
    live = state.live_release.release_id if state.live_release else None
    withdrawn = {name: one for name, one in last.withdrawn.items() if name != live}
    retired = {name: began for name, began in last.retired.items() if name not in state.named}
    return replace(state, withdrawn=withdrawn, retired=retired)


@contextmanager
def _folder(scratch: Path) -> Iterator[Path]:
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="restore-", dir=scratch) as folder:
        yield Path(folder)
