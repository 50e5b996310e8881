"""Whether the collection file and the live release name the same encoder and index, and what a night does if not.

After a reindex campaign the file still names what was there before, until somebody merges a change; after a rollback of
one it may name what was left. Both are known here, so a night goes on with what is live and says so. A file that names
an encoder of which no release tells is another matter: nobody has judged it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.config.encoder import Encoder
from slipway.config.index import Index
from slipway.config.load import named_encoder, named_encoders
from slipway.encoders import find_model
from slipway.errors import CorruptObject, EncoderError
from slipway.index import artifact
from slipway.manifest import Manifest, fetch
from slipway.run import Run
from slipway.serving.catalogue import named_releases

INDEX = "index_settings"  # fact of a release: the index settings it was built with
INSTEAD_OF = "instead_of"  # fact of a release, and setting of a run: what the collection file said instead


@dataclass(frozen=True, slots=True)
class Live:
    """The live release, and the index settings it was built with; None where its version did not note them."""

    manifest: Manifest
    index: Index | None

    @property
    def fingerprint(self) -> str:
        """Of its encoder."""
        return str(self.manifest.facts["encoder"])

    def encoder(self, run: Run) -> Encoder:
        """The encoder that built it: as the encoder file of its name has it, where that is still the same vector space,
        since models are moved; else as it was configured then. Raises `CorruptObject`.
        """
        sealed = self.manifest.one(artifact.ENCODER)
        try:
            described = json.loads(fetch(run.store, sealed, run.scratch).read_bytes())
            del described["fingerprint"]
            stored = Encoder.model_validate(described)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObject(f"{sealed.key} does not describe an encoder: {error}") from error
        return _named_alike(run, stored.name, self.fingerprint) or stored


@dataclass(frozen=True, slots=True)
class Followed:
    """What a night takes instead of the collection file's settings (none: they agree), and why in a sentence."""

    settings: Mapping[str, Any]
    note: str


def said_by(run: Run, live: Live) -> dict[str, Any]:
    """What the run's collection names, as it is kept in `INSTEAD_OF`.

    Also where its model was removed from this machine since the live release took its place. Raises `EncoderError`.
    """
    try:
        return _said(run, find_model(run.collection.encoder).fingerprint)
    except EncoderError:
        replaced = live.manifest.facts.get(INSTEAD_OF, {})
        settings = replaced.get("encoder_settings")
        if settings is None or Encoder.model_validate(settings) != run.collection.encoder:
            raise
        return _said(run, replaced["encoder"])


def _said(run: Run, fingerprint: str) -> dict[str, Any]:
    encoder, index = run.collection.encoder, run.collection.index
    return {
        "encoder": fingerprint,
        "encoder_settings": encoder.model_dump(mode="json"),
        "index": index.model_dump(mode="json"),
    }


def _named_alike(run: Run, name: str, fingerprint: str) -> Encoder | None:
    """The encoder of that name in the files beside the collection's, if its vector space is the same."""
    if run.collection.folder is None or name not in named_encoders(run.collection.folder):
        return None
    named = named_encoder(run.collection.folder, name)
    try:
        return named if find_model(named).fingerprint == fingerprint else None
    except EncoderError:  # not on this machine
        return None


