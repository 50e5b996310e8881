"""An index contract through the stages: what is chosen, sealed, confirmed, taken over, refused."""

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway import choosing, layout
from slipway.building import work
from slipway.choosing import FACT, Choice, choice, keeping, subject
from slipway.cli import fronts
from slipway.errors import IndexRefused, InputError
from slipway.evaluation.demands import demands
from slipway.evaluation.gates import judge
from slipway.evaluation.opened import Opened
from slipway.index.contract import confirming, searching
from slipway.index.contract.candidates import Candidate
from slipway.index.spec import Spec
from slipway.manifest import Draft, Manifest, load
from slipway.run import Run
from slipway.stages import evaluate as evaluate_stage
from slipway.stages import index as index_stage
from slipway.stages.evaluate import evaluate
from slipway.stages.index import index
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.index_run import a_run, changed, embedded, go_live, use_fake_encoder

TEXTS = [f"passage number {number}" for number in range(320)]
CONTRACT = {"recall_at_10": 0.9, "p95_ms": 10, "memory": "1MiB", "build_minutes": 5}
P95 = subject.p95
PATIENT = {"tombstone_share": 0.9, "recall_loss": 1, "imbalance": 1e9, "error_growth": 1e9}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = a_run(MemoryStore(), tmp_path)
    return changed(made, index={"contract": CONTRACT, "update": PATIENT})


