import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slipway import checkpoint, layout
from slipway.checkpoint import Start
from slipway.config.metrics import PER_QUERY
from slipway.encoders import find_model
from slipway.errors import EncoderError, GoldenError, ObjectMissing
from slipway.evaluation.losses import Against
from slipway.index import artifact
from slipway.manifest import Manifest, fetch
from slipway.pointer import Change, read_serving, swap_serving
from slipway.run import Run
from slipway.serving.loading import manifest_key, manifest_sum, read_release_manifest
from slipway.stages import comparison as module
from slipway.stages import evaluate as evaluate_module
from slipway.stages.comparison import compare
from slipway.stages.evaluate import evaluate
from slipway.stages.index import index
from slipway.stages.release import name_release, seal_release
from tests.support.encoders import FakeEncoder, model_folder
from tests.support.memory_store import MemoryStore
from tests.support.releases import PASSED
from tests.unit.slipway.stages.index_run import TEXTS, a_run, changed, embedded

JUDGING = {"resamples": 1_000}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def load(described: Any, *_: object, **__: object) -> FakeEncoder:
        return FakeEncoder(find_model(described))

    monkeypatch.setattr(evaluate_module, "undisturbed", lambda search, queries: {"p50_ms": 1.0, "p95_ms": 2.0})
    monkeypatch.setattr(evaluate_module, "load_encoder", load)
    monkeypatch.setattr(module, "load_encoder", load)
    return a_run(MemoryStore(), tmp_path, judging=JUDGING)


def asking(run: Run, *numbers: int, **fields: Any) -> Run:
    """The run with golden queries that are documents' own texts, each with two judged documents."""
    lines = [
        {
            "query_id": f"q{number:02d}",
            "query": TEXTS[number],
            "relevant": {f"api:{number:05d}": 3, f"api:{number + 1:05d}": 1},
            "slice": "even" if number % 2 == 0 else "odd",
        }
        for number in numbers
    ]
    path = run.scratch.parent / f"golden-{'-'.join(map(str, numbers))[:40]}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return changed(run, golden={"queries": path}, **fields)


def with_model(run: Run, weights: bytes) -> Run:
    """The run with an encoder of another vector space."""
    folder = run.scratch.parent / f"model-{weights.decode()}"
    if not folder.exists():
        model_folder(folder, weights)
    return changed(run, encoder=run.collection.encoder.model_dump() | {"name": "other", "folder": str(folder)})


def built(run: Run, texts: list[str] = TEXTS) -> tuple[Manifest, Manifest]:
    candidate = index(run, embedded(run, texts))
    return candidate, evaluate(run, candidate)


def live(run: Run, texts: list[str] = TEXTS, comparison: Manifest | None = None) -> tuple[Manifest, Manifest]:
    """A candidate that was released."""
    candidate, evaluation = built(run, texts)
    release_id = name_release(candidate, evaluation)
    seal_release(run, release_id, candidate, evaluation, PASSED, comparison)
    told = manifest_sum(run.store, release_id)
    swap_serving(run.store, Change("release", "tester", "because"), lambda now: now.promoted(release_id, told))
    return candidate, evaluation


def read(run: Run, made: Manifest, name: str) -> Any:
    return json.loads(fetch(run.store, made.one(name), run.scratch / "check").read_bytes())


def compared(run: Run, made: tuple[Manifest, Manifest], **options: Any) -> Manifest:
    found = compare(run, *made, **options)
    assert found is not None
    return found


def test_without_a_live_release_or_golden_queries_there_is_nothing_to_compare(run: Run) -> None:
    run = asking(run, *range(5))
    assert compare(run, *built(run)) is None
    live(run)
    without = replace(run, collection=run.collection.model_copy(update={"golden": None}))
    assert compare(without, *built(without)) is None


