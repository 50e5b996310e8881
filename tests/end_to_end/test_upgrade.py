"""`make demo-upgrade` in small: scheduler, approval and readers are real, the corpus and the models are tiny."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway_demo import upgrade
from slipway_demo.upgrade_place import Place
from tests.dags.bench import NOTES, QUERIES
from tests.dags.conftest import ROOT

# One probed list of four finds a part of what is near; the model is the same.
BAD_INDEX = "{spec: 'IVF4,Flat', search: {nprobe: 1}}"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "lake").mkdir()
    columns = dict(zip(("id", "title", "body"), map(list, zip(*NOTES, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "lake" / "notes.parquet")
    lines = ({"query_id": f"q{n}", "query": query, "relevant": {f"notes:n{n:02d}": 3}} for query, n in QUERIES)
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made = Place(tmp_path, ROOT, {})
    source = {"name": "notes", "kind": "lake", "path": str(tmp_path / "lake"), "id": "id", "text": "{title}: {body}"}
    described = {
        "sources": [source],
        "encoder": "small",
        "golden": {"queries": str(tmp_path / "golden.jsonl")},
        "gates": {"recall_at_10": 0.95},
        "judging": {"min_queries": 5, "resamples": 1000},
        "reindex": {"sample": 10, "margin": 0.05},
    }
    made.begin(described, {"small": 4, "large": 256})
    return made


def test_the_upgrade_goes_live_both_bad_changes_do_not_and_no_search_fails(place):
    queries = [query for query, _ in QUERIES]
    outcome = upgrade.show(place, queries, "small", "large", BAD_INDEX)
    assert outcome.as_promised, outcome
    assert outcome.rollback_seconds > 0
    [decided] = [
        json.loads(file.read_text()) for file in (place.folder / "store/pydocs/decisions").glob("*upgrade.json")
    ]
    assert (decided["approved"], decided["who"], decided["comment"]) == (True, "admin", "the demo approves")


def test_an_outcome_that_was_not_promised_is_told():
    kept = {"upgrade_released": True, "downgrade_released": False, "bad_index_released": False, "failed_queries": 0}
    assert upgrade.Outcome(**kept, rollback_seconds=1.0).as_promised
    for wrong in ({"upgrade_released": False}, {"downgrade_released": True}, {"bad_index_released": True}):
        assert not upgrade.Outcome(**(kept | wrong), rollback_seconds=1.0).as_promised
    assert not upgrade.Outcome(**(kept | {"failed_queries": 1}), rollback_seconds=1.0).as_promised
