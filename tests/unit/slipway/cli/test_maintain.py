"""`slipway maintain`, as people and scripts call it."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from slipway import vectors
from slipway.cli import main
from slipway.cli.maintain import maintained
from slipway.lease import Holder, held, read_lease
from slipway.storage import LocalStore

COLLECTION = """
sources: [{name: api, kind: lake, path: lake, id: id, text: "{body}"}]
encoder: {name: none, folder: model, dimension: 4, max_tokens: 256}
"""
ENCODER = "e" * 16
ORPHAN = "chunks/abcd/ffff/chunks-00000.parquet"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """The store of the collection `docs`, with something to remove."""
    for name in ("SLIPWAY_COLLECTIONS", "SLIPWAY_STORE", "SLIPWAY_SCRATCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs.yaml").write_text(COLLECTION)
    store = LocalStore(tmp_path / "store" / "docs")
    store.put(ORPHAN, bytes(5 * 1024))
    long_ago = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(store.local_path(ORPHAN), (long_ago, long_ago))
    return store


def slipway(*options: str) -> Result:
    return CliRunner().invoke(main, ["maintain", "docs", "--collections", ".", "--store", "store", *options])


def test_it_says_what_went_of_what_kind_and_why(store: LocalStore) -> None:
    done = slipway()
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("docs: 5.0 KiB freed\n")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("  orphans")]
    assert line.split()[:5] == ["orphans", "-", "1", "5.0", "KiB"]
    assert "named by no manifest" in line
    assert not store.exists(ORPHAN)
    assert "nothing to remove" in slipway().stdout


def test_a_dry_run_says_the_same_and_removes_nothing(store: LocalStore) -> None:
    done = slipway("--dry-run")
    assert done.exit_code == 0, done.output
    assert "5.0 KiB would be freed" in done.stdout
    assert store.exists(ORPHAN)
    assert read_lease(store) == (None, None)


def test_machines_get_one_document(store: LocalStore) -> None:
    done = json.loads(slipway("--json").stdout)
    assert (done["collection"], done["dry_run"], done["bytes_freed"], done["compacted"]) == ("docs", False, 5120, [])
    [removed] = done["removed"]
    assert (removed["kind"], removed["objects"], removed["bytes"]) == ("orphans", 1, 5120)


def test_it_waits_for_a_run_at_work_unless_it_is_told_to_take_over(store: LocalStore) -> None:
    with held(store, Holder("night-1", "ann", "run")):
        pass
    refused = slipway()
    assert refused.exit_code == 3
    assert "RunInProgress: a run is at work on this collection: run 'night-1', started by ann" in refused.stderr
    assert store.exists(ORPHAN)
    assert slipway("--take-over").exit_code == 0
    assert not store.exists(ORPHAN)
    found, _ = read_lease(store)
    assert found is not None
    assert (found.state, found.holder.what) == ("free", "maintenance")


def test_a_model_that_is_not_here_stops_it_before_vectors_are_judged(store: LocalStore, tmp_path: Path) -> None:
    vectors.write_part(store, ENCODER, ["a"], np.eye(1, 4, dtype=np.float32), tmp_path)
    refused = slipway()
    assert refused.exit_code == 2
    assert "EncoderError" in refused.stderr
    assert store.exists(ORPHAN)


def test_vectors_are_shown_by_encoder() -> None:
    compacted = {
        "encoder": ENCODER,
        "parts_before": 1200,
        "parts_after": 3,
        "merged": 1190,
        "unwanted": 4321,
        "repeated": 0,
        "objects": 3591,
        "bytes_freed": 3 << 30,
    }
    done = {"collection": "docs", "dry_run": True, "removed": [], "compacted": [compacted], "bytes_freed": 3 << 30}
    done |= {"releases": {"removed": [], "bytes_freed": 0}}
    title, _, _, line = maintained(done).splitlines()
    assert title == "docs: 3.0 GiB would be freed"
    assert line.split()[:5] == ["vectors", "1,197", "3,591", "3.0", "GiB"]
    assert (
        "1,190 of 1,200 parts into larger ones, 3 then; 4,321 vectors that nothing kept needs, 0 that stood twice"
        in line
    )


def test_releases_that_went_are_named() -> None:
    releases = {"removed": ["20260102T021500-aa", "20260101T021500-bb"], "bytes_freed": 5 << 20}
    done = {"collection": "docs", "dry_run": False, "releases": releases, "removed": [], "compacted": []}
    title, _, _, line = maintained(done | {"bytes_freed": 5 << 20}).splitlines()
    assert title == "docs: 5.0 MiB freed"
    assert line.split()[:5] == ["releases", "2", "-", "5.0", "MiB"]
    assert "20260102T021500-aa, 20260101T021500-bb" in line
