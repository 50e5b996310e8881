"""The whole look-over: which checks are made of what, and in which order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from slipway import settings
from slipway.config import Collection, SqlSource, load_file
from slipway.doctor import collection as own
from slipway.doctor import encoder, room, store
from slipway.doctor.finding import Finding, Outcome, Status, examine, obtain, skipped
from slipway.lease import wall_clock
from slipway.run import Connections, Run, Secrets
from slipway.storage import open_store
from slipway.storage.base import ObjectStore
from slipway.stores import collection_store, encryption_of

ROUNDS = 10
PLUGINS = "slipway.checks"
MACHINE = "this machine"


@dataclass(frozen=True, slots=True)
class Means:
    """What the doctor looks with: connections and their passwords, the store's root if named, rounds of the race."""

    connections: Connections
    secrets: Secrets
    store: str | None = None
    rounds: int = ROUNDS


def look_over(files: Sequence[Path], means: Means) -> list[Finding]:
    """Every check of the collections that the files describe, of their stores, and of this machine."""
    root = settings.scratch_root()
    if root:
        root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slipway-doctor-", dir=root, ignore_cleanup_errors=True) as scratch:
        return list(_look_over(files, means, Path(scratch)))


def _look_over(files: Sequence[Path], means: Means, scratch: Path) -> Iterator[Finding]:
    read = [obtain("collection file", file.stem, partial(load_file, file), lambda _: "read") for file in files]
    described = [collection for _, collection in read if collection]
    opened = [_opened(collection, means, scratch) for collection in described]
    yield from (finding for finding, _ in [*read, *opened])
    runs = [run for _, run in opened if run]
    answering: list[Run] = []
    for group in _by_store(runs):
        made = list(_of_store(group[0], means.rounds))
        yield from made
        if all(finding.status is not Status.FAIL for finding in made if finding.check == store.REACHABLE):
            answering += group
    for run in runs:
        yield from _of_collection(run, run in answering)
    yield from _of_machine(answering)
    yield from of_plugins(described)


def _opened(described: Collection, means: Means, scratch: Path) -> tuple[Finding, Run | None]:
    """A run of the collection, with its store, as the checks take it."""

    def opened() -> Run:
        place = scratch / described.name
        place.mkdir()
        at = collection_store(described, means.store)
        return Run(described, at, "doctor", place, means.connections, secrets=means.secrets)

    return obtain("settings", described.name, opened, lambda run: f"its store is {run.store.url}")


def _by_store(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs whose collections share a root and its encryption: what holds for one's store holds for the others'."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((_root(run.store), str(encryption_of(run.collection))), []).append(run)
    return list(groups.values())


def _root(opened: ObjectStore) -> str:
    return opened.url.rpartition("/")[0]


def _of_store(run: Run, rounds: int) -> Iterator[Finding]:
    """What the store does, tried out below a prefix of the collection's; whether it answers comes first."""
    where = _root(run.store)
    made: list[Finding] = []

    def try_out() -> Outcome:
        with store.probing(run.store) as probe:
            made.extend(_probed(run, probe, where, rounds))
        return store.left_by_others(run.store, wall_clock())

    clean_up = examine("clean-up", where, try_out)
    yield from made
    yield clean_up


def _probed(run: Run, probe: ObjectStore, where: str, rounds: int) -> Iterator[Finding]:
    first = examine(store.REACHABLE, where, partial(store.reachable, probe))
    yield first
    if first.status is Status.FAIL:
        return
    opened = partial(open_store, probe.url, encryption=encryption_of(run.collection))
    yield examine("conditional writes", where, partial(store.conditional, probe))
    yield examine("atomic writes", where, partial(store.atomic, opened, rounds))
    yield examine("listing", where, partial(store.listing, probe))
    yield examine("transfer", where, partial(store.transfer, probe, run.scratch))
    yield examine("checksums", where, partial(store.checksums, probe))
    yield examine("clock", where, partial(store.clock, probe))


def _of_collection(run: Run, answers: bool) -> Iterator[Finding]:
    """What a collection needs, and what is in its store; the latter is skipped where the store does not answer."""
    name = run.collection.name
    for source in run.collection.sources:
        kind = f"connection {source.connection}" if isinstance(source, SqlSource) else source.kind
        yield examine("source", f"{name}.{source.name} ({kind})", partial(own.source, run, source))
    yield examine("golden queries", name, partial(own.golden, run))
    of_store = {"encoder": encoder.parity, "serving": own.serving, "lease": own.lease, "signing key": own.signing_key}
    for check, look in of_store.items():
        yield examine(check, name, partial(look, run) if answers else _unasked)
    yield examine("backup", name, partial(own.backup, run))


def _unasked() -> Outcome:
    return skipped("the store did not answer as it must")


def _of_machine(runs: Sequence[Run]) -> Iterator[Finding]:
    measured = [
        obtain("sizes", run.collection.name, partial(room.need_of, run), lambda need: "measured") for run in runs
    ]
    yield from (finding for finding, _ in measured if finding.status is Status.FAIL)
    need = room.largest([need for _, need in measured])
    yield examine("memory", MACHINE, partial(room.memory, need))
    yield examine("scratch", MACHINE, partial(room.scratch_disk, need))
    yield examine("cache", MACHINE, partial(room.cache_disk, need))


def _ask(point: EntryPoint, described: Sequence[Collection]) -> list[Finding]:
    return list(point.load()(described))


def of_plugins(described: Sequence[Collection]) -> Iterator[Finding]:
    """What other installed packages check, such as Airflow's pools."""
    points = entry_points(group=PLUGINS)
    for point in points:
        asked, found = obtain(point.name, PLUGINS, partial(_ask, point, described), lambda _: "asked")
        yield from found or [asked]
    if not points:
        yield examine("airflow", PLUGINS, partial(skipped, "no package with such checks is installed"))