def as_now(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Stored index settings as this version writes them: what older ones did not know has its default."""
    return Index.model_validate(stored).model_dump(mode="json") if stored is not None else None


def live_of(run: Run, releases: Mapping[str, Manifest] | None = None) -> Live | None:
    """The live release, if there is one; `releases` are those of `named_releases`, where known.

    Raises `ObjectMissing`, `CorruptObject`.
    """
    manifest = next(iter((named_releases(run.store) if releases is None else releases).values()), None)
    if manifest is None:
        return None
    stored = manifest.facts.get(INDEX)
    return Live(manifest, Index.model_validate(stored) if stored else None)


def follow(run: Run) -> Followed:
    """What a night of this run's collection is built with.

    The live release's encoder takes the place of the file's where the file names the one that it replaced, or one of a
    release that serving.json knows; its index settings, where the file has those that a campaign replaced. Raises
    `EncoderError` when the file names an encoder of another vector space that no release tells of.
    """
    releases = named_releases(run.store)
    live = live_of(run, releases)
    if live is None:
        return Followed({}, "")
    said = said_by(run, live)
    settings: dict[str, Any] = {}
    notes = []
    if live.fingerprint != said["encoder"]:
        encoder = live.encoder(run)
        if said["encoder"] not in _known_encoders(live, releases):
            raise _unknown(run, live, encoder, said["encoder"])
        _check_is_here(run, live, encoder)
        settings["encoder"] = encoder.model_dump(mode="json")
        notes.append(_encoder_note(run, live, encoder))
    if live.index is not None and _is_replaced(live, releases, said["index"]):
        settings["index"] = live.index.model_dump(mode="json")
        notes.append(_index_note(live, live.index))
    return Followed({**settings, INSTEAD_OF: said}, "; ".join(notes)) if settings else Followed({}, "")


def index_of(run: Run) -> Index:
    """The index settings that the collection is built with: the live release's where a campaign made the difference."""
    releases = named_releases(run.store)
    live = live_of(run, releases)
    said = run.collection.index
    if live is not None and live.index is not None and _is_replaced(live, releases, said.model_dump(mode="json")):
        return live.index
    return said


def _known_encoders(live: Live, releases: Mapping[str, Manifest]) -> set[str]:
    replaced = live.manifest.facts.get(INSTEAD_OF, {}).get("encoder")
    return {release.facts["encoder"] for release in releases.values()} | {replaced}


def _is_replaced(live: Live, releases: Mapping[str, Manifest], said: Mapping[str, Any]) -> bool:
    """Whether these index settings are ones that the live release was made instead of, or a campaign's that was left.

    Others are a change of the file, which a night follows.
    """
    assert live.index is not None
    if said == live.index.model_dump(mode="json"):
        return False
    if said == as_now(live.manifest.facts.get(INSTEAD_OF, {}).get("index")):
        return True
    left = (release.facts for release in releases.values() if release.place != live.manifest.place)
    return any(INSTEAD_OF in facts and as_now(facts.get(INDEX)) == said for facts in left)


def _check_is_here(run: Run, live: Live, encoder: Encoder) -> None:
    built = (
        f"the live release {live.manifest.fingerprint} was built by encoder {encoder.name} ({live.fingerprint}), and "
        f"the collection file names {run.collection.encoder.name}"
    )
    mend = (
        f"Put that model back, or let the encoder file {encoder.name} say where it is now, and change `encoder:` in "
        f"the collection file to {encoder.name}"
    )
    try:
        found = find_model(encoder).fingerprint
    except EncoderError as error:
        raise EncoderError(f"{built}. That model is not on this machine: {error}. {mend}") from error
    if found != live.fingerprint:
        raise EncoderError(f"{built}. The model of that name on this machine is {found}. {mend}")


def _encoder_note(run: Run, live: Live, encoder: Encoder) -> str:
    return (
        f"the collection file names encoder {run.collection.encoder.name}, and the live release "
        f"{live.manifest.fingerprint} is of {encoder.name} ({live.fingerprint}): this run builds in its vector space. "
        f"Change `encoder:` in the file to {encoder.name}, or move the collection with slipway reindex"
    )


def _index_note(live: Live, index: Index) -> str:
    section = json.dumps(index.model_dump(mode="json", exclude_defaults=True, exclude_none=True))
    return (
        f"the collection file has other index settings than the live release {live.manifest.fingerprint} was built "
        f"with ({index.named}), and this run keeps the latter. Change `index:` in the file to {section}, or move "
        "the collection with slipway reindex"
    )


def _unknown(run: Run, live: Live, before: Encoder, fingerprint: str) -> EncoderError:
    encoder = run.collection.encoder
    return EncoderError(
        f"the live release {live.manifest.fingerprint} was built by encoder {live.fingerprint} with dimension "
        f"{before.dimension}; the collection now names {encoder.name} ({fingerprint}, dimension {encoder.dimension}). "
        "Every document would be embedded again and readers would move to another vector space: try and judge it "
        "beside the nights with slipway reindex, or allow it for this run unjudged (--allow-encoder-change, or the "
        "DAG's parameter of that name), or put the former encoder back"
    )
