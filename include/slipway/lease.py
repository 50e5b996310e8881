"""The lease: one run at a time on a collection, by one object in the store that is changed by compare-and-swap only.

A lease saves money, it does not guard data: two runs at once would do the same work twice, or build what the other
makes stale. That nothing is corrupted then rests on sealing and on the compare-and-swap of serving.json. A reindex
campaign has a lease of its own (layout.REINDEX_LEASE), so that nights go on beside it.

Whoever holds it renews it every minute. One that was not renewed for `LEASE_SECONDS` is taken by the next run, or for
`QUEUED_SECONDS` where the run is a DAG's and its next task may be waiting for a slot; one whose process died on this
machine is taken at once. Times are this machine's wall clock: a clock that is ahead of the
holder's by more than `LEASE_SECONDS` takes a lease that is in use, one that is behind waits longer than it must.
Either costs waiting or money, never data.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway import layout
from slipway.errors import ConflictError, CorruptObject, ObjectMissing, OperationError, RunInProgress
from slipway.storage.base import ObjectStore

SCHEMA = 1
LEASE_SECONDS = 900
QUEUED_SECONDS = 7_200  # of a run that is a sequence of processes: between two tasks, nobody renews
RENEW_SECONDS = 60
_ATTEMPTS = 50  # compare-and-swaps that may be lost in a row: parallel tasks of one run renew the same lease
_PID_SPACE = Path("/proc/self/ns/pid")

_log = logging.getLogger("slipway.lease")

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its `pid`, and where that number means anything: `host` and, in containers, the `pid_space`."""

    host: str
    pid: int
    pid_space: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who wants the lease: which run, started by whom, and `what` it is ("nightly run", "maintenance").

    `process` is the one that lives as long as the run; None where the run is a sequence of processes, as in Airflow.
    """

    run_id: str
    who: str
    what: str
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The stored state: "held" or "free". `since` and `renewed` are UTC; the nonce makes the bytes unique."""

    state: str
    holder: Holder
    since: datetime
    renewed: datetime
    nonce: str
    schema: int = SCHEMA

    @property
    def ends(self) -> datetime:
        """When it ends by itself, if its holder is dead."""
        return self.renewed + timedelta(seconds=LEASE_SECONDS if self.holder.process else QUEUED_SECONDS)

    def to_json(self) -> bytes:
        """The lease as it is stored."""
        body = asdict(self) | {"since": self.since.isoformat(), "renewed": self.renewed.isoformat()}
        return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, body: bytes, key: str = layout.LEASE) -> Lease:
        """Parse the lease stored at `key`. Raises `CorruptObject`."""
        try:
            raw = json.loads(body)
            if raw["schema"] != SCHEMA:
                raise CorruptObject(f"{key} has schema {raw['schema']}; this version reads schema {SCHEMA}")
            process = raw["holder"].pop("process")
            holder = Holder(**raw.pop("holder"), process=Process(**process) if process else None)
            since, renewed = (datetime.fromisoformat(raw.pop(name)).astimezone(UTC) for name in ("since", "renewed"))
            return cls(holder=holder, since=since, renewed=renewed, **raw)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptObject(
                f"{key} is not one that this version can read ({error!r}); if no run is at work, delete it"
            ) from error


def this_process() -> Process:
    """The process that calls."""
    space = str(_PID_SPACE.readlink()) if _PID_SPACE.is_symlink() else ""
    return Process(socket.gethostname(), os.getpid(), space)


def wall_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


def read_lease(store: ObjectStore, key: str = layout.LEASE) -> tuple[Lease | None, str | None]:
    """The lease and the version to compare with; None and None where no run has ever been. Raises `CorruptObject`."""
    try:
        found = store.read(key)
    except ObjectMissing:
        return None, None
    return Lease.from_json(found.body, key), found.version


class Hold:
    """A lease that is held. `beat` renews it; `check` raises `RunInProgress` once it belongs to another run."""

    def __init__(self, store: ObjectStore, holder: Holder, clock: Clock = wall_clock, key: str = layout.LEASE) -> None:
        self._store, self._holder, self._clock, self._key = store, holder, clock, key
        self._beating = threading.Lock()
        self._renewed = clock()
        self._lost: Exception | None = None

    def beat(self) -> None:
        """Renew the lease, if it is still this run's; what was found otherwise is raised by the next `check`.

        A store that does not answer is no loss: the next beat tries again, and the lease lasts for many.
        """
        with self._beating:
            if self._lost is not None:
                return
            try:
                _change(self._store, self._key, self._renewal)
                self._renewed = self._clock()
            except RunInProgress as lost:
                self._lost = lost
            except OperationError as error:
                _log.warning("the lease could not be renewed and is tried again in %d s: %s", RENEW_SECONDS, error)
            except Exception as error:
                self._lost = error

    def check(self) -> None:
        """Raise `RunInProgress` when another run took the lease. Asks the store only after beats were missed."""
        if self._clock() - self._renewed > timedelta(seconds=2 * RENEW_SECONDS):  # this machine slept, say
            self.beat()
        if self._lost is not None:
            raise self._lost

    def confirm(self) -> None:
        """Renew the lease now, and raise `RunInProgress` when another run took it."""
        self.beat()
        self.check()

    def _renewal(self, found: Lease | None) -> Lease:
        now = self._clock()
        if found is None or found.state != "held":
            raise RunInProgress(f"the lease of run {self._holder.run_id!r} was given back while it was at work")
        if found.holder.run_id != self._holder.run_id:
            raise RunInProgress(
                f"the lease of run {self._holder.run_id!r} was taken over: {_described(found)}. What this run finished "
                "is kept; start it again when the other has ended"
            )
        return replace(found, renewed=now, nonce=secrets.token_hex(8))


