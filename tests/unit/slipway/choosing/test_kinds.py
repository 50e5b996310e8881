"""Every kind of index that a contract may lead to goes through all that a night does with an index."""

from pathlib import Path

import pytest

from slipway.index.contract import searching
from slipway.index.contract.candidates import Candidate, candidates
from slipway.manifest import load
from slipway.run import Run
from slipway.stages.evaluate import evaluate
from slipway.stages.index import index
from slipway.stages.reconcile import reconcile
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.choosing.test_choosing import PATIENT, TEXTS, encoder
from tests.unit.slipway.stages.index_run import DIMENSION, a_run, changed, embedded, go_live, searcher_of

__all__ = ["encoder"]
SCORED_AGAIN = "IVF{lists},PQ4x4fs,Refine(PQ8x4)"  # by finer product codes, of as few bits as the texts can train
KINDS = [one.template for one in candidates(20_000, DIMENSION, 20_000) if "Refine(PQ" not in one.template]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    contract, search = {"recall_at_10": 0.01}, {"ef_search": 64, "nprobe": 64, "refine_factor": 30}
    return changed(a_run(MemoryStore(), tmp_path), index={"contract": contract, "search": search, "update": PATIENT})


@pytest.mark.parametrize("template", [*KINDS, SCORED_AGAIN])
def test_it_is_built_updated_reconciled_measured_and_searched(
    run: Run, template: str, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "candidates", lambda *_: [Candidate(template)])
    first = index(run, chunks := embedded(run, TEXTS))
    reconcile(run, load(run.store, chunks.facts["snapshot"]), chunks, first)
    go_live(run, first)
    second = index(run, chunks := embedded(run, [*TEXTS[30:], "one more"], metadata={"package": "numpy"}))
    expected = "updated" if "HNSW" in template or "IVF" in template else "built"
    assert second.facts["update"]["kind"] == expected
    reconcile(run, load(run.store, chunks.facts["snapshot"]), chunks, second)
    searcher = searcher_of(run, second, evaluate(run, second).facts["parameters"])
    asked = encoder.encode_queries([TEXTS[50]])
    assert "api:00020" in [hit.document_id for hit in searcher.search(asked, 10)[0]]
    where = {"package": "numpy"}
    assert len(searcher.search(asked, 10, where)[0]) == 10
