"""A campaign that is killed again and again, with nights in between, ends as if nothing had been."""

from pathlib import Path
from typing import Any

import pytest

from slipway import layout, lease
from slipway.config import named_encoder
from slipway.encoders import find_model
from slipway.index import artifact
from slipway.manifest import fetch
from slipway.pointer import read_serving
from slipway.reindex import Answer, run_campaign
from slipway.serving.loading import load_release
from tests.support.campaigns import DIMENSIONS, NEW, TEXTS, Project, a_project, asked
from tests.support.crashing_store import CrashingStore, Killed

GROUP = 8  # chunks
YES = Answer(True, "ann", "as measured")
FIRST_NIGHT = {
    **{name: text for name, text in TEXTS.items() if name not in ("000", "001")},
    "002": "paper number 2 says something else now",
    "900": "a paper that came in the first night",
}
SECOND_NIGHT = {
    **{name: text for name, text in FIRST_NIGHT.items() if name not in ("003", "900")},
    "002": "paper number 2 was corrected once more",
    "000": TEXTS["000"],
    "901": "a paper that came in the second night",
}


@pytest.fixture
def store() -> CrashingStore:
    return CrashingStore()


@pytest.fixture
def project(tmp_path: Path, store: CrashingStore, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr("slipway.groups.GROUP_CHUNKS", GROUP)
    project = a_project(tmp_path, store, monkeypatch)
    golden = {"queries": str(project.judge({name: TEXTS[name] for name in list(TEXTS)[10:35]}))}
    project.write(golden=golden, gates={"recall_at_10": 0.9, "hit_rate_at_10": 0.9})
    project.night("night-0")
    return project


def campaign(project: Project, run_id: str) -> dict[str, Any]:
    run = project.run(run_id)
    return run_campaign(run, asked(sample=12), project.collections, lambda made, judged: YES)


def killed(project: Project, run_id: str) -> None:
    """The campaign, whose process dies; nobody is there then who holds its leases."""
    with pytest.raises(Killed):
        campaign(project, run_id)
    for key in (layout.LEASE, layout.REINDEX_LEASE):
        lease.release(project.store, run_id, key=key)


def texts_live(project: Project, folder: Path) -> dict[str, str]:
    """What the live release holds, by document id, once a reader has opened it."""
    slot = read_serving(project.store)[0].live_release
    assert slot
    release = load_release(project.store, slot.release_id, folder / "cache", slot.manifest_sha256)
    assert release.searcher.dimension == DIMENSIONS[NEW]
    file = fetch(project.store, release.manifest.one(artifact.DOCUMENTS), folder)
    table = artifact.open_arrow(file, artifact.DOCUMENTS_SCHEMA)
    return dict(zip(table["document_id"].to_pylist(), table["text"].to_pylist(), strict=True))


@pytest.mark.parametrize("runs", [["campaign"] * 4, ["one", "two", "three", "four"]], ids=["retried", "begun anew"])
@pytest.mark.parametrize("landed", [True, False])
def test_three_kills_and_two_nights(
    project: Project, store: CrashingStore, tmp_path: Path, runs: list[str], landed: bool
) -> None:
    space = layout.vectors(find_model(named_encoder(project.collections, NEW)).fingerprint)
    store.die_at_write_below(f"{space}/", 8, landed)  # the third part's manifest
    killed(project, runs[0])
    project.put(FIRST_NIGHT)
    assert project.night("night-1")["released"]
    store.die_at_write_below(layout.candidate(""), 2, landed)
    killed(project, runs[1])
    project.put(SECOND_NIGHT)
    assert project.night("night-2")["released"]
    store.die_at_write_of(layout.SERVING, 0, False)
    killed(project, runs[2])
    made = campaign(project, runs[3])
    assert made["released"]
    assert texts_live(project, tmp_path) == {f"api:{name}": text for name, text in SECOND_NIGHT.items()}
    again = [count for count in project.embedded.values() if count > 1]
    assert len(again) <= (0 if landed else GROUP)  # a kill loses the group at work, and nothing else
