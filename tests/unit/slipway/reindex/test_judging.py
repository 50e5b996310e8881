"""The verdict on whole campaigns that cannot be compared, or lose by a search-time parameter alone."""

import json
from pathlib import Path

import pytest

from slipway import reindex
from slipway.reindex.judging import Judged
from tests.support.campaigns import OLD, TEXTS, Project, a_project, asked
from tests.support.memory_store import MemoryStore


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return a_project(tmp_path / "project", MemoryStore(), monkeypatch)


def judged(project: Project, **changes: str) -> Judged:
    """The verdict on a campaign after a first night."""
    assert project.night("night")["released"]
    run = project.run("campaign")
    reindex.begin(run, asked(**changes), project.collections)
    reindex.plan(run)
    return reindex.judge(run, reindex.build(run))


def test_without_golden_queries_a_campaign_is_undecided(project: Project) -> None:
    found = judged(project).verdict
    assert found.outcome == "undecided"
    assert [gate.metric for gate in found.gates] == ["ndcg_at_10", "recall_at_10"]
    assert all("there are no golden queries to judge an upgrade by" in reason for reason in found.reasons)


def test_with_golden_queries_of_other_documents_a_campaign_is_undecided(project: Project) -> None:
    path = project.judge({f"x{name}": text for name, text in TEXTS.items()})
    project.write(golden={"queries": str(path)})
    found = judged(project).verdict
    assert found.outcome == "undecided"
    assert all("not one judged document is in the collection" in reason for reason in found.reasons)


def test_a_campaign_that_searches_less_of_the_same_index_fails(project: Project) -> None:
    texts = {f"{n:03d}": f"paper number {n} about topic {n % 7} and some words {n * n}" for n in range(400)}
    project.put(texts)
    path = project.judge({name: texts[name] for name in list(texts)[:100]})
    project.write(golden={"queries": str(path)}, index={"spec": "IVF16,Flat", "search": {"nprobe": 16}})
    index = json.dumps({"spec": "IVF16,Flat", "search": {"nprobe": 1}})
    found = judged(project, encoder=OLD, index=index).verdict
    assert found.outcome == "fail"
    assert [gate.metric for gate in found.gates if not gate.passed and not gate.undecided] == ["recall_at_10"]
