"""By which rule the rows of a source become documents: rows cleaned by the same recipe need no second cleaning."""

from __future__ import annotations

from typing import Any

from slipway.cleaning import near
from slipway.config import AnySource
from slipway.config.collection import Clean
from slipway.manifest import fingerprint

VERSION = 2  # raise it when the same row would become another document, or be turned away for another reason
# What says when and how often a source is read, but not what a row of it becomes.
_READING = {"may_be_empty", "overlap", "id_scan", "full_every_days"}


def recipe(source: AnySource, settings: Clean) -> str:
    """16 hex digits that name everything which decides what a row of `source` becomes."""
    bands: Any = [settings.near_threshold, near.SCHEME] if settings.duplicates == "near" else None
    described = source.model_dump(mode="json", exclude=_READING)
    rules = settings.model_dump(mode="json", exclude={"duplicates", "near_threshold"})
    return fingerprint("recipe", VERSION, described, rules, bands)
