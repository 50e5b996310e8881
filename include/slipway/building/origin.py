"""What a candidate's index is made of, and whether one that is there will do, as it is or brought up to date."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from slipway import layout
from slipway.config.index import Index
from slipway.encoders import find_model
from slipway.index import artifact
from slipway.index.drift import Built
from slipway.index.spec import Spec
from slipway.manifest import Manifest, find, fingerprint, sha256_of
from slipway.run import Run
from slipway.serving.catalogue import named_releases

VERSION = 2  # raise it when the same chunks and settings would give another index

_SHAPES_NOTHING = {"search", "update", "build_memory"}  # settings that change no index
_NEW = ("contract", "shards")  # settings that older versions did not have: left out of the recipe where not used

logger = logging.getLogger("slipway")


@dataclass(frozen=True, slots=True)
class Origin:
    """What the index of these chunks is made of.

    `described` is the encoder with its `fingerprint`, `recipe` names everything that the index depends on, `made` is
    the candidate of just that, where it is there already, `live` the live release, `base` the release whose index is
    brought up to date, or None with the `reason` why one is built anew.
    """

    described: Mapping[str, Any]
    recipe: str
    made: Manifest | None
    live: Manifest | None
    base: Manifest | None
    reason: str

    @property
    def encoder(self) -> str:
        """The fingerprint of the vector space."""
        return str(self.described["fingerprint"])

    @property
    def fingerprint(self) -> str:
        """Names the candidate."""
        return fingerprint(self.recipe, self.base.fingerprint) if self.base else self.recipe


def origin_of(run: Run, chunks: Manifest) -> Origin:
    """What the index of these chunks is made of.

    A candidate is there already when it was sealed before, or when a release that serving.json names was made from the
    same: so a night without changes makes nothing, and what was withdrawn stays so.
    """
    encoder = run.collection.encoder
    described = {"fingerprint": find_model(encoder).fingerprint, **encoder.model_dump(mode="json")}
    recipe = _recipe(run, chunks, described)
    releases = named_releases(run.store)
    live = next(iter(releases.values()), None)
    if known := _known(run, recipe, releases):
        return Origin(described, recipe, known, live, None, "")
    base, reason = _base(run, str(described["fingerprint"]), live)
    found = Origin(described, recipe, None, live, base, reason)
    return replace(found, made=find(run.store, layout.candidate(found.fingerprint)))


def _recipe(run: Run, chunks: Manifest, described: Mapping[str, Any]) -> str:
    """Names everything that the index depends on. The chunks are named by the documents' contents: titles and metadata
    may change while every chunk stays as it is. What the encoder is called, or computed by, and the triggers' limits
    shape no index.
    """
    index = run.collection.index
    unused = {name for name in _NEW if getattr(index, name) == Index.model_fields[name].default}
    settings = index.model_dump(mode="json", exclude=_SHAPES_NOTHING | unused)
    golden = run.collection.golden if index.contract else None  # its queries decide which index the contract leads to
    queries = [sha256_of(golden.queries)] if golden else []
    encoder = {name: value for name, value in described.items() if name not in ("name", "service")}
    return fingerprint("index", VERSION, chunks.fingerprint, encoder, settings, index.update.enabled, *queries)


def _known(run: Run, recipe: str, releases: Mapping[str, Manifest]) -> Manifest | None:
    """The candidate of a release of the same recipe, if it is still in the store."""
    for release_id, release in releases.items():
        if release.facts.get("recipe") == recipe and (found := find(run.store, release.facts["candidate"])):
            logger.info("index: nothing to do, release %s was made from the same documents", release_id)
            return found
    return None


def _base(run: Run, encoder: str, live: Manifest | None) -> tuple[Manifest | None, str]:
    """The release to update, which is the live one; or None, and why the index is built anew."""
    settings = run.collection.index
    if live is None:
        return None, "nothing is released yet"
    if not settings.update.enabled:
        return None, "index.update.enabled is false"
    if "built" not in live.facts:
        return None, "the live release holds no measurements to compare an update with"
    if live.facts["encoder"] != encoder:
        return None, "the live release was made by another encoder"
    spec, built = Spec(**live.facts["spec"]), Built(**live.facts["built"])
    if artifact.SHARDS in {sealed.name for sealed in live.objects}:
        return None, "the live index lies in shards, which are not updated"
    if not spec.can_be_updated:
        return None, f"the live index is {spec.factory}, which is not updated"
    before = (spec.metric, spec.seed, built.ef_construction, built.train_vectors)
    if before != (settings.metric, settings.seed, settings.ef_construction, settings.train_vectors):
        return None, "index settings have changed since the live index was built"
    return live, ""
