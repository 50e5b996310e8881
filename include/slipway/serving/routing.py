"""Which release answers a request: the live one, or, while a shift is under way, the one on trial for its share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipway.errors import InputError
from slipway.serving.held import Held, Queries, is_callers_own
from slipway.serving.searcher import Hit

_PLACES = 10_000  # of which a share takes its percent


@dataclass(frozen=True, slots=True)
class Served:
    """What a reader serves at one moment: the live release, and perhaps one on trial with `percent` of the requests.

    Never changed, only replaced whole, so that a search which took it once works with one state from start to end.
    `since` (UTC) is when the live release began to serve.
    """

    live: Held
    since: str
    trial: Held | None = None
    percent: int = 0

    @property
    def held(self) -> tuple[Held, ...]:
        """Every release in it."""
        return (self.live,) if self.trial is None else (self.live, self.trial)

    def search(
        self, queries: Queries, k: int, key: str | bytes | None, where: Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """The answers of one release to all queries. A trial that fails fails no request: the live release answers.

        Raises `InputError` for a key that is none, whether or not anything is on trial: a caller learns of it at once.
        """
        _check_key(key)
        chosen = self._chosen(queries, key)
        if chosen is self.live:
            return chosen.search(queries, k, where)
        try:
            return chosen.search(queries, k, where)
        except Exception as error:
            hits = self.live.search(queries, k, where)  # which raises as well where the caller is wrong
            if is_callers_own(error):
                chosen.blame(len(queries), error)
            return hits

    def _chosen(self, queries: Queries, key: str | bytes | None) -> Held:
        if self.trial is None or len(queries) == 0:
            return self.live
        of_other_space = self.trial.loaded.encoder_fingerprint != self.live.loaded.encoder_fingerprint
        if of_other_space and isinstance(queries, np.ndarray):
            return self.live  # which the caller's vectors were made for
        named = key if key is not None else _first(queries)
        return self.trial if is_in_share(self.trial.release_id, named, self.percent) else self.live


def is_in_share(trial: str, key: str | bytes, percent: int) -> bool:
    """Whether the request of that key belongs to the trial's share.

    The same key has the same answer in every reader and process, and who is in at 10 percent is in at 50.
    """
    body = key.encode(errors="surrogatepass") if isinstance(key, str) else key
    digest = hashlib.blake2b(trial.encode() + b"\0" + body, digest_size=8).digest()
    return int.from_bytes(digest) % _PLACES < percent * (_PLACES // 100)


def _check_key(key: object) -> None:
    if not isinstance(key, str | bytes | None):
        raise InputError(f"key is {key!r}, a {type(key).__name__}; expected a text or bytes, such as str({key!r})")


def _first(queries: Queries) -> str | bytes:
    return queries[0].tobytes() if isinstance(queries, np.ndarray) else queries[0]
