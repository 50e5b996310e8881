import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.encoders import find_model
from slipway.errors import EncoderError, GoldenError
from slipway.index import artifact
from slipway.index.exact import exact_neighbours
from slipway.manifest import Manifest, fetch
from slipway.run import Run
from slipway.serving.searcher import Searcher
from slipway.serving.smoke import run_smoke_queries
from slipway.stages import evaluate as module
from slipway.stages.evaluate import evaluate
from slipway.stages.index import index
from tests.support.encoders import FakeEncoder, model_folder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.index_run import TEXTS, a_run, changed, embedded, go_live, use_fake_encoder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


@pytest.fixture(autouse=True)
def encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    monkeypatch.setattr(module, "undisturbed", lambda search, queries: {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0})
    return use_fake_encoder(run, monkeypatch)


def with_golden(run: Run, tmp_path: Path, *queries: dict[str, Any], **fields: Any) -> Run:
    path = tmp_path / "golden.jsonl"
    path.write_text("".join(json.dumps(query) + "\n" for query in queries))
    return changed(run, golden={"queries": path}, **fields)


def query(number: int, text: str, document: int | str, **fields: Any) -> dict[str, Any]:
    judged = document if isinstance(document, str) else f"api:{document:05d}"
    return {"query_id": f"q{number}", "query": text, "relevant": {judged: 3}, **fields}


def read(run: Run, evaluation: Manifest, name: str) -> Any:
    return json.loads(fetch(run.store, evaluation.one(name), run.scratch / "check").read_bytes())


def test_what_people_find_is_measured_against_the_judgments(run: Run, tmp_path: Path) -> None:
    """A query that is a document's own text finds that document first."""
    run = with_golden(
        run, tmp_path,
        query(1, TEXTS[1], 1, slice="right"),
        query(2, TEXTS[2], 2, slice="right"),
        query(3, TEXTS[3], "api:99999", slice="wrong"),
        query(4, TEXTS[4], 4, part="tuning"),
    )  # fmt: skip
    evaluation = evaluate(run, index(run, embedded(run)))
    metrics = evaluation.facts["metrics"]
    assert metrics["ndcg_at_10"] == metrics["mrr_at_10"] == metrics["hit_rate_at_1"] == pytest.approx(2 / 3, abs=1e-6)
    assert metrics["exact_ndcg_at_10"] == metrics["ndcg_at_10"]
    assert metrics["exact_hit_rate_at_10"] == metrics["hit_rate_at_10"]
    assert [metrics[f"recall_at_{k}"] for k in (1, 10, 100)] == [1.0, 1.0, 1.0]
    assert (metrics["documents"], metrics["vectors"], metrics["p95_ms"]) == (60.0, 60.0, 2.0)
    assert evaluation.facts["by_slice"]["right"]["mrr_at_10"] == 1.0
    assert evaluation.facts["by_slice"]["wrong"]["mrr_at_10"] == 0.0
    assert (evaluation.facts["judged_queries"], evaluation.facts["judged_missing"]) == (3, ["api:99999"])
    found = read(run, evaluation, "queries.json")
    assert [one["query_id"] for one in found] == ["q1", "q2", "q3"]
    assert (found[0]["found"][0], found[0]["mrr_at_10"], len(found[0]["found"])) == ("api:00001", 1.0, 10)


def test_every_metric_has_a_meaning(run: Run, tmp_path: Path) -> None:
    from slipway.config.metrics import METRICS

    run = with_golden(run, tmp_path, query(1, TEXTS[1], 1, must_find=["api:00001"]))
    assert set(evaluate(run, index(run, embedded(run))).facts["metrics"]) == set(METRICS)


def test_documents_that_must_be_found_are_looked_for_in_the_top_ten(run: Run, tmp_path: Path) -> None:
    run = with_golden(
        run, tmp_path,
        query(1, TEXTS[1], 1, must_find=["api:00001", "api:00050"]),
        query(2, TEXTS[2], 2, must_find=["api:00002"]),
        query(3, TEXTS[3], 3),
    )  # fmt: skip
    metrics = evaluate(run, index(run, embedded(run))).facts["metrics"]
    assert (metrics["must_find_rate"], metrics["empty_result_rate"]) == (pytest.approx(2 / 3, abs=1e-6), 0.0)


