"""The reader: opens a collection's live release and searches it by text or by vector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slipway.errors import EncoderError, InputError, ReleaseRefused
from slipway.pointer import read_serving
from slipway.serving.loading import LoadedRelease, load_release
from slipway.serving.searcher import Hit
from slipway.signing import Trusted, trusted_here
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder
    from slipway.storage.base import ObjectStore


def default_cache() -> Path:
    """Where releases of remote stores are kept: SLIPWAY_CACHE, else slipway below the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("SLIPWAY_CACHE") or f"{base}/slipway").expanduser()


class Reader:
    """Serves one collection from its store. Use `slipway.serving.open`, or as a context manager.

    A release is swapped in whole, after its checksums and smoke queries; a search uses one release from start to end.
    """

    def __init__(
        self, store: ObjectStore, cache: Path, release_id: str | None = None, trusted: Trusted | None = None
    ) -> None:
        self._store, self._cache, self._pinned, self._trusted = store, cache, release_id, trusted
        self._encoder: TextEncoder | None = None
        self._loaded = self._load()

    def _load(self) -> LoadedRelease:
        if self._pinned is not None:
            return load_release(self._store, self._pinned, self._cache, trusted=self._trusted)
        live = read_serving(self._store)[0].live_release
        if live is None:
            raise ReleaseRefused(f"nothing is released at {self._store.url} yet; run the collection first")
        return load_release(self._store, live.release_id, self._cache, live.manifest_sha256, self._trusted)

    @property
    def release(self) -> LoadedRelease:
        """The release being served."""
        return self._loaded

    def refresh(self) -> bool:
        """Load the live release if another is served. Returns whether it changed; on an error the old one stays."""
        live = read_serving(self._store)[0].live_release
        if self._pinned is not None or live is None or live.release_id == self._loaded.release_id:
            return False
        self._loaded = load_release(self._store, live.release_id, self._cache, live.manifest_sha256, self._trusted)
        return True

    def search(self, query: str | npt.NDArray[np.float32], k: int = 10) -> list[Hit]:
        """The k nearest documents of a text or of one vector ((dimension,) float32), nearest first.

        A text needs the release's encoder on this machine; a vector must be of the release's encoder.
        Raises `InputError`, and `EncoderError` when the model here is not the one that built the index.
        """
        if isinstance(query, str):
            return self.search_batch([query], k)[0]
        vector = np.asarray(query, dtype=np.float32)
        if vector.ndim != 1:
            raise InputError(f"expected one vector of shape ({self._loaded.searcher.dimension},), got {vector.shape}")
        return self._loaded.searcher.search(vector[None, :], k)[0]

    def search_batch(self, queries: Sequence[str] | npt.NDArray[np.float32], k: int = 10) -> list[list[Hit]]:
        """As `search`, for many texts or an (n, dimension) array of vectors at once."""
        loaded = self._loaded
        if isinstance(queries, np.ndarray):
            return loaded.searcher.search(queries, k)
        if any(not text.strip() for text in queries):
            raise InputError("an empty query finds nothing; give some words")
        return loaded.searcher.search(self._encoder_of(loaded).encode_queries(queries), k)

    def _encoder_of(self, loaded: LoadedRelease) -> TextEncoder:
        if self._encoder is None or self._encoder.fingerprint != loaded.encoder_fingerprint:
            from slipway.encoders import load_encoder

            encoder = load_encoder(loaded.encoder)
            if encoder.fingerprint != loaded.encoder_fingerprint:
                raise EncoderError(
                    f"release {loaded.release_id} was built by encoder {loaded.encoder.name} with fingerprint "
                    f"{loaded.encoder_fingerprint}; the model on this machine has {encoder.fingerprint}: install the "
                    f"same model, or search by vector"
                )
            self._encoder = encoder
        return self._encoder

    def close(self) -> None:
        """Let the encoder go; the release's memory maps go with the reader."""
        self._encoder = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def open_reader(
    url: str | Path,
    release_id: str | None = None,
    cache: Path | None = None,
    *,
    public_key: str | None = None,
) -> Reader:
    """A reader of the collection at `url` (`<store root>/<collection>`), on its live release or on a given one.

    `public_key` (else SLIPWAY_PUBLIC_KEY) is base64, or several with commas between: only releases that one of them
    signed are served then. Raises `ReleaseRefused` when nothing is released, `UntrustedRelease`, `CorruptObject`,
    `ObjectMissing`, `StoreUnreachable`.
    """
    store = open_store(url)
    name = store.url.removesuffix("/").rsplit("/", 1)[-1]
    return Reader(store, (cache or default_cache()) / name, release_id, trusted_here(public_key))
