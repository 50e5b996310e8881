"""The object store port in memory: the fake that stage tests run on."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from slipway.errors import ConflictError, InputError, ObjectMissing
from slipway.storage.base import Abandoned, ObjectInfo, ObjectStore, Versioned
from slipway.storage.keys import check_key, check_prefix, join_key


@dataclass
class _Shared:
    """What a store and its scoped stores have in common."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    modified_at: dict[str, datetime] = field(default_factory=dict)
    unfinished: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    faults: defaultdict[str, deque[Exception]] = field(default_factory=lambda: defaultdict(deque))
    calls: list[tuple[str, str]] = field(default_factory=list)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryStore(ObjectStore):
    """Objects in a dictionary, with one lock around every call.

    `fail_next("put_if", error)` makes the next such call raise `error` and change nothing; several queue up. `calls`
    lists every call as (method, whole key), so that a test can say what was written and in which order.
    """

    def __init__(self, url: str = "memory://", *, _shared: _Shared | None = None, _scope: str = "") -> None:
        self.url = url
        self._shared = _shared or _Shared()
        self._scope = _scope

    @property
    def calls(self) -> list[tuple[str, str]]:
        return self._shared.calls

    def fail_next(self, method: str, error: Exception) -> None:
        if not hasattr(ObjectStore, method):
            raise AssertionError(f"the object store port has no method {method!r}")
        self._shared.faults[method].append(error)

    def read(self, key: str) -> Versioned:
        with self._shared.lock:
            body = self._body("read", key)
            return Versioned(body, _version_of(body))

    def put(self, key: str, body: bytes) -> None:
        with self._shared.lock:
            self._store(self._enter("put", key), body)

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        with self._shared.lock:
            whole_key = self._enter("put_if", key)
            present = self._shared.bodies.get(whole_key)
            if (None if present is None else _version_of(present)) != expected:
                raise ConflictError(f"{key} was changed by somebody else")
            self._store(whole_key, body)
            return _version_of(body)

    def upload(self, path: Path, key: str) -> None:
        with self._shared.lock:
            whole_key = self._enter("upload", key)
            if not path.is_file():
                raise InputError(f"cannot upload {path}: there is no such file")
            self._store(whole_key, path.read_bytes())

    def download(self, key: str, path: Path) -> None:
        with self._shared.lock:
            body = self._body("download", key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    def copy(self, key: str, destination: str) -> None:
        with self._shared.lock:
            body = self._body("copy", key)
            self._store(join_key(self._scope, check_key(destination)), body)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        with self._shared.lock:
            self._raise_fault("list", join_key(self._scope, prefix))
            scope = f"{self._scope}/" if self._scope else ""
            return iter(
                [
                    ObjectInfo(key.removeprefix(scope), len(body), self._shared.modified_at[key])
                    for key, body in sorted(self._shared.bodies.items())
                    if key.startswith(scope + prefix)
                ]
            )

    def delete(self, key: str) -> None:
        with self._shared.lock:
            self._shared.bodies.pop(self._enter("delete", key), None)

    def abandoned(self, older_than: datetime) -> Iterator[Abandoned]:
        scope = f"{self._scope}/" if self._scope else ""
        with self._shared.lock:
            found = [(key, *left) for key, left in sorted(self._shared.unfinished.items()) if key.startswith(scope)]
        for key, body, began_at in found:
            if began_at < older_than:
                yield Abandoned(key.removeprefix(scope), len(body), began_at, partial(self._discard, key))

    def abandon(self, key: str, body: bytes, began_at: datetime | None = None) -> None:
        """What a write leaves that is killed half-way."""
        self._shared.unfinished[join_key(self._scope, check_key(key))] = (body, began_at or datetime.now(UTC))

    def age(self, prefix: str, by: timedelta) -> None:
        """Move the times of all objects whose key starts with `prefix` into the past."""
        for info in self.list(prefix):
            self._shared.modified_at[join_key(self._scope, info.key)] -= by

    def set_clock(self, clock: Callable[[], datetime]) -> None:
        """Have the store tell another time (UTC)."""
        self._shared.clock = clock

    def scoped(self, prefix: str) -> MemoryStore:
        scope = join_key(self._scope, check_key(prefix.rstrip("/")))
        return MemoryStore(f"{self.url.rstrip('/')}/{prefix.rstrip('/')}", _shared=self._shared, _scope=scope)

    def exists(self, key: str) -> bool:
        with self._shared.lock:
            return self._enter("exists", key) in self._shared.bodies

    def _discard(self, whole_key: str) -> None:
        self._shared.unfinished.pop(whole_key, None)

    def _enter(self, method: str, key: str) -> str:
        whole_key = join_key(self._scope, check_key(key))
        self._raise_fault(method, whole_key)
        return whole_key

    def _raise_fault(self, method: str, whole_key: str) -> None:
        self._shared.calls.append((method, whole_key))
        if self._shared.faults[method]:
            raise self._shared.faults[method].popleft()

    def _body(self, method: str, key: str) -> bytes:
        try:
            return self._shared.bodies[self._enter(method, key)]
        except KeyError:
            raise ObjectMissing(f"object {key!r} is not in {self.url}") from None

    def _store(self, whole_key: str, body: bytes) -> None:
        self._shared.bodies[whole_key] = bytes(body)
        self._shared.modified_at[whole_key] = self._shared.clock()


def _version_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
