from pathlib import Path

import pytest

from slipway import reindex
from slipway.errors import GateRefused
from slipway.run import Run
from tests.support.campaigns import NEW, OLD, TEXTS, Deafened, Project, a_project, asked
from tests.support.memory_store import MemoryStore

JUDGED = dict(list(TEXTS.items())[:25])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = a_project(tmp_path, MemoryStore(), monkeypatch)
    project.write(golden={"queries": str(project.judge(JUDGED))})
    project.night("night-1")
    return project


def begun(project: Project, run_id: str = "campaign", sample: int = 30, **changes: str) -> Run:
    run = project.run(run_id)
    reindex.begin(run, asked(sample=sample, **changes), project.collections)
    return run


def embedded(project: Project) -> int:
    return sum(1 for space, _ in project.embedded if space == NEW)


def test_judged_documents_and_some_others_are_embedded_once_and_compared(project: Project) -> None:
    run = begun(project)
    reindex.plan(run)
    found = reindex.sample(run)
    assert (found["documents"], found["queries"], found["candidate"], found["live"]) == (30, 25, 1.0, 1.0)
    assert (found["difference"], found["low"], found["high"], found["worse"]) == (0, 0, 0, False)
    assert embedded(project) == 30
    assert reindex.sample(run) == found
    reindex.build(run)
    assert embedded(project) == len(TEXTS)
    assert max(project.embedded.values()) == 1


def test_an_encoder_that_is_certainly_worse_is_refused_with_the_interval(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deafened, "deaf", property(lambda self: self.dimension == 12))
    run = begun(project)
    for _ in range(2):
        with pytest.raises(
            GateRefused, match=r"between -\d.* and -\d.*, certainly worse by more than .* nothing but the"
        ):
            reindex.sample(run)
    assert embedded(project) == 30


def test_all_judged_documents_are_in_the_sample_however_small_it_is(project: Project) -> None:
    assert reindex.sample(begun(project, sample=1))["documents"] == len(JUDGED)


def test_documents_that_changed_since_the_live_release_do_not_count(project: Project) -> None:
    project.write(golden={"queries": str(project.folder / "golden.jsonl")}, gates={"documents": 10_000})
    project.put({name: f"{text} changed" if name == "000" else text for name, text in TEXTS.items()})
    assert not project.night("night-2")["released"]
    found = reindex.sample(begun(project, sample=100))
    assert (found["documents"], found["queries"]) == (len(TEXTS) - 1, len(JUDGED) - 1)


@pytest.mark.parametrize(
    ("sample", "judged", "encoder", "says"),
    [
        (0, 25, NEW, "no sample was asked for"),
        (30, 0, NEW, "no golden queries"),
        (30, 5, NEW, "5 golden queries judge documents that both hold, fewer than the 20"),
        (30, 25, OLD, "the same encoder"),
    ],
)
def test_where_it_tells_nothing_it_says_so_and_the_campaign_goes_on(
    project: Project, sample: int, judged: int, encoder: str, says: str
) -> None:
    golden = {"queries": str(project.judge(dict(list(TEXTS.items())[:judged])))} if judged else None
    project.write(golden=golden)
    found = reindex.sample(begun(project, sample=sample, encoder=encoder, index="HNSW32"))
    assert says in found["says"]
    assert not found["worse"]
    assert embedded(project) == 0