def test_a_document_that_is_gone_must_not_be_found_and_is_listed(run: Run, tmp_path: Path) -> None:
    run = with_golden(
        run, tmp_path,
        query(1, TEXTS[1], 1, must_find=["api:00001", "api:99999"]),
        query(2, TEXTS[2], "api:99998"),
    )  # fmt: skip
    facts = evaluate(run, index(run, embedded(run))).facts
    assert facts["metrics"]["must_find_rate"] == 1.0
    assert facts["judged_missing"] == ["api:99998", "api:99999"]
    assert (facts["judged_queries"], facts["judged_held"]) == (2, 1)


def test_recall_is_told_of_each_query_and_slice(run: Run, tmp_path: Path) -> None:
    queries = [query(number, TEXTS[number], number, slice="even" if number % 2 == 0 else "odd") for number in range(9)]
    run = with_golden(run, tmp_path, *queries, index={"spec": "IVF8,Flat", "search": {"nprobe": 1}})
    evaluation = evaluate(run, index(run, embedded(run)))
    each = {one["query_id"]: one["recall_at_10"] for one in read(run, evaluation, "queries.json")}
    assert min(each.values()) < 1
    assert evaluation.facts["metrics"]["recall_at_10"] == pytest.approx(np.mean(list(each.values())), abs=1e-6)
    odd = np.mean([each[f"q{number}"] for number in range(1, 9, 2)])
    assert evaluation.facts["by_slice"]["odd"]["recall_at_10"] == pytest.approx(odd, abs=1e-6)


def test_the_sweep_goes_up_the_ladder_and_leaves_the_chosen_rung_set(run: Run, tmp_path: Path) -> None:
    queries = [query(number, f"question {number}", number) for number in range(20)]
    run = with_golden(run, tmp_path, *queries, index={"spec": "IVF16,Flat", "search": {"nprobe": 2}})
    candidate = index(run, embedded(run, [f"text {number}" for number in range(2_000)]))
    evaluation = evaluate(run, candidate)
    rungs = evaluation.facts["sweep"]
    assert [one["parameters"]["nprobe"] for one in rungs] == [2, 4, 8, 16][: len(rungs)]
    *before, last = [one["recall_at_10"] for one in rungs]
    assert before == sorted(before)
    assert before[0] == evaluation.facts["metrics"]["recall_at_10"]
    assert max(before) < 0.999 <= last  # dearer rungs would find no more
    assert all(0 < one["p50_ms"] <= one["p95_ms"] for one in rungs)
    smoke = read(run, evaluation, artifact.SMOKE)
    files = {one.name: fetch(run.store, one, run.scratch / "check") for one in candidate.objects}
    assert run_smoke_queries(Searcher(files, {"nprobe": 2}), smoke) == 20


def test_without_golden_queries_sizes_and_times_are_measured_and_no_more(run: Run) -> None:
    evaluation = evaluate(run, index(run, embedded(run)))
    sizes = {"documents", "vectors", "index_bytes", "memory_bytes", "build_minutes"}
    assert set(evaluation.facts["metrics"]) == {*sizes, "p50_ms", "p95_ms", "p99_ms"}
    assert evaluation.facts["golden"] is None
    assert len(read(run, evaluation, artifact.SMOKE)) == 20


@pytest.mark.parametrize("golden", [True, False])
def test_smoke_queries_are_answered_by_what_was_measured(run: Run, tmp_path: Path, golden: bool) -> None:
    run = changed(run, index={"spec": "HNSW16"})
    if golden:
        run = with_golden(run, tmp_path, *(query(number, TEXTS[number], number) for number in range(30)))
    candidate = index(run, embedded(run))
    evaluation = evaluate(run, candidate)
    files = {one.name: fetch(run.store, one, run.scratch / "check") for one in candidate.objects}
    smoke = read(run, evaluation, artifact.SMOKE)
    assert run_smoke_queries(Searcher(files, evaluation.facts["parameters"]), smoke) == 20
    assert [one["text"] for one in smoke[:2]] == (TEXTS[:2] if golden else [None, None])


