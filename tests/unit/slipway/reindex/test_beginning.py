from pathlib import Path
from typing import Any

import pytest

from slipway import checkpoint, reindex
from slipway.config import named_encoder, named_encoders
from slipway.config.load import index_settings
from slipway.encoders import find_model
from slipway.errors import ConfigError, GoldenError, IndexRefused, InputError, SlipwayError
from tests.support.campaigns import NEW, OLD, Project, a_project, asked
from tests.support.memory_store import MemoryStore


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return a_project(tmp_path, MemoryStore(), monkeypatch)


def test_encoders_are_named_by_their_files(project: Project) -> None:
    assert named_encoders(project.collections) == ["minilm", NEW, OLD]
    assert named_encoder(project.collections, NEW).dimension == 12


def test_what_was_asked_and_found_is_sealed_once(project: Project) -> None:
    project.night("night-1")
    run = project.run("campaign")
    start = reindex.begin(run, asked(index="{spec: 'IVF4,Flat', search: {nprobe: 1}}"), project.collections)
    assert start.encoder == find_model(named_encoder(project.collections, NEW)).fingerprint
    assert start.note == "reindex campaign of tester: a better model"
    assert reindex.asked_of(run).encoder == NEW
    begun = checkpoint.as_started(run)
    assert begun.collection.encoder.name == NEW
    assert (begun.collection.index.spec, begun.collection.index.search.nprobe) == ("IVF4,Flat", 1)
    assert reindex.begin(run, asked(encoder=OLD), project.collections) == start


def test_without_a_release_there_is_nothing_to_judge_it_by(project: Project) -> None:
    with pytest.raises(InputError, match=r"has no release yet.* start with a nightly run"):
        reindex.begin(project.run("campaign"), asked(), project.collections)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"encoder": "nobody"}, ConfigError, "encoder: got 'nobody'; expected one of minilm, new, old"),
        ({"reason": " ab "}, InputError, "reason: got ' ab '"),
        ({"sample": -1}, InputError, "sample: got -1"),
        ({"budget_hours": 0.0}, InputError, "budget_hours: got 0"),
        ({"budget_hours": float("nan")}, InputError, "budget_hours: got nan"),
        ({"approval": False}, InputError, "approval: .* no golden file"),
        ({"index": "{spec: Flat, nprobe: 1}"}, ConfigError, "index: field nprobe: "),
        ({"index": "[Flat]"}, ConfigError, "found a list"),
        ({"index": "{spec: "}, ConfigError, "expected a FAISS factory string or a mapping"),
        ({"index": "Flut"}, IndexRefused, "Flut"),
        ({"encoder": OLD}, ConfigError, "would change nothing"),
        ({"encoder": OLD, "index": "Flat"}, ConfigError, "would change nothing"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_sealed(
    project: Project, wrong: dict[str, Any], error: type[SlipwayError], says: str
) -> None:
    project.night("night-1")
    run = project.run("campaign")
    with pytest.raises(error, match=says):
        reindex.begin(run, asked(**wrong), project.collections)
    assert checkpoint.started(run) is None


def test_chunks_must_fit_the_encoder(project: Project) -> None:
    project.night("night-1")
    file = project.folder / "encoders" / f"{NEW}.yaml"
    file.write_text(file.read_text().replace("512", "32"))
    with pytest.raises(ConfigError, match=r"chunk.tokens is 64, but encoder new reads at most 32"):
        reindex.begin(project.run("campaign"), asked(), project.collections)


def test_the_golden_file_must_be_there(project: Project) -> None:
    project.night("night-1")
    project.write(golden={"queries": str(project.folder / "nowhere.jsonl")})
    with pytest.raises(GoldenError, match=r"nowhere.jsonl"):
        reindex.begin(project.run("campaign"), asked(), project.collections)


def test_a_night_is_no_campaign(project: Project) -> None:
    project.night("night-1")
    with pytest.raises(InputError, match="is not a reindex campaign"):
        reindex.asked_of(project.run("night-1"))


CONTRACT = "{contract: {recall_at_10: 0.9, p95_ms: 10, memory: 1GiB}}"


def test_a_campaign_may_ask_for_a_contract_and_one_after_it_for_a_spec_again(project: Project) -> None:
    project.night("night-1")
    run = project.run("campaign")
    reindex.begin(run, asked(encoder=OLD, index=CONTRACT), project.collections)
    index = checkpoint.as_started(run).collection.index
    assert index.contract is not None
    assert (index.contract.memory, index.spec) == (2**30, "auto")
    assert index.named == "contract recall_at_10 0.9, p95_ms 10, memory 1.0 GiB"
    again = index_settings("HNSW16", index)
    assert (again.spec, again.contract) == ("HNSW16", None)
    assert index_settings("", index) == index