def test_the_live_release_itself_differs_in_nothing_and_is_not_searched(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asking(run, *range(30))
    made = live(run)
    monkeypatch.setattr(module, "Searcher", None)
    found = compared(run, made)
    assert set(found.facts["metrics"]) == set(PER_QUERY)
    assert all((one["difference"], one["low"], one["high"]) == (0, 0, 0) for one in found.facts["metrics"].values())
    assert found.facts["neighbours"] == {"overlap_at_10": 1.0, "rank_biased_overlap": 1.0, "changed_share": 0.0}
    assert read(run, found, "moved.json") == {"losers": [], "winners": []}
    assert found.place == layout.comparison(found.fingerprint)
    assert (found.facts["candidate"], found.facts["evaluation"]) == (made[0].place, made[1].place)


def test_the_same_again_is_not_compared_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = asking(run, *range(5))
    live(run)
    made = built(run, TEXTS[:50])
    first = compared(run, made)
    monkeypatch.setattr(module, "Searcher", None)
    assert compare(run, *made) == first


def test_each_side_is_searched_in_its_own_space(run: Run) -> None:
    """Both fake encoders put a text where only itself is near, so both find a query's own document first."""
    run = asking(run, *range(30))
    live(run)
    other = with_model(run, b"others")
    found = compared(other, built(other))
    facts = found.facts
    assert facts["encoders"]["live"]["name"] == "small"
    assert facts["encoders"]["candidate"]["name"] == "other"
    assert facts["encoders"]["candidate"]["fingerprint"] != facts["encoders"]["live"]["fingerprint"]
    assert facts["metrics"]["mrr_at_10"]["live"] == facts["metrics"]["mrr_at_10"]["candidate"] == 1.0
    assert facts["metrics"]["recall_at_10"]["live"] == 1.0
    assert facts["queries"] == 30
    assert not Against.of(facts).same_encoder
    each = read(run, found, "queries.json")
    assert [one["query_id"] for one in each] == [f"q{number:02d}" for number in range(30)]
    assert each[3]["candidate"]["found"][0] == each[3]["live"]["found"][0] == "api:00003"


def test_a_loss_is_seen_query_by_query_and_slice_by_slice(run: Run) -> None:
    """The candidate's texts of documents with odd numbers changed, so the queries of that slice find them no more."""
    run = asking(run, *range(40))
    live(run)
    texts = [text if number % 2 == 0 else f"now of something else: {number}" for number, text in enumerate(TEXTS)]
    found = compared(run, built(run, texts))
    facts = found.facts
    odd, even = facts["by_slice"]["odd"], facts["by_slice"]["even"]
    assert (odd["queries"], even["queries"]) == (20, 20)
    assert odd["metrics"]["mrr_at_10"]["high"] < -0.5
    assert abs(even["metrics"]["mrr_at_10"]["difference"]) < 0.1
    assert facts["slice_alpha"] == facts["alpha"] / 2
    overall = facts["metrics"]["mrr_at_10"]
    assert overall["low"] < overall["difference"] < overall["high"] < 0
    assert overall["difference"] == pytest.approx(overall["candidate"] - overall["live"], abs=1e-6)
    assert overall["worse"] >= 15
    moved = read(run, found, "moved.json")
    assert 15 <= len(moved["losers"]) <= 25
    loser = moved["losers"][0]
    assert loser["slice"] == "odd"
    number = int(loser["query_id"][1:])
    own = next(one for one in loser["documents"] if one["document_id"] == f"api:{number:05d}")
    assert (own["grade"], own["rank_live"]) == (3, 1)
    assert own["snippet"] == f"now of something else: {number}"
    assert own["title"] == f"title {number}"


def test_what_was_deleted_at_the_source_is_no_loss(run: Run) -> None:
    """Of 40 judged documents and those after them, the first 20 are gone: the queries that asked for them are left out,
    and in the live ranking others move up to their places."""
    run = asking(run, *range(40))
    live(run)
    kept = ["" if number < 20 else text for number, text in enumerate(TEXTS)]
    named = {f"api:{number:05d}": text for number, text in enumerate(kept) if text}
    candidate = index(run, only(run, named))
    found = compared(run, (candidate, evaluate(run, candidate)))
    facts = found.facts
    assert facts["dropped"] == [f"q{number:02d}" for number in range(19)]
    assert facts["gone"] == [f"api:{number:05d}" for number in range(20)]
    assert facts["queries"] == 21
    assert facts["metrics"]["ndcg_at_10"]["difference"] >= 0
    gone = set(facts["gone"])
    for one in read(run, found, "queries.json"):
        assert len(one["live"]["found"]) == 10
        assert gone.isdisjoint(one["live"]["found"])
    by_id = {one["query_id"]: one for one in read(run, found, "queries.json")}
    assert by_id["q25"]["live"]["found"][0] == "api:00025"


def only(run: Run, named: dict[str, str]) -> Manifest:
    from tests.unit.slipway.stages.index_run import a_snapshot, chunks_of

    return chunks_of(run, a_snapshot(run, named), named)


def test_the_order_of_the_golden_file_changes_nothing(run: Run) -> None:
    forwards, backwards = asking(run, *range(30)), asking(run, *range(29, -1, -1))
    live(forwards)
    texts = [text if number % 3 else f"other {number}" for number, text in enumerate(TEXTS)]
    one, other = compared(forwards, built(forwards, texts)), compared(backwards, built(backwards, texts))
    assert one.place != other.place
    assert one.facts["metrics"] == other.facts["metrics"]
    assert one.facts["by_slice"] == other.facts["by_slice"]


def test_a_live_encoder_that_is_gone_is_named_with_what_to_do(run: Run) -> None:
    run = asking(run, *range(5))
    other = with_model(run, b"others")
    live(other)
    (run.scratch.parent / "model-others" / "model.safetensors").unlink()
    made = built(run)
    with pytest.raises(EncoderError, match=r"cannot be searched .* encoder other .*--allow-undecided"):
        compare(run, *made)
    checkpoint.begin(run, Start(1, None, "e" * 16, allowed=("undecided",)))
    assert compare(run, *made) is None


@pytest.mark.parametrize("name", [artifact.INDEX, artifact.DOCUMENTS, artifact.ENCODER, artifact.ROWS, "manifest.json"])
@pytest.mark.parametrize("damage", [True, False])
def test_a_live_release_that_is_damaged_cannot_be_compared_and_holds_no_night_up(
    run: Run, name: str, damage: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run = asking(run, *range(5))
    live(run)
    made = built(run, TEXTS[:50])
    slot = read_serving(run.store)[0].live_release
    assert slot is not None
    manifest = read_release_manifest(run.store, slot.release_id)
    key = manifest_key(slot.release_id) if name == "manifest.json" else manifest.one(name).key
    body = run.store.read(key).body
    run.store.delete(key)
    if damage:
        run.store.put(key, b"x" + body[1:])
    assert compare(replace(run, scratch=run.scratch / "empty"), *made) is None
    assert f"the live release {slot.release_id} is damaged: " in caplog.text
    assert name in caplog.text


def test_a_damaged_candidate_stops_the_run(run: Run) -> None:
    run = asking(run, *range(5))
    live(run)
    made = built(run, TEXTS[:50])
    run.store.delete(made[0].one(artifact.DOCUMENTS).key)
    with pytest.raises(ObjectMissing):
        compare(replace(run, scratch=run.scratch / "empty"), *made)


def test_a_live_release_whose_vectors_are_gone_keeps_the_recall_it_had(run: Run) -> None:
    run = asking(run, *range(25))
    live(run)
    made = built(run, TEXTS[:50])
    recorded = compared(run, made).facts["metrics"]["recall_at_10"]["live"]
    encoder = find_model(run.collection.encoder).fingerprint
    for info in list(run.store.list(f"{layout.vectors(encoder)}/")):
        run.store.delete(info.key)
    embedded(run, TEXTS[:50])  # the candidate's are there again
    found = compared(changed(run, judging=JUDGING | {"alpha": 0.1}), made)
    recall = found.facts["metrics"]["recall_at_10"]
    assert (recall["live"], recall["low"], found.facts["measured"]) == (recorded, None, False)
    assert "recall_at_10" not in found.facts["by_slice"]["odd"]["metrics"]
    assert found.facts["metrics"]["ndcg_at_10"]["low"] is not None


def test_a_golden_file_that_changed_since_the_evaluation_is_refused(run: Run) -> None:
    run = asking(run, *range(5))
    live(run)
    made = built(run, TEXTS[:50])
    with pytest.raises(GoldenError, match="changed since the candidate was evaluated"):
        compare(asking(run, *range(6)), *made)


def test_too_few_queries_have_no_interval(run: Run) -> None:
    run = asking(run, *range(19))
    live(run)
    metrics = compared(run, built(run, TEXTS[:50])).facts["metrics"]
    assert all(one["low"] is None and one["high"] is None for one in metrics.values())


def test_nothing_judged_that_is_there_is_nothing_to_compare(run: Run) -> None:
    run = asking(run, 58)
    live(run)
    assert compare(run, *built(run, TEXTS[:50])) is None


def test_noise_is_measured_by_building_once_more_and_kept_by_the_release(run: Run) -> None:
    texts = [f"text {number}" for number in range(2_000)]
    settings = {"spec": "IVF32,Flat", "search": {"nprobe": 4}}
    run = asking(run, *range(40), index=settings)
    live(run, texts)
    made = built(run, texts[:1_900])
    assert compared(run, made).facts["noise"] is None
    noisy = compared(run, made, noise=True)
    floors = noisy.facts["noise"]
    assert set(floors) == set(PER_QUERY)
    assert 0 < floors["recall_at_10"] < 0.5
    assert Against.of(noisy.facts).floors == floors
    live(run, texts[:1_900], noisy)
    serving = read_serving(run.store)[0].live_release
    assert serving is not None
    quiet = compared(run, built(run, texts[:1_800]))
    assert quiet.facts["live"] == serving.release_id
    assert quiet.facts["noise"] == floors
    other = changed(run, index=settings | {"spec": "IVF16,Flat"})
    assert compared(other, built(other, texts[:1_800])).facts["noise"] is None


def test_exact_search_has_no_noise(run: Run) -> None:
    run = asking(run, *range(25))
    live(run)
    assert set(compared(run, built(run, TEXTS[:50]), noise=True).facts["noise"].values()) == {0.0}