@contextmanager
def held(
    store: ObjectStore,
    holder: Holder,
    *,
    take_over: bool = False,
    clock: Clock = wall_clock,
    renew_every: float = RENEW_SECONDS,
    key: str = layout.LEASE,
) -> Iterator[Hold]:
    """Hold the lease at `key`, else the collection's, while the block runs, renewing it every `renew_every` seconds.

    Takes it, or goes on with it when the same run holds it already. It is not given back at the end of the block, as
    the run may go on in another process: `release` does that. `take_over` takes it from whoever has it. Raises
    `RunInProgress` when another run holds it, and at the end of the block when another run took it meanwhile.
    """
    _change(store, key, lambda found: _taken(found, holder, clock(), take_over))
    hold = Hold(store, holder, clock, key)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(renew_every):
            hold.beat()

    thread = threading.Thread(target=renew, name="slipway-lease", daemon=True)
    thread.start()
    try:
        yield hold
    finally:
        ended.set()
        thread.join()
    hold.check()


@contextmanager
def alone(
    store: ObjectStore,
    holder: Holder,
    *,
    take_over: bool = False,
    clock: Clock = wall_clock,
    key: str = layout.LEASE,
) -> Iterator[Hold]:
    """Hold the lease for a run that is one process: as `held`, and given back at the end whatever happened."""
    try:
        with held(store, holder, take_over=take_over, clock=clock, key=key) as hold:
            yield hold
    finally:
        try:
            release(store, holder.run_id, clock, key)
        except OperationError as error:  # the work is done or has its own error, and the lease ends by itself
            _log.warning("the lease could not be given back and ends by itself: %s", error)


def release(store: ObjectStore, run_id: str, clock: Clock = wall_clock, key: str = layout.LEASE) -> None:
    """Give the lease back, if this run holds it; nothing happens otherwise."""

    def freed(found: Lease | None) -> Lease | None:
        if found is None or found.state != "held" or found.holder.run_id != run_id:
            return None
        return replace(found, state="free", renewed=clock(), nonce=secrets.token_hex(8))

    _change(store, key, freed)


def _change(store: ObjectStore, key: str, make: Callable[[Lease | None], Lease | None]) -> None:
    """Compare-and-swap the lease until it lands. `make` may raise to refuse, or return None to leave it."""
    for _ in range(_ATTEMPTS):
        found, version = read_lease(store, key)
        made = make(found)
        if made is None:
            return
        try:
            store.put_if(key, made.to_json(), version)
        except ConflictError:
            continue
        return
    raise ConflictError(f"{key} was changed by others {_ATTEMPTS} times in a row; try again")


def _taken(found: Lease | None, holder: Holder, now: datetime, take_over: bool) -> Lease:
    """The lease in the hands of `holder`. Raises `RunInProgress` when another run that may be alive has it."""
    nonce = secrets.token_hex(8)
    if found is None or found.state != "held":
        return Lease("held", holder, now, now, nonce)
    if found.holder.run_id == holder.run_id:
        return Lease("held", holder, found.since, now, nonce)
    if not take_over and now < found.ends and not _is_dead(found.holder.process):
        raise RunInProgress(
            f"{_described(found)}. Wait until it has ended; if it is dead, its lease ends by itself at "
            f"{found.ends:%H:%M} UTC, or run this with --take-over if you know that it is"
        )
    return Lease("held", holder, now, now, nonce)


def _described(found: Lease) -> str:
    process = found.holder.process
    where = f", process {process.pid} on {process.host}" if process else ""
    times = f"since {found.since:%Y-%m-%d %H:%M} UTC; last sign of life {found.renewed:%H:%M} UTC"
    return (
        f"a {found.holder.what} is at work on this collection: run {found.holder.run_id!r}, started by "
        f"{found.holder.who}{where}, {times}"
    )


def _is_dead(process: Process | None) -> bool:
    """Whether the process is one of this machine that is no more; others cannot be judged from here."""
    here = this_process()
    if process is None or (process.host, process.pid_space) != (here.host, here.pid_space) or process.pid <= 0:
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is there, and somebody else's
        return False
    return False