@pytest.fixture(autouse=True)
def encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    monkeypatch.setattr(evaluate_stage, "undisturbed", lambda *_: {"p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0})
    monkeypatch.setattr(subject, "p95", lambda search, queries: 1.0)
    fake = use_fake_encoder(run, monkeypatch)
    monkeypatch.setattr(subject, "load_encoder", lambda *_, **__: fake)
    return fake


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many vectors each whole search was for."""
    made: list[int] = []

    def counted(vectors: Any, *others: Any) -> Any:
        made.append(len(vectors))
        return searching.search(vectors, *others)

    monkeypatch.setattr(choice, "search", counted)
    return made


def choice_of(run: Run, candidate: Manifest) -> Choice:
    sealed = load(run.store, candidate.facts["choice"])
    return Choice(sealed.place, sealed.facts)


def unconfirmed(monkeypatch: pytest.MonkeyPatch, *specs: str) -> None:
    """Indexes of these specs find nothing on held-out queries."""

    def confirm(made: confirming.Made, *others: Any) -> confirming.Confirmed:
        found = confirming.confirm(made, *others)
        if made.spec.factory in specs:
            return confirming.Confirmed(**{**found.as_json(), "broken": ["recall@10 is 0.100"]})
        return found

    monkeypatch.setattr(keeping, "confirm", confirm)


def with_golden(run: Run, folder: Path, judging: int = 25) -> Run:
    lines = [
        {"query_id": f"{part}{number}", "query": f"question {number}", "relevant": {"api:00001": 3}, "part": part}
        for part, count in (("tuning", 25), ("judging", judging))
        for number in range(count)
    ]
    path = folder / "golden.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return changed(run, golden={"queries": path})


def test_a_contract_leads_to_an_index_that_keeps_it(run: Run, searches: list[int]) -> None:
    candidate = index(run, embedded(run, TEXTS))
    facts = candidate.facts[FACT]
    chosen = choice_of(run, candidate)
    assert candidate.facts["spec"]["factory"] == chosen.spec.factory == facts["spec"]
    assert candidate.facts["spec"]["reason"] == chosen.reason
    assert chosen.reason.startswith("the least memory of ")
    assert facts["confirmed"]["recall_at_10"] >= 0.9
    assert facts["confirmed"]["memory_bytes"] == candidate.counts["index_bytes"] <= 2**20
    assert facts["confirmed"]["source"] == "vectors of the collection itself, which is optimistic"
    assert facts["queries"] == {"source": facts["confirmed"]["source"], "tuning": 40, "held_out": 40}
    assert facts["clauses"] == {"recall_at_10": 0.9, "p95_ms": 10.0, "memory": 2**20, "build_minutes": 5.0}
    best = next(one for one in chosen.front if one.spec == chosen.spec.factory)
    assert (best.kept, best.on_front) == (True, True)
    assert searches == [len(TEXTS)]


def test_a_retry_finds_what_was_chosen(run: Run, searches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = embedded(run, TEXTS)
    with monkeypatch.context() as broken:
        broken.setattr(work, "write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            index(run, chunks)
    candidate = index(run, chunks)
    assert index(run, chunks) == candidate
    assert searches == [len(TEXTS)]


def test_golden_queries_tune_and_confirm(run: Run, tmp_path: Path) -> None:
    run = with_golden(run, tmp_path)
    candidate = index(run, embedded(run, TEXTS))
    confirmed = candidate.facts[FACT]["confirmed"]
    assert (confirmed["source"], confirmed["queries"]) == ("golden queries", 25)
    metrics = evaluate(run, candidate).facts["metrics"]
    assert metrics["memory_bytes"] == candidate.counts["index_bytes"]
    assert metrics["recall_at_10"] >= 0.9


def test_too_few_golden_queries_neither_confirm_nor_refuse(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_golden(run, tmp_path, judging=3)
    candidate = index(run, embedded(run, TEXTS))
    confirmed = candidate.facts[FACT]["confirmed"]
    assert "optimistic" in confirmed["source"]
    monkeypatch.setattr(Opened, "recalls", lambda *_: np.zeros(3))
    evaluation = evaluate(run, candidate)
    assert evaluation.facts["metrics"]["recall_at_10"] == confirmed["recall_at_10"]
    assert evaluation.facts["metrics"]["recall_at_1"] == 0.0
    assert evaluation.facts["judged_queries"] == 3


def test_without_golden_queries_the_contract_can_be_judged_all_the_same(run: Run) -> None:
    candidate = index(run, embedded(run, TEXTS))
    evaluation = evaluate(run, candidate)
    confirmed, metrics = candidate.facts[FACT]["confirmed"], evaluation.facts["metrics"]
    assert evaluation.facts["parameters"] == confirmed["parameters"]
    reason = evaluation.facts["parameters_reason"]
    assert reason.startswith("as the contract was confirmed with, by 40 vectors of the collection")
    assert metrics["recall_at_10"] == confirmed["recall_at_10"]
    verdict = judge(demands(run.collection, metrics, upgrade=False), metrics, None)
    assert verdict.passed
    assert {gate.metric: gate.kind for gate in verdict.gates} == {
        "recall_at_10": "index",
        "p95_ms": "cost",
        "memory_bytes": "cost",
        "build_minutes": "cost",
    }


def test_last_nights_choice_is_taken_over_and_updated(run: Run, searches: list[int]) -> None:
    run = changed(run, index={"contract": CONTRACT | {"memory": "10MiB"}, "update": PATIENT, "spec": "auto"})
    first = index(run, embedded(run, TEXTS))
    release = go_live(run, first)
    second = index(run, embedded(run, [*TEXTS[10:], "one more", "and one"]))
    assert second.facts["spec"]["factory"] == first.facts["spec"]["factory"]
    assert second.facts["spec"]["reason"].startswith(
        f"as last night (release {release}), for the contract recall_at_10"
    )
    assert second.facts[FACT]["vectors"] == len(TEXTS)
    assert second.facts[FACT]["front"] == first.facts[FACT]["front"]
    assert second.facts[FACT]["confirmed"]["recall_at_10"] >= 0.9
    assert searches == [len(TEXTS)]


def test_single_searches_are_timed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "p95", P95)
    monkeypatch.setattr(searching, "candidates", lambda *_: [Candidate("Flat")])
    facts = index(run, embedded(run, TEXTS)).facts[FACT]
    assert facts["confirmed"]["p95_ms"] > 0
    assert facts["front"][0]["p95_ms"] > 0


@pytest.mark.parametrize("template", ["HNSW16", "IVF{lists},Flat"])
def test_an_updated_index_is_confirmed_by_its_live_rows(
    run: Run, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "candidates", lambda *_: [Candidate(template)])
    go_live(run, index(run, embedded(run, TEXTS)))
    updated = index(run, embedded(run, [*TEXTS[40:], "one more", "and one"]))
    assert (updated.facts["update"]["kind"], updated.facts["update"]["removed"]) == ("updated", 40)
    assert updated.facts[FACT]["how"] == "as last night"
    assert updated.facts[FACT]["confirmed"]["recall_at_10"] >= 0.9


@pytest.mark.parametrize(
    ("settings", "texts", "why"),
    [
        ({}, [f"more {number}" for number in range(200)], "there are 520 vectors, the last search was for 320"),
        ({"contract": CONTRACT | {"recall_at_10": 0.8}}, ["x"], "the contract, the index settings or the encoder have"),
        ({"seed": 7}, ["x"], "the contract, the index settings or the encoder have changed"),
    ],
)
def test_what_has_changed_is_searched_for_anew(
    run: Run, searches: list[int], settings: dict[str, Any], texts: list[str], why: str
) -> None:
    go_live(run, index(run, embedded(run, TEXTS)))
    run = changed(run, index={"contract": CONTRACT} | settings)
    candidate = index(run, embedded(run, TEXTS + texts))
    assert candidate.facts[FACT]["how"] == "tried"
    assert candidate.facts[FACT]["why"].startswith(why)
    assert len(searches) == 2


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        ({"recall_at_10": 0.5, "p95_ms": 1.0}, "recall_at_10 0.5"),
        ({"recall_at_10": 0.95, "p95_ms": 99.0}, "p95_ms 99"),
        ({"recall_at_10": 0.95, "p95_ms": 1.0, "ndcg_at_10": 0.0}, None),  # another gate refused it
        (None, None),  # a night that was killed before it was measured
    ],
)
def test_only_what_a_clause_refused_is_searched_for_anew(
    run: Run, searches: list[int], monkeypatch: pytest.MonkeyPatch, measured: dict[str, float] | None, why: str | None
) -> None:
    """The same choice would be refused again."""
    go_live(run, index(run, embedded(run, TEXTS)))
    refused = index(run, embedded(run, [*TEXTS, "one"]))
    assert refused.facts[FACT]["how"] == "as last night"
    later = {refused.facts["choice"]}
    if measured is not None:
        name = layout.evaluation("measured")
        facts = {"metrics": measured, "candidate": refused.place}
        later.add(Draft(run.store, name, "evaluate", "measured").seal({}, facts).place)
    monkeypatch.setattr(choice, "load", lambda store, place: _later(load(store, place), later))
    after = index(run, embedded(run, [*TEXTS, "one", "two"]))
    if why is None:
        assert (after.facts[FACT]["how"], len(searches)) == ("as last night", 1)
    else:
        said = f"what was chosen since for the same contract did not keep it: {why}"
        assert after.facts[FACT]["why"].startswith(said)
        assert len(searches) == 2


def _later(made: Manifest, places: set[str]) -> Manifest:
    """The manifest, sealed on a later day where it is one of these: the night after is seconds away in a test."""
    body = json.loads(made.to_json()) | ({"created_at": "2999-01-01T00:00:00+00:00"} if made.place in places else {})
    return Manifest.from_json(json.dumps(body).encode(), f"{made.place}/manifest.json")


def test_where_last_nights_is_not_confirmed_all_are_tried_again(
    run: Run, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index(run, embedded(run, TEXTS))
    go_live(run, first)
    unconfirmed(monkeypatch, first.facts["spec"]["factory"])
    candidate = index(run, embedded(run, [*TEXTS, "one"]))
    assert candidate.facts["spec"]["factory"] != first.facts["spec"]["factory"]
    assert candidate.facts[FACT]["why"] == "last night's choice was not confirmed"
    assert candidate.facts["update"]["kind"] == "built"
    assert len(searches) == 2


def test_where_the_cheapest_is_not_confirmed_the_next_is_built(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = choice_of(run, index(run, embedded(run, TEXTS))).specs
    other = a_run(MemoryStore(), run.scratch.parent)
    other = changed(other, index={"contract": CONTRACT})
    unconfirmed(monkeypatch, expected[0].factory)
    candidate = index(other, embedded(other, TEXTS))
    assert candidate.facts["spec"]["factory"] == expected[1].factory
    assert candidate.facts[FACT]["reason"].startswith("number 2 by memory of ")


def test_a_refused_index_is_let_go_before_the_next_is_built(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = choice_of(run, index(run, embedded(run, TEXTS))).specs
    unconfirmed(monkeypatch, expected[0].factory)
    made: list[weakref.ref[Any]] = []
    build = index_stage.whole.build

    def watched(*arguments: Any) -> Any:
        assert [one() for one in made] == [None] * len(made)
        indexed = build(*arguments)
        made.append(weakref.ref(indexed.index))
        return indexed

    monkeypatch.setattr(index_stage.whole, "build", watched)
    other = changed(a_run(MemoryStore(), run.scratch.parent), index={"contract": CONTRACT})
    index(other, embedded(other, TEXTS))
    assert len(made) == 2


def test_what_cannot_be_built_is_followed_by_the_next(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = choice_of(run, index(run, embedded(run, TEXTS))).specs
    build = index_stage.whole.build

    def refusing(work: Any, spec: Any, tried: Any) -> Any:
        if spec.factory == expected[0].factory:
            raise IndexRefused("too large")
        return build(work, spec, tried)

    monkeypatch.setattr(index_stage.whole, "build", refusing)
    other = changed(a_run(MemoryStore(), run.scratch.parent), index={"contract": CONTRACT})
    assert index(other, embedded(other, TEXTS)).facts["spec"]["factory"] == expected[1].factory


def test_what_passes_the_memory_for_building_is_not_tried(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    tight = changed(run, index={"contract": CONTRACT, "build_memory": "13KiB"})
    candidate = index(tight, embedded(tight, TEXTS))
    left = [one["why"] for one in candidate.facts[FACT]["front"] if "would take about" in one["why"]]
    assert left
    assert all(why.startswith("not tried: it cannot be built in the memory that there is: building ") for why in left)


def test_shards_that_could_not_be_merged_are_not_tried(run: Run) -> None:
    tight = changed(
        run, index={"contract": CONTRACT, "build_memory": "60KiB", "train_vectors": 500, "shards": {"vectors": 40}}
    )
    chunks = embedded(tight, TEXTS)
    about = subject.Subject(tight, chunks, "", np.empty((0, 8), np.float32), None)
    why = about.settings.unaffordable(Spec("IVF4,Flat", "l2", 1, ""), 5_000, 8)
    assert why.startswith("merging the shards of IVF4,Flat with 5,000 vectors would take about ")
    assert about.settings.unaffordable(Spec("IVF4,Flat", "l2", 1, ""), 320, 8) == ""


def test_shards_lead_to_what_can_be_merged_unless_they_are_to_be_served_apart(
    run: Run, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [Candidate("SQ8"), Candidate("IVF{lists},SQ8"), Candidate("IVF{lists},Flat")]
    monkeypatch.setattr(searching, "candidates", lambda *_: tried)
    shards = {"contract": CONTRACT, "update": PATIENT, "shards": {"vectors": 200}}
    apart = changed(run, index={**shards, "shards": {"vectors": 200, "release": "apart"}})
    served = index(apart, embedded(apart, TEXTS))
    assert (served.facts["spec"]["factory"], searches) == ("SQ8", [320])
    go_live(run, served)
    merging = changed(run, index=shards)
    merged = index(merging, embedded(merging, [*TEXTS, "one more"]))
    assert merged.facts["spec"]["factory"].startswith("IVF")
    assert merged.facts[FACT]["why"] == (
        "SQ8 is served in shards, which cannot be merged: only inverted files can be merged"
    )
    assert searches == [320, 321]


def test_a_retry_with_shards_does_not_take_what_was_sealed_without_them(
    run: Run, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "candidates", lambda *_: [Candidate("SQ8"), Candidate("IVF{lists},SQ8")])
    chunks = embedded(run, TEXTS)
    assert index(run, chunks).facts["spec"]["factory"] == "SQ8"
    shared = changed(run, index={"contract": CONTRACT, "update": PATIENT, "shards": {"vectors": 200}})
    assert index(shared, chunks).facts["spec"]["factory"].startswith("IVF")
    assert searches == [320, 320]


def test_one_disturbed_timing_builds_nothing_again(
    run: Run, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = index(run, embedded(run, TEXTS))
    go_live(run, first)
    timings = iter([100.0, 1.0])
    monkeypatch.setattr(subject, "p95", lambda search, queries: next(timings))
    second = index(run, embedded(run, [*TEXTS, "one"]))
    assert second.facts[FACT]["confirmed"]["p95_ms"] == 1.0
    assert (second.facts[FACT]["how"], searches) == ("as last night", [len(TEXTS)])


def test_where_none_is_confirmed_the_contract_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = embedded(run, TEXTS)
    specs = [spec.factory for spec in choice_of(run, index(run, chunks)).specs]
    unconfirmed(monkeypatch, *specs)
    other = changed(a_run(MemoryStore(), run.scratch.parent), index={"contract": CONTRACT})
    with pytest.raises(
        IndexRefused, match="was kept in trials on a sample and not by an index of all 320 vectors"
    ) as no:
        index(other, embedded(other, TEXTS))
    assert f"{specs[0]} (recall@10 is 0.100)" in str(no.value)
    assert str(no.value).endswith(
        "Give up a little of the clause that is broken in index.contract, or add tuning queries"
    )


def test_a_contract_that_nothing_keeps_is_refused_and_nothing_is_sealed(run: Run) -> None:
    run = changed(run, index={"contract": {"recall_at_10": 0.99, "memory": "1KiB"}})
    with pytest.raises(
        IndexRefused, match=r"memory 1\.0 KiB cannot be kept by any index of 320 vectors of dimension 8"
    ):
        index(run, embedded(run, TEXTS))
    assert list(run.store.list(layout.CHOICES)) == []


def test_a_few_documents_are_searched_exactly(run: Run) -> None:
    candidate = index(run, embedded(run, TEXTS[:12]))
    assert candidate.facts["spec"]["factory"] == "Flat"
    assert evaluate(run, candidate).facts["metrics"]["recall_at_10"] == 1.0


def test_an_index_that_was_named_asks_for_no_choice(run: Run) -> None:
    named = changed(run, index={"spec": "HNSW16"})
    candidate = index(named, embedded(named, TEXTS[:80]))
    assert FACT not in candidate.facts
    assert list(run.store.list(layout.CHOICES)) == []
    assert choosing.FACT == "contract"


def test_a_contract_can_be_tried_on_what_is_live(run: Run) -> None:
    named = changed(run, index={"spec": "HNSW16"})
    release = go_live(named, index(named, embedded(named, TEXTS)))
    found = choosing.try_live(named, run.collection.index)
    assert found["release_id"] == release
    assert found["spec"] in [one["spec"] for one in found["front"] if one["kept"]]
    assert list(run.store.list(layout.CHOICES)) == []
    assert found["spec"] in fronts.page(found)
    with pytest.raises(InputError, match="has no index contract; give one with --contract"):
        choosing.try_live(named, named.collection.index)


def test_a_contract_cannot_be_tried_before_the_first_release(run: Run) -> None:
    with pytest.raises(InputError, match="has no release whose vectors a contract could be tried on"):
        choosing.try_live(run, run.collection.index)
