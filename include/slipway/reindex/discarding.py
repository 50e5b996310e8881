"""What a refused campaign leaves: its vectors, which another campaign finds, and its record. The rest goes."""

from __future__ import annotations

from collections.abc import Iterator

from slipway import agreement, checkpoint, layout
from slipway.errors import EncoderError, LostRace, Refused, UntrustedRelease
from slipway.maintenance.places import delete_place, find_place
from slipway.manifest import MANIFEST, Manifest, find, load
from slipway.reindex.asking import campaign_of
from slipway.run import Run
from slipway.stages import chunk

_MADE = ("drift", "comparison", "evaluation", "candidate")  # what refers goes before what it refers to


def ends_campaign(error: Exception) -> bool:
    """Whether a campaign that was refused so cannot go on, but by beginning another one.

    After a lost race, or where the keys did not fit, the same campaign may be tried again.
    """
    return isinstance(error, Refused) and not isinstance(error, LostRace | UntrustedRelease)


def discard(run: Run) -> None:
    """Remove the candidates, evaluations, comparisons, records of drift and chunks that this campaign made, if any.

    What a release was made of stays, and so do chunks that nights use too. Vectors, the beginning, plan, report and
    result of the campaign stay until maintenance finds that nobody needs them.
    """
    if checkpoint.started(run) is None:
        return
    run = checkpoint.as_started(run)
    campaign_of(run)
    released = _released(run)
    for note in _notes(run):
        if note.facts["candidate"] not in released:
            for name in _MADE:
                _remove(run, note.facts.get(name))
        if not _is_shared(run, note.facts["chunks"]):
            _remove(run, note.facts["chunks"])
        _remove(run, note.place)


def _notes(run: Run) -> list[Manifest]:
    """What the campaign noted of each candidate that it built."""
    suffix = f"/{MANIFEST}"
    keys = [info.key for info in run.store.list(layout.built(run.run_id, "")) if info.key.endswith(suffix)]
    return [load(run.store, key.removesuffix(suffix)) for key in keys]


def _released(run: Run) -> set[str]:
    """Places of the candidates that releases were made of."""
    return {str(release.facts.get("candidate")) for release in _releases(run)}


def _releases(run: Run) -> Iterator[Manifest]:
    suffix = f"/{MANIFEST}"
    for info in run.store.list(layout.RELEASES):
        if info.key.endswith(suffix):
            yield load(run.store, info.key.removesuffix(suffix))


def _is_shared(run: Run, place: str) -> bool:
    """Whether nights in the live release's space cut the same documents into the same chunks, or may do."""
    chunks = find(run.store, place)
    snapshot = find(run.store, chunks.facts["snapshot"]) if chunks else None
    live = agreement.live_of(run)
    if snapshot is None or live is None or live.fingerprint == checkpoint.start_of(run).encoder:
        return True
    try:
        nightly = checkpoint.with_settings(run, {"encoder": live.encoder(run).model_dump(mode="json")})
        return chunk.place_of(nightly, snapshot) == place
    except EncoderError:  # its model is not on this machine, so it cannot be told
        return True


def _remove(run: Run, place: str | None) -> None:
    found = find_place(run.store, place) if place else None
    if found is not None:
        delete_place(run.store, found, lambda: None)
