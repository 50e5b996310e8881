"""What readers say of themselves: which releases they loaded, refused and answer with, and how that goes.

Each reader writes `readers/<name>.json` and renews it; nobody else writes it. A shift waits for these, and retention
keeps what they have loaded. Whether one is still alive is told by the store's clock alone (`store_time`): neither the
reader's clock nor the caller's need be right.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from slipway import layout
from slipway.errors import CorruptObject, InputError, ObjectMissing, StoreUnreachable
from slipway.latencies import BUCKETS, Latencies
from slipway.storage.base import ObjectStore

SCHEMA = 1
MOST_SECONDS = 86_400.0  # between two renewals
MISSED = 3  # renewals that a reader may miss before it counts as silent
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A release that a reader holds in memory: since when (UTC), and what it answered since.

    `queries` and `errors` count queries, `latencies` calls. An error is one of the reader's or the release's making,
    not of the caller's.
    """

    release_id: str
    at: str
    queries: int = 0
    errors: int = 0
    latencies: Latencies = field(default_factory=Latencies)


@dataclass(frozen=True, slots=True)
class RefusedRelease:
    """A release that a reader would not serve: why, and when (UTC)."""

    release_id: str
    why: str
    at: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A reader's state: it has acted on `generation` of serving.json, by loading or refusing what that names.

    `live` answers the requests, `trial` answers `percent` of them; either differs from serving.json's where the reader
    refused it. It is renewed at least every `every_seconds`.
    """

    reader: str
    host: str
    pid: int
    at: str
    every_seconds: float
    generation: int
    live: str | None
    trial: str | None = None
    percent: int = 0
    loaded: tuple[Loaded, ...] = ()
    refused: tuple[RefusedRelease, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def of(self, release_id: str) -> Loaded | None:
        """What it says of a release that it has loaded."""
        return next((one for one in self.loaded if one.release_id == release_id), None)

    def why_refused(self, release_id: str) -> str | None:
        """Why it refused a release; None when it did not."""
        return next((one.why for one in self.refused if one.release_id == release_id), None)

    def to_json(self) -> bytes:
        """The acknowledgement as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, body: bytes, key: str) -> Acknowledgement:
        """Parse what is stored at `key`. Raises `CorruptObject`."""
        try:
            raw = json.loads(body)
            if raw["schema"] != SCHEMA:
                raise CorruptObject(f"{key} has schema {raw['schema']}; this version reads schema {SCHEMA}")
            raw["loaded"] = tuple(_loaded(one) for one in raw["loaded"])
            raw["refused"] = tuple(RefusedRelease(**one) for one in raw["refused"])
            said = cls(**raw)
            said._check()
            return said
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise CorruptObject(f"{key} is not an acknowledgement that this version can read: {error!r}") from error

    def _check(self) -> None:
        """Raise ValueError or TypeError for values that would do harm where they are used: it may be a forgery."""
        releases = [one.release_id for one in self.loaded] + [one.release_id for one in self.refused]
        texts = (self.reader, self.host, self.at, *releases)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a name is no text")
        if not all(value is None or isinstance(value, str) for value in (self.live, self.trial)):
            raise TypeError("live or trial is no release")
        counts = (
            self.pid,
            self.generation,
            self.percent,
            *(n for one in self.loaded for n in (one.queries, one.errors)),
        )
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("a count is not a whole number")
        if type(self.every_seconds) not in (int, float) or not 0 < self.every_seconds <= MOST_SECONDS:
            raise ValueError(f"it is renewed every {self.every_seconds!r} seconds")


@dataclass(frozen=True, slots=True)
class Heard:
    """An acknowledgement and when the store got it (UTC)."""

    said: Acknowledgement
    heard_at: datetime

    def is_silent(self, now: datetime) -> bool:
        """Whether it has missed so many renewals that its reader must be taken for dead; `now` as in `store_time`."""
        return now - self.heard_at > timedelta(seconds=MISSED * max(self.said.every_seconds, 1.0))


def check_name(name: str) -> str:
    """`name`, if a reader may be called so. Raises `InputError`."""
    if not _NAME.fullmatch(name):
        raise InputError(f"a reader cannot be called {name!r}; use up to 128 letters, digits, '.', '_' and '-'")
    return name


def publish(store: ObjectStore, said: Acknowledgement) -> None:
    """Write a reader's acknowledgement over its last one."""
    store.put(layout.reader(check_name(said.reader)), said.to_json())


def withdraw(store: ObjectStore, name: str) -> None:
    """Remove a reader's acknowledgement: it has closed."""
    store.delete(layout.reader(check_name(name)))


def heard(store: ObjectStore) -> tuple[list[Heard], list[str]]:
    """All acknowledgements in the store by name, and the keys of those that cannot be read."""
    found, unreadable = [], []
    for info in store.list(layout.READERS):
        try:
            found.append(Heard(Acknowledgement.from_json(store.read(info.key).body, info.key), info.modified_at))
        except ObjectMissing:
            continue  # its reader closed meanwhile
        except CorruptObject:
            unreadable.append(info.key)
    return found, unreadable


def store_time(store: ObjectStore) -> datetime:
    """Now, by the store's clock (UTC), as a small object says that is written, looked at and removed."""
    key = layout.clock(secrets.token_hex(8))
    store.put(key, b"")
    try:
        return next(info.modified_at for info in store.list(key))
    except StopIteration:
        raise StoreUnreachable(f"{store.url}/{key} was written and is not listed; see slipway doctor") from None
    finally:
        store.delete(key)


def utc_now() -> str:
    """Now, as acknowledgements write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _loaded(raw: dict[str, Any]) -> Loaded:
    counts = {int(number): int(count) for number, count in raw.pop("latencies")["counts"].items()}
    if not all(0 <= number < BUCKETS and count >= 0 for number, count in counts.items()):
        raise ValueError("a latency is none")
    return Loaded(**raw, latencies=Latencies(counts))
