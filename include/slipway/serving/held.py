"""A release in a reader's memory: with the encoder that its texts need, and with counts of what it answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from slipway.acknowledgement import Loaded, utc_now
from slipway.connections import environment_secrets
from slipway.errors import EncoderError, InputError, ServiceDenied
from slipway.serving.loading import LoadedRelease
from slipway.serving.metrics import ReleaseMetrics, Tally
from slipway.serving.searcher import Hit

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder

Queries = Sequence[str] | npt.NDArray[np.float32]


class Encoders:
    """The encoders of a reader's releases: one an embedding space, for as long as a release needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: WeakValueDictionary[str, TextEncoder] = WeakValueDictionary()

    def of(self, release: LoadedRelease) -> TextEncoder:
        """The release's encoder; loading it takes seconds. Raises `EncoderError` when this machine has another."""
        with self._lock:
            found = self._loaded.get(release.encoder_fingerprint)
            if found is None:
                found = self._loaded[release.encoder_fingerprint] = _load(release)
            return found


class Held:
    """A loaded release. What it answers comes from it alone, and it counts its own searches. Safe from any thread."""

    __slots__ = ("__weakref__", "_encoder", "_encoders", "_tally", "loaded", "loaded_at", "manifest_sha256")

    def __init__(self, loaded: LoadedRelease, manifest_sha256: str | None, encoders: Encoders) -> None:
        self.loaded, self.manifest_sha256, self.loaded_at = loaded, manifest_sha256, utc_now()
        self._tally, self._encoders = Tally(), encoders
        self._encoder: TextEncoder | None = None

    @property
    def release_id(self) -> str:
        """The release's id."""
        return self.loaded.release_id

    @property
    def is_ready_for_text(self) -> bool:
        """Whether its encoder is loaded."""
        return self._encoder is not None

    def get_ready_for_text(self) -> TextEncoder:
        """Its encoder, loaded at the first call. Raises `EncoderError`."""
        if self._encoder is None:
            self._encoder = self._encoders.of(self.loaded)
        return self._encoder

    def get_ready_as(self, others: Sequence[Held]) -> None:
        """Load what others had to load for the searches that came: the encoder for texts, metadata for filters."""
        if any(one.is_ready_for_text for one in others):
            self.get_ready_for_text()
        if any(one.loaded.searcher.filters.is_prepared for one in others):
            self.loaded.searcher.filters.prepare()

    def search(self, queries: Queries, k: int, where: Mapping[str, Any] | None = None) -> list[list[Hit]]:
        """The k nearest documents of each text, or of each row of an (n, dimension) float32 array; counted and timed.

        `where` leaves only documents whose metadata matches (see slipway.serving.filters).

        The time includes the encoding of texts and not the loading of the encoder. An error that is the caller's own is
        not counted.
        """
        try:
            if not isinstance(queries, np.ndarray) and queries:
                self.get_ready_for_text()
            started = time.perf_counter()
            hits = self.loaded.searcher.search(self._vectors(queries), k, where)
        except Exception as error:
            if not is_callers_own(error):
                self._tally.failed(len(queries), error)
            raise
        if hits:  # else nothing was asked
            self._tally.answered(len(queries), time.perf_counter() - started)
        return hits

    def _vectors(self, queries: Queries) -> npt.NDArray[np.float32]:
        if isinstance(queries, np.ndarray):
            return queries
        if not queries:  # which needs no encoder
            return np.empty((0, self.loaded.searcher.dimension), np.float32)
        return self.get_ready_for_text().encode_queries(queries)

    def blame(self, queries: int, error: Exception) -> None:
        """Count an error that looked like the caller's own, and was not."""
        self._tally.failed(queries, error)

    def told(self) -> Loaded:
        """Its counts up to now."""
        return self._tally.loaded(self.release_id, self.loaded_at)

    def metrics(self) -> ReleaseMetrics:
        """Its counts up to now, for people."""
        return ReleaseMetrics.of(self.told(), self._tally.last_error)


def is_callers_own(error: Exception) -> bool:
    """Whether what was asked is wrong, and not what answers: then every release says so."""
    return isinstance(error, InputError) and not isinstance(error, EncoderError | ServiceDenied)


def _load(release: LoadedRelease) -> TextEncoder:
    from slipway.encoders import load_encoder

    try:
        encoder = load_encoder(release.encoder, fingerprint=release.encoder_fingerprint, secrets=environment_secrets)
    except (EncoderError, ServiceDenied):
        raise
    except InputError as error:  # of this process's settings, such as a service's connection, and not of a query
        raise EncoderError(
            f"release {release.release_id}: its encoder {release.encoder.name} cannot be used here: {error}"
        ) from error
    if encoder.fingerprint != release.encoder_fingerprint:
        raise EncoderError(
            f"release {release.release_id} was built by encoder {release.encoder.name} with fingerprint "
            f"{release.encoder_fingerprint}; the model on this machine has {encoder.fingerprint}: install the "
            f"same model, or search by vector"
        )
    return encoder
