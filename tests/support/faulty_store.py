"""A store between an actor and a real one, that goes wrong where a script says so.

Every actor has a view of one `World`. A view counts its calls; its script says what befalls which of them: a fault, the
death of the process, or another actor who acts at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from slipway import layout
from slipway.errors import ConflictError, StateUnknown, StoreUnreachable
from slipway.storage.base import Abandoned, ObjectInfo, ObjectStore, Versioned
from tests.support.crashing_store import Killed


class Fault(StrEnum):
    """What befalls one call. One that cannot befall a call (a stale answer to a write) lets it fail."""

    FAILED = "failed"  # a 5xx: nothing is done, and the caller is told so
    UNKNOWN = "unknown"  # nothing is done, and the caller cannot know
    LOST = "lost"  # a write is done, its reply is lost
    HELD = "held"  # a conditional write is on its way for long: the caller cannot know, and it lands later, if it may
    CUT = "cut"  # half of an object arrives, and the caller is told that it failed
    STALE = "stale"  # a listing misses what was written last, and shows what was deleted last
    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"


@dataclass(frozen=True, slots=True)
class Overtaken:
    """A conditional write lands and its reply is lost; `by` goes on from it before its actor reads the object again."""

    by: Callable[[], None]


Event = Fault | Overtaken | Callable[[], None]
STALE_BY = 5  # objects that a stale listing does not know of yet, and as many deletions


class World:
    """One store, what is still on its way to it, and every serving.json that it ever held, in order."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.pointers: list[bytes] = []
        self.held: list[Callable[[], None]] = []
        self.written: list[str] = []
        self.deleted: dict[str, ObjectInfo] = {}

    def view(
        self, script: Mapping[int, Event] | None = None, conditional: Mapping[int, Event] | None = None
    ) -> FaultyStore:
        """The store as one actor sees it.

        `script` maps the number of a call, from 0, to what befalls it; `conditional` does for conditional writes alone.
        """
        return FaultyStore(self, script or {}, conditional or {})

    def land(self, number: int) -> None:
        """Let a write that was held arrive; it does nothing where its condition does not hold any more."""
        if self.held:
            self.held.pop(number % len(self.held))()

    def wrote(self, key: str) -> None:
        """Remember a change of `key`."""
        self.written.append(key)
        self.deleted.pop(key, None)
        if key == layout.SERVING:
            self.pointers.append(self.inner.read(key).body)

    def unlisted(self, prefix: str) -> list[ObjectInfo]:
        """A listing by a server that is behind."""
        unseen = set(self.written[-STALE_BY:])
        listed = {info.key: info for info in self.inner.list(prefix) if info.key not in unseen}
        gone = list(self.deleted.items())[-STALE_BY:]
        listed |= {key: info for key, info in gone if key.startswith(prefix)}
        return [listed[key] for key in sorted(listed)]


