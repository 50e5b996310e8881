"""Where collections, store and scratch files are: by option, then environment, then default."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.config import Collection

COLLECTIONS = "include/collections"  # these two below SLIPWAY_ROOT, or below the current folder
STORE = ".slipway/store"


def collections_folder(option: str | Path | None = None) -> Path:
    """The folder of collection files: the option, SLIPWAY_COLLECTIONS, or include/collections here."""
    return Path(option or os.environ.get("SLIPWAY_COLLECTIONS") or _root() / COLLECTIONS)


def named_store(option: str | None = None) -> str | None:
    """The root of the object store as the option or SLIPWAY_STORE names it, before any collection's own."""
    return option or os.environ.get("SLIPWAY_STORE") or None


def store_root(collection: Collection | None = None, option: str | None = None) -> str:
    """The root of the object store: the option, SLIPWAY_STORE, the collection's own, or .slipway/store here."""
    own = collection.store if collection else None
    return named_store(option) or own or str(_root() / STORE)


def _root() -> Path:
    """What the default places are below: SLIPWAY_ROOT, for processes that run in other folders, such as Airflow's."""
    return Path(os.environ.get("SLIPWAY_ROOT") or "")


def store_url(name: str, root: str) -> str:
    """Where one collection lies below a store root."""
    return f"{root.rstrip('/')}/{name}"


def cache_root() -> Path:
    """Where is kept what can be made or fetched again: SLIPWAY_CACHE, else slipway below the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("SLIPWAY_CACHE") or f"{base}/slipway").expanduser()


def encoder_backend() -> str | None:
    """What computes vectors where a collection leaves it open: SLIPWAY_BACKEND, one of embed.backend's values."""
    return os.environ.get("SLIPWAY_BACKEND") or None


def scratch_root() -> Path | None:
    """Where scratch files go: SLIPWAY_SCRATCH, or None for the system's temporary folder."""
    configured = os.environ.get("SLIPWAY_SCRATCH")
    return Path(configured) if configured else None
