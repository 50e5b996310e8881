"""The command `slipway choose`, on a release in a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from slipway.choosing import subject
from slipway.cli import main
from slipway.index.contract import searching
from slipway.index.contract.candidates import Candidate
from slipway.stages.index import index
from slipway.storage.local import LocalStore
from tests.support.threads import one_thread
from tests.unit.slipway.stages.index_run import a_run, changed, embedded, go_live

__all__ = ["one_thread"]
INDEX = {"spec": "HNSW16", "metric": "l2", "seed": 7, "train_vectors": 5_000, "ef_construction": 64}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a live release, and the collection's file."""
    run = changed(a_run(LocalStore(tmp_path / "store" / "test"), tmp_path), index=INDEX)
    go_live(run, index(run, embedded(run, [f"passage number {number}" for number in range(200)])))
    section = run.collection.model_dump(mode="json", include={"sources", "encoder"})
    file = tmp_path / "collections" / "test.yaml"
    file.parent.mkdir()
    source = {"name": "api", "kind": "lake", "path": "/lake", "id": "id", "text": "{body}"}
    file.write_text(yaml.safe_dump({"sources": [source], "encoder": section["encoder"], "index": INDEX}))
    monkeypatch.setattr(subject, "p95", lambda search, queries: 1.0)
    monkeypatch.setattr(searching, "candidates", lambda *_: [Candidate("Flat"), Candidate("IVF{lists},Flat")])
    return tmp_path


def chosen(folder: Path, *options: str) -> Result:
    places = ["--collections", str(folder / "collections"), "--store", str(folder / "store")]
    return CliRunner().invoke(main, ["choose", "test", *places, *options])


def test_a_contract_is_tried_with_the_collections_other_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def watched(vectors: Any, queries: Any, settings: Any) -> Any:
        asked.append(settings.index)
        return searching.search(vectors, queries, settings)

    monkeypatch.setattr("slipway.choosing.choice.search", watched)
    done = chosen(folder, "--contract", "{recall_at_10: 0.9}", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["contract"]["recall_at_10"] == 0.9
    assert found["spec"] in ("Flat", "IVF4,Flat")
    (used,) = asked
    assert (used.metric, used.seed, used.train_vectors, used.ef_construction) == ("l2", 7, 5_000, 64)
    assert used.spec == "auto"


def test_what_is_chosen_is_shown(folder: Path) -> None:
    done = chosen(folder, "--contract", "{recall_at_10: 0.9}")
    assert done.exit_code == 0, done.output
    assert "Flat" in done.output


def test_a_refusal_shows_what_was_tried(folder: Path) -> None:
    done = chosen(folder, "--contract", "{recall_at_10: 0.9, p95_ms: 0.1}")
    assert done.exit_code == 1
    assert "recall@10 1.000" in done.stdout
    assert "Possible: p95_ms of" in done.stderr
    done = chosen(folder, "--contract", "{recall_at_10: 0.9, p95_ms: 0.1}", "--json")
    assert {one["spec"] for one in json.loads(done.stdout)["front"]} == {"Flat", "IVF4,Flat"}


@pytest.mark.parametrize(
    ("contract", "says"),
    [
        ("recall_at_10", "index.contract: got 'recall_at_10'; expected a mapping of clauses, such as {recall_at_10"),
        ("{recall_at_10: 95}", "index: field contract.recall_at_10: got '95'"),
        ("{recall_at_10: 0.9", "index.contract: got '{recall_at_10: 0.9'; expected a mapping of clauses: "),
        ("", "collection test has no index contract; give one with --contract"),
        ("{recall_at_10: 0.9, memory: 1KiB}", "memory 1.0 KiB cannot be kept by any index of 200 vectors"),
    ],
)
def test_what_cannot_be_tried_says_why(folder: Path, contract: str, says: str) -> None:
    done = chosen(folder, "--contract", contract)
    assert done.exit_code != 0
    assert says in done.output
