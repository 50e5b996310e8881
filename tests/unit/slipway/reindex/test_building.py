from pathlib import Path

import pytest

from slipway import reindex
from slipway.errors import BudgetExceeded
from slipway.manifest import load
from slipway.reindex.building import numbers
from tests.support.campaigns import NEW, OLD, TEXTS, Project, a_project, asked
from tests.support.memory_store import MemoryStore


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = a_project(tmp_path, MemoryStore(), monkeypatch)
    project.night("night-1")
    return project


def test_the_whole_collection_is_embedded_once_in_the_new_space_beside_the_live_one(project: Project) -> None:
    run = project.run("campaign")
    reindex.begin(run, asked(), project.collections)
    plan = reindex.plan(run)
    assert (plan.counts["to_embed"], plan.counts["reused"]) == (len(TEXTS), 0)
    built = reindex.build(run)
    assert (built.candidate.counts["documents"], built.candidate.facts["dimension"]) == (len(TEXTS), 12)
    again = project.run("another")
    reindex.begin(again, asked(), project.collections)
    assert reindex.plan(again).counts["to_embed"] == 0
    found = reindex.build(again)
    assert (found.candidate, found.evaluation, found.comparison) == (
        built.candidate,
        built.evaluation,
        built.comparison,
    )
    assert {count for _, count in project.embedded.items()} == {1}
    assert {space for space, _ in project.embedded} == {OLD, NEW}


def test_a_night_that_comes_between_is_caught_up_with(project: Project) -> None:
    run = project.run("campaign")
    reindex.begin(run, asked(), project.collections)
    first = reindex.build(run)
    texts = {**{name: text for name, text in TEXTS.items() if name != "000"}, "900": "a paper that came at night"}
    project.put(texts)
    project.night("night-2")
    second = reindex.build(run)
    assert second.candidate.place != first.candidate.place
    snapshot = load(run.store, second.candidate.facts["snapshot"])
    assert snapshot.counts["documents"] == len(texts)
    assert max(project.embedded.values()) == 1


def test_the_plan_is_kept_and_counts_hours_on_the_workers(project: Project) -> None:
    project.write(embed={"workers": 4, "budget": {"tokens": 1}})
    run = project.run("campaign")
    reindex.begin(run, asked(), project.collections)
    made = reindex.plan(run)
    shown = numbers(run, made)
    assert shown["workers"] == 4
    assert shown["hours"] == pytest.approx(shown["minutes"] / 240, rel=1e-2)
    project.put({"000": "one"})
    project.night("night-2", allowed=frozenset({"over_budget"}))
    assert reindex.plan(run) == made


def test_a_budget_of_hours_refuses_before_anything_is_embedded(project: Project) -> None:
    run = project.run("campaign")
    reindex.begin(run, asked(budget_hours=1e-6), project.collections)
    with pytest.raises(BudgetExceeded, match=r"on 1 workers .*given 1e-06 hours. Nothing was embedded"):
        reindex.plan(run)
    assert {space for space, _ in project.embedded} == {OLD}