class FaultyStore(ObjectStore):
    """One actor's view. It has no local paths: an actor on another machine has none either."""

    def __init__(self, world: World, script: Mapping[int, Event], conditional: Mapping[int, Event]) -> None:
        self.url = world.inner.url
        self._world, self._script, self._conditional = world, dict(script), dict(conditional)
        self._calls = self._conditional_calls = 0
        self.overtaken: list[str] = []
        """Keys of writes that landed, and were then taken for lost because somebody went on from them."""

    def read(self, key: str) -> Versioned:
        self._look(f"read {key}")
        return self._world.inner.read(key)

    def download(self, key: str, path: Path) -> None:
        self._look(f"download {key}")
        self._world.inner.download(key, path)

    def exists(self, key: str) -> bool:
        self._look(f"exists {key}")
        return self._world.inner.exists(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if self._look(f"list {prefix}") is Fault.STALE:
            return iter(self._world.unlisted(prefix))
        return iter([*self._world.inner.list(prefix)])

    def abandoned(self, older_than: datetime) -> Iterator[Abandoned]:
        self._look("abandoned")
        return self._world.inner.abandoned(older_than)

    def put(self, key: str, body: bytes) -> None:
        self._change(key, lambda: self._world.inner.put(key, body))

    def upload(self, path: Path, key: str) -> None:
        self._change(key, lambda: self._world.inner.upload(path, key))

    def copy(self, key: str, destination: str) -> None:
        self._change(destination, lambda: self._world.inner.copy(key, destination))

    def delete(self, key: str) -> None:
        found = next((info for info in self._world.inner.list(key) if info.key == key), None)

        def delete() -> None:
            self._world.inner.delete(key)
            if found:
                self._world.deleted[key] = found

        self._change(key, delete, is_deletion=True)

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        event = self._conditional.pop(self._conditional_calls, None)
        self._conditional_calls += 1
        if isinstance(event, Overtaken):
            return self._overtaken(key, body, expected, event)
        fault = self._met(f"put_if {key}", event)
        if fault in (Fault.FAILED, Fault.CUT, Fault.STALE):
            raise StoreUnreachable(f"{key}: 503")
        if fault is Fault.HELD:
            self._world.held.append(lambda: self._arrive(key, body, expected))
        if fault in (Fault.HELD, Fault.UNKNOWN):
            raise StateUnknown(f"{key}: no answer")
        version = self._put_if(key, body, expected)
        if fault is Fault.LOST:
            raise StateUnknown(f"{key}: no answer")
        if fault is Fault.DIES_AFTER:
            raise Killed
        return version

    def scoped(self, prefix: str) -> ObjectStore:
        raise NotImplementedError("a view is of a whole collection")

    def _overtaken(self, key: str, body: bytes, expected: str | None, event: Overtaken) -> str:
        """As a store over a network tells it: what is there now is all that can be compared."""
        version = self._put_if(key, body, expected)
        event.by()
        if self._world.inner.read(key).body == body:
            return version
        self.overtaken.append(key)
        raise ConflictError(f"{key} was changed by somebody else")

    def _put_if(self, key: str, body: bytes, expected: str | None) -> str:
        version = self._world.inner.put_if(key, body, expected)
        self._world.wrote(key)
        return version

    def _arrive(self, key: str, body: bytes, expected: str | None) -> None:
        try:
            self._put_if(key, body, expected)
        except ConflictError:
            return  # its actor is gone, and nobody is told

    def _change(self, key: str, change: Callable[[], None], *, is_deletion: bool = False) -> None:
        fault = self._met(f"write {key}")
        if fault in (Fault.FAILED, Fault.UNKNOWN, Fault.HELD, Fault.STALE) or (fault is Fault.CUT and is_deletion):
            raise StoreUnreachable(f"{key}: 503")
        change()
        if fault is Fault.CUT:
            body = self._world.inner.read(key).body
            self._world.inner.put(key, body[: len(body) // 2])
        if not is_deletion:
            self._world.wrote(key)
        if fault in (Fault.LOST, Fault.CUT):
            raise StoreUnreachable(f"{key}: no answer")
        if fault is Fault.DIES_AFTER:
            raise Killed

    def _look(self, what: str) -> Fault | None:
        """What befalls a call that changes nothing, as far as it does not end it."""
        fault = self._met(what)
        if fault is Fault.DIES_AFTER:
            raise Killed
        if fault not in (None, Fault.STALE):
            raise StoreUnreachable(f"{what}: 503")
        return fault

    def _met(self, _what: str, event: Event | None = None) -> Fault | None:
        """What the scripts have for this call, after the other actor, if that is it."""
        event = event or self._script.pop(self._calls, None)
        self._calls += 1
        if event is Fault.DIES_BEFORE:
            raise Killed
        if isinstance(event, Fault) or event is None:
            return event
        if isinstance(event, Overtaken):
            event.by()
        else:
            event()
        return None
