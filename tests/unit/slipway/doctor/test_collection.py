"""The doctor's checks of one collection: each passes where all is well, and says what to do where it is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import layout
from slipway.doctor import Finding, Outcome, Status, examine
from slipway.doctor import collection as own
from slipway.errors import ConnectionMissing
from slipway.lease import Holder, Process, held, this_process
from slipway.pointer import Change, read_serving, swap_serving
from slipway.run import Connection, Run
from slipway.signing import new_key
from slipway.storage import LocalStore
from slipway.storage.base import ObjectInfo, Versioned
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, publish

SQL = {"name": "db", "kind": "sql", "connection": "docs_db", "table": "docs", "id": "id", "text": "{body}"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("SLIPWAY_PUBLIC_KEY", raising=False)
    return a_run(MemoryStore(), tmp_path / "scratch")


def look(check: Callable[[Run], Outcome], run: Run) -> Finding:
    return examine("check", "test", lambda: check(run))


# --- sources ----------------------------------------------------------------------------------------------------------


def source(run: Run, described: dict[str, Any]) -> Finding:
    collection = type(run.collection).model_validate(
        run.collection.model_dump(exclude={"sources"}) | {"name": "test", "sources": [described]}
    )
    return look(lambda _: own.source(replace(run, collection=collection), collection.sources[0]), run)


def lake(tmp_path: Path, rows: int = 3) -> dict[str, Any]:
    pq.write_table(pa.table({"id": [str(row) for row in range(rows)], "body": ["text"] * rows}), tmp_path / "a.parquet")
    return {"name": "api", "kind": "lake", "path": str(tmp_path / "a.parquet"), "id": "id", "text": "{body}"}


def test_a_lake_is_read(run: Run, tmp_path: Path) -> None:
    found = source(run, lake(tmp_path))
    assert (found.status, found.found) == (Status.PASS, "id, body read")


def test_a_lake_that_is_not_there_or_lacks_a_column_fails(run: Run, tmp_path: Path) -> None:
    described = lake(tmp_path)
    assert source(run, described | {"path": "/nowhere"}).status is Status.FAIL
    found = source(run, described | {"text": "{no_such}"})
    assert (found.status, "no_such" in found.found) == (Status.FAIL, True)


def test_a_source_without_rows_is_warned_of_unless_that_is_normal(run: Run, tmp_path: Path) -> None:
    described = lake(tmp_path, rows=0)
    assert source(run, described).status is Status.WARN
    assert source(run, described | {"may_be_empty": True}).status is Status.PASS


def test_a_database_is_read_by_the_adapter_that_runs_use(run: Run, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "docs.db") as database:
        database.execute("CREATE TABLE docs (id TEXT, body TEXT)")
        database.executemany("INSERT INTO docs VALUES (?, ?)", [(str(row), "text") for row in range(1000)])
    url = f"sqlite:///{tmp_path}/docs.db"
    able = replace(run, connections=lambda name: Connection(name, url))
    assert source(able, SQL).status is Status.PASS
    found = source(able, SQL | {"table": "elsewhere"})
    assert (found.status, "elsewhere" in found.found) == (Status.FAIL, True)


def test_a_connection_that_is_not_there_fails(run: Run) -> None:
    def missing(name: str) -> Connection:
        raise ConnectionMissing(f"there is no connection {name!r}: add it")

    found = source(replace(run, connections=missing), SQL)
    assert (found.status, "there is no connection 'docs_db'" in found.found) == (Status.FAIL, True)


def test_golden_queries_are_read(run: Run, tmp_path: Path) -> None:
    assert look(own.golden, run).status is Status.SKIP
    file = tmp_path / "golden.jsonl"
    judged = a_run(run.store, run.scratch, golden={"queries": str(file)})
    assert look(own.golden, judged).status is Status.FAIL
    file.write_text('{"query_id": "q", "query": "x", "relevant": {"db:1": 1}}\n')
    assert look(own.golden, judged).found == "1 queries"


# --- signing ----------------------------------------------------------------------------------------------------------


def signing(run: Run, seed: str) -> Run:
    collection = a_run(run.store, run.scratch, release={"signing": "key"}).collection
    return replace(run, collection=collection, secrets=lambda _name: seed)


def test_no_signing_is_nothing_to_look_at_unless_readers_want_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(own.signing_key, run).status is Status.SKIP
    monkeypatch.setenv("SLIPWAY_PUBLIC_KEY", new_key()[1].public_text)
    found = look(own.signing_key, run)
    assert (found.status, "slipway keygen" in found.todo) == (Status.FAIL, True)


def test_a_signing_key_passes_and_its_release_too(run: Run) -> None:
    seed, key = new_key()
    able = signing(run, seed)
    assert "nothing is released yet" in look(own.signing_key, able).found
    publish(able)
    found = look(own.signing_key, able)
    assert (found.status, key.key_id in found.found, seed in found.found) == (Status.PASS, True, False)


def test_a_live_release_that_is_not_signed_yet_is_warned_of(run: Run) -> None:
    publish(run)
    found = look(own.signing_key, signing(run, new_key()[0]))
    assert (found.status, "is not signed" in found.found) == (Status.WARN, True)


def test_a_key_that_is_none_or_that_readers_do_not_trust_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(own.signing_key, signing(run, "no key")).status is Status.FAIL
    _, other = new_key()
    monkeypatch.setenv("SLIPWAY_PUBLIC_KEY", other.public_text)
    found = look(own.signing_key, signing(run, new_key()[0]))
    assert (found.status, f"trusts only {other.key_id}" in found.found) == (Status.FAIL, True)


# --- backup -----------------------------------------------------------------------------------------------------------


def with_backup(run: Run, root: Path | str) -> Run:
    return replace(run, collection=a_run(run.store, run.scratch, release={"backup": str(root)}).collection)


def test_the_backup_store_is_tried_and_left_as_it_was(run: Run, tmp_path: Path) -> None:
    assert look(own.backup, run).status is Status.SKIP
    found = look(own.backup, with_backup(run, tmp_path / "backup"))
    assert found.status is Status.PASS
    assert not (tmp_path / "backup").exists()


def test_a_backup_that_cannot_be_written_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "backup").write_text("a file where a folder should be")
    assert look(own.backup, with_backup(run, tmp_path / "backup")).status is Status.FAIL


def test_a_backup_inside_the_store_fails(run: Run, tmp_path: Path) -> None:
    inside = replace(with_backup(run, tmp_path), store=LocalStore(tmp_path / "test"))
    found = look(own.backup, inside)
    assert (found.status, "are not apart" in found.found) == (Status.FAIL, True)


def test_a_backup_that_a_link_leads_back_from_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "store" / "test").mkdir(parents=True)
    (tmp_path / "elsewhere").symlink_to(tmp_path / "store")
    found = look(
        own.backup, replace(with_backup(run, tmp_path / "elsewhere"), store=LocalStore(tmp_path / "store/test"))
    )
    assert (found.status, "are not apart" in found.found) == (Status.FAIL, True)


# --- lease and what serves --------------------------------------------------------------------------------------------


def test_nobody_at_work_passes(run: Run) -> None:
    assert look(own.lease, run).status is Status.PASS


@pytest.mark.parametrize(("hours", "said"), [(0, "held: run 'night-1' of ann"), (3, "left by a run that died")])
def test_a_lease_that_is_held_or_was_left_is_warned_of(run: Run, hours: int, said: str) -> None:
    process: Process = this_process()
    with held(run.store, Holder("night-1", "ann", "run", process)):
        pass
    now = datetime.now(UTC) + timedelta(hours=hours)
    found = look(lambda run: own.lease(run, lambda: now), run)
    assert (found.status, said in found.found, bool(found.todo)) == (Status.WARN, True, True)


def test_a_lease_that_cannot_be_read_fails(run: Run) -> None:
    run.store.put(layout.LEASE, b"{}")
    assert look(own.lease, run).status is Status.FAIL


def test_what_serves_passes_when_every_release_is_whole(run: Run) -> None:
    assert look(own.serving, run).status is Status.SKIP
    publish(run, 1)
    made = publish(run, 2)
    found = look(own.serving, run)
    assert (found.status, found.found[: len(made.release_id)]) == (Status.PASS, made.release_id)
    assert "generation 2" in found.found


def test_a_release_that_lacks_an_object_fails_be_it_live_or_standby(run: Run) -> None:
    first = publish(run, 1)
    publish(run, 2)
    prefix = f"{layout.release(first.release_id)}/"
    lost = next(info.key for info in run.store.list(prefix) if info.key.endswith("rows.arrow"))
    run.store.delete(lost)
    found = look(own.serving, run)
    assert (found.status, lost in found.found) == (Status.FAIL, True)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"schema": 99}'])
def test_a_serving_json_that_cannot_be_read_fails(run: Run, body: bytes) -> None:
    publish(run)
    run.store.put(layout.SERVING, body)
    assert look(own.serving, run).status is Status.FAIL


def test_an_audit_record_that_cannot_be_read_fails(run: Run) -> None:
    publish(run)
    run.store.put(layout.audit(1), b"not JSON")
    found = look(own.serving, run)
    assert (found.status, "audit/" in found.found) == (Status.FAIL, True)


def test_an_older_serving_json_that_was_put_back_fails(run: Run) -> None:
    publish(run, 1)
    older = run.store.read(layout.SERVING).body
    publish(run, 2)
    run.store.put(layout.SERVING, older)
    found = look(own.serving, run)
    assert (found.status, "slipway recover" in found.todo) == (Status.FAIL, True)


def test_a_release_while_the_doctor_looks_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(run, 1)
    trail = own.audit_trail
    monkeypatch.setattr(own, "audit_trail", lambda store: (trail(store), publish(run, 2))[0])
    assert look(own.serving, run).status is Status.PASS


def test_an_audit_trail_with_a_gap_is_warned_of(run: Run) -> None:
    for seed in range(3):
        publish(run, seed)
    run.store.delete(layout.audit(2))
    found = look(own.serving, run)
    assert (found.status, "lacks change 2 of 3" in found.found) == (Status.WARN, True)
    run.store.delete(layout.audit(3))
    assert read_serving(run.store)[0].generation == 3


def test_a_generation_that_is_very_high_costs_nothing(run: Run) -> None:
    """A restore counts on from whatever the readers say, so numbers may have a wide gap."""
    publish(run)
    high = replace(read_serving(run.store)[0], generation=10**12)
    run.store.put(layout.SERVING, high.to_json())
    found = look(own.serving, run)
    assert (found.status, "lacks change 2 of 1000000000000" in found.found) == (Status.WARN, True)


class Busy(MemoryStore):
    """A store in which changes are made right after the state or the audit trail was looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: tuple[Callable[[], object], ...] = ()

    def _go_on(self) -> None:
        waiting, self.waiting = self.waiting, ()
        for change in waiting:
            change()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = [*super().list(prefix)]
        if prefix == layout.AUDIT:
            self._go_on()
        return iter(found)

    def read(self, key: str) -> Versioned:
        found = super().read(key)
        if key == layout.SERVING:
            self._go_on()
        return found


def test_changes_between_two_looks_are_no_damage(run: Run) -> None:
    store = Busy()
    busy = replace(run, store=store)
    publish(busy)
    for looks in range(4):
        change = partial(swap_serving, store, Change("retire", "ann", "old"), lambda now: now)
        rest = (change,) * 3
        store.waiting = rest if looks < 2 else (lambda rest=rest: setattr(store, "waiting", rest),)  # one look later
        assert look(own.serving, busy).status is Status.PASS
        assert not store.waiting