def test_tuning_queries_tune_and_judging_queries_judge(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: FakeEncoder
) -> None:
    tuning = [query(100 + number, f"tuning {number}", number, part="tuning") for number in range(25)]
    judging = [query(number, f"judging {number}", number) for number in range(5)]
    run = with_golden(run, tmp_path, *judging, *tuning, index={"spec": "HNSW16"})
    candidate = index(run, embedded(run))
    seen: dict[str, Any] = {}
    real_tune, real_relevance = module.tune, module.relevance

    def tune(index: Any, spec: Any, asked: Any, queries: Any, truth: Any, **search: Any) -> Any:
        seen["tuned on"] = queries
        return real_tune(index, spec, asked, queries, truth, **search)

    def relevance(queries: Any, ranked: Any) -> Any:
        seen["judged on"] = [one.query_id for one in queries]
        return real_relevance(queries, ranked)

    monkeypatch.setattr(module, "tune", tune)
    monkeypatch.setattr(module, "relevance", relevance)
    evaluation = evaluate(run, candidate)
    assert np.array_equal(seen["tuned on"], encoder.encode_queries([one["query"] for one in tuning]))
    assert seen["judged on"] == [one["query_id"] for one in judging]
    assert "25 tuning queries" in evaluation.facts["parameters_reason"]
    assert evaluation.facts["judged_queries"] == 5


def test_recall_is_that_of_the_search_that_will_be_served(run: Run, tmp_path: Path) -> None:
    """Refine scores again as many rows as were asked for: asking for 100 would flatter a search for 10."""
    texts = [f"text {number}" for number in range(3_000)]
    queries = [query(number, f"question {number}", number) for number in range(50)]
    settings = {"spec": "IVF8,PQ2x4,RFlat", "search": {"nprobe": 8, "refine_factor": 1}}
    run = with_golden(run, tmp_path, *queries, index=settings)
    candidate = index(run, embedded(run, texts))
    evaluation = evaluate(run, candidate)
    files = {one.name: fetch(run.store, one, run.scratch / "check") for one in candidate.objects}
    searcher = Searcher(files, evaluation.facts["parameters"])
    assert evaluation.facts["parameters"] == {"nprobe": 8, "k_factor_rf": 1}
    vectors = searcher.index.reconstruct_n(0, searcher.vectors)
    asked = FakeEncoder(find_model(run.collection.encoder)).encode_queries([one["query"] for one in queries])
    truth = exact_neighbours(vectors, asked, 100)[1].tolist()

    def recall_of(found: list[list[int]], k: int) -> float:
        return float(np.mean([len({*rows[:k]} & {*exact[:k]}) / k for rows, exact in zip(found, truth, strict=True)]))

    for k in (1, 10, 100):
        served = [[row for _, _, row in ranked] for ranked in searcher.nearest_documents(asked, k)]
        assert evaluation.facts["metrics"][f"recall_at_{k}"] == pytest.approx(recall_of(served, k), abs=1e-6)
    flattered = recall_of(searcher.index.search(asked, 100)[1].tolist(), 10)
    assert evaluation.facts["metrics"]["recall_at_10"] < flattered - 0.05


def test_the_same_again_is_not_measured_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_golden(run, tmp_path, query(1, TEXTS[1], 1))
    candidate = index(run, embedded(run))
    first = evaluate(run, candidate)
    assert first.inputs == {"candidate": candidate.digest}
    assert evaluate(run, candidate) == first
    other = evaluate(with_golden(run, tmp_path, query(1, TEXTS[1], 2)), candidate)
    assert other.place != first.place
    assert other.facts["metrics"]["mrr_at_10"] < first.facts["metrics"]["mrr_at_10"] == 1.0
    tuned = evaluate(with_golden(run, tmp_path, query(1, TEXTS[1], 1), index={"search": {"nprobe": 3}}), candidate)
    assert tuned.place not in {first.place, other.place}


