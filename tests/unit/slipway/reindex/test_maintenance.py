"""Maintenance beside a campaign: nothing is lost, and nothing is embedded twice."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway import layout, lease, reindex
from slipway.lease import Holder
from slipway.maintenance import maintain
from slipway.manifest import find
from slipway.vectors import parts
from tests.support.campaigns import TEXTS, Project, a_project, asked
from tests.support.memory_store import MemoryStore

LONG = timedelta(days=40)
HOLDER = Holder("campaign", "tester", "reindex campaign", lease.this_process())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def project(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = a_project(tmp_path, store, monkeypatch, maintenance={"checkpoints": 1})
    project.night("night-1")
    return project


def weeks_of_nights(project: Project, store: MemoryStore) -> None:
    """All that is there becomes old, and a night makes another checkpoint and another release."""
    store.age("", LONG)
    project.put({**TEXTS, "900": "a paper of a later week"})
    project.night("night-2")


@pytest.mark.parametrize("held", [True, False])
def test_what_a_campaign_at_work_has_embedded_stays_for_weeks(project: Project, store: MemoryStore, held: bool) -> None:
    run = project.run("campaign")
    start = reindex.begin(run, asked(), project.collections)
    plan = reindex.plan(run)
    built = reindex.build(run)
    reindex.discard(run)
    weeks_of_nights(project, store)
    before = [part.place for part in parts(store, start.encoder)]
    with lease.held(store, HOLDER, key=layout.REINDEX_LEASE) if held else nullcontext():
        maintain(project.run("maintenance"))
    assert ([part.place for part in parts(store, start.encoder)] == before) is held
    assert (find(store, layout.start("campaign")) is not None) is held
    assert (find(store, plan.place) is not None) is held
    assert find(store, built.candidate.place) is None
    if held:
        assert reindex.build(run).candidate.counts["documents"] == len(TEXTS) + 1
        assert max(project.embedded.values()) == 1


def test_a_campaign_that_waits_for_an_approval_finds_all_it_made(project: Project, store: MemoryStore) -> None:
    run = project.run("campaign")
    reindex.begin(run, asked(), project.collections)
    built = reindex.build(run)
    maintain(project.run("maintenance"))
    assert reindex.build(run) == built


def test_a_campaign_that_waits_longer_for_an_approval_than_maintenance_keeps_things_goes_on(
    project: Project, store: MemoryStore
) -> None:
    project.write(maintenance={"keep_days": 1, "checkpoints": 1}, reindex={"approval_hours": 72})
    run = project.run("campaign")
    reindex.begin(run, asked(), project.collections)
    built = reindex.build(run)
    with lease.held(store, HOLDER, key=layout.REINDEX_LEASE):
        pass
    maintain(project.run("maintenance"), now=datetime.now(UTC) + timedelta(hours=70))
    assert find(store, layout.start("campaign"))
    assert reindex.build(run).candidate.place == built.candidate.place
    assert max(project.embedded.values()) == 1
    maintain(project.run("maintenance"), now=datetime.now(UTC) + timedelta(hours=97))
    assert find(store, layout.start("campaign")) is None


def test_a_campaign_that_was_not_heard_of_for_long_keeps_nothing(project: Project, store: MemoryStore) -> None:
    run = project.run("campaign")
    start = reindex.begin(run, asked(), project.collections)
    reindex.build(run)
    with lease.held(store, HOLDER, key=layout.REINDEX_LEASE, clock=lambda: datetime.now(UTC) - LONG):
        pass
    reindex.discard(run)
    weeks_of_nights(project, store)
    maintain(project.run("maintenance"))
    assert parts(store, start.encoder) == []


def test_what_maintenance_merged_or_removed_between_two_builds_is_found_or_made_again(
    project: Project, store: MemoryStore
) -> None:
    run = project.run("campaign")
    start = reindex.begin(run, asked(), project.collections)
    reindex.plan(run)
    reindex.build(run)
    for part in parts(store, start.encoder):
        store.delete(f"{part.place}/manifest.json")
    project.put({**TEXTS, "900": "a paper of a later night"})
    project.night("night-2")
    assert reindex.build(run).candidate.counts["documents"] == len(TEXTS) + 1


def test_beside_a_campaign_that_has_not_said_what_it_embeds_no_vector_is_touched(
    project: Project, store: MemoryStore
) -> None:
    with lease.alone(store, HOLDER, key=layout.REINDEX_LEASE):
        assert maintain(project.run("maintenance")).compacted == ()
    assert maintain(project.run("maintenance")).compacted != ()