def test_a_collection_smaller_than_every_k_is_measured(run: Run, tmp_path: Path) -> None:
    run = with_golden(run, tmp_path, query(1, TEXTS[0], 0))
    metrics = evaluate(run, index(run, embedded(run, TEXTS[:3]))).facts["metrics"]
    assert (metrics["recall_at_1"], metrics["recall_at_100"], metrics["hit_rate_at_1"]) == (1.0, 1.0, 1.0)


def test_a_golden_file_that_went_bad_is_named(run: Run, tmp_path: Path) -> None:
    run = with_golden(run, tmp_path, {"query_id": "q1"})
    with pytest.raises(GoldenError, match=r"golden.jsonl:1: field query"):
        evaluate(run, index(run, embedded(run)))


def test_a_model_that_changed_during_the_run_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_golden(run, tmp_path, query(1, TEXTS[0], 0))
    candidate = index(run, embedded(run))
    described = run.collection.encoder.model_dump() | {
        "folder": str(model_folder(tmp_path / "other", b"other weights"))
    }
    use_fake_encoder(changed(run, encoder=described), monkeypatch)
    with pytest.raises(EncoderError, match="the model changed during the run; start a new run"):
        evaluate(run, candidate)


def test_a_slow_moment_is_measured_anew_by_the_next_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = index(run, embedded(run))
    run = changed(run, gates={"p95_ms": {"max": 1.0}})  # 2.0 is measured
    slow = evaluate(run, candidate)
    monkeypatch.setattr(module, "undisturbed", lambda search, queries: {"p50_ms": 0.1, "p95_ms": 0.2, "p99_ms": 0.3})
    again = evaluate(run, candidate)
    assert slow.facts["metrics"]["p95_ms"] == 2.0
    assert again.facts["metrics"]["p95_ms"] == 0.2
    assert evaluate(run, candidate).place == again.place


PATIENT = {"tombstone_share": 0.9, "recall_loss": 1, "imbalance": 1e9, "error_growth": 1e9}


@pytest.mark.parametrize("factory", ["HNSW16", "IVF4,PQ2x4fs,RFlat"])
def test_an_updated_index_is_judged_by_its_live_rows_alone(run: Run, tmp_path: Path, factory: str) -> None:
    """Queries that are texts of removed documents: what is nearest to them is gone, and neither found nor missed."""
    search = {"ef_search": 64} if factory == "HNSW16" else {"nprobe": 4, "refine_factor": 20}
    queries = [query(number, TEXTS[number], 0) for number in range(40)]
    tuning = [query(100 + number, TEXTS[number], 0, part="tuning") for number in range(25)]
    settings = {"spec": factory, "update": PATIENT, "search": search}
    run = with_golden(run, tmp_path, *queries, *tuning, index=settings)
    go_live(run, index(run, embedded(run)))
    candidate = index(run, embedded(run, TEXTS[20:]))
    assert (candidate.facts["update"]["kind"], candidate.counts["tombstones"]) == ("updated", 20)
    evaluation = evaluate(run, candidate)
    metrics = evaluation.facts["metrics"]
    assert (metrics["vectors"], metrics["documents"]) == (40, 40)
    assert metrics["recall_at_1"] == metrics["recall_at_10"] == 1.0
    anew = evaluate(
        run, index(changed(run, index=settings | {"update": {"enabled": False}}), embedded(run, TEXTS[20:]))
    )
    for name in ("recall_at_1", "recall_at_10", "ndcg_at_10", "mrr_at_10", "exact_ndcg_at_10"):
        assert metrics[name] == pytest.approx(anew.facts["metrics"][name], abs=0.01)
    assert evaluation.facts["parameters_reason"].endswith("25 tuning queries (1.000)")


def test_smoke_queries_of_an_updated_index_are_live_texts(run: Run) -> None:
    run = changed(run, index={"spec": "HNSW16", "update": PATIENT})
    go_live(run, index(run, embedded(run)))
    candidate = index(run, embedded(run, TEXTS[20:]))
    smoke = read(run, evaluate(run, candidate), artifact.SMOKE)
    assert len(smoke) == 20
    assert all(one["scores"][0] == pytest.approx(1, abs=1e-4) for one in smoke)  # each is a text that is there
