import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import estimate, planned, vectors
from slipway.config.collection import Embed
from slipway.config.encoder import Service
from slipway.encoders import find_model
from slipway.errors import BudgetExceeded, InputError
from slipway.layout import shard_name, vector_part
from slipway.manifest import Draft, Manifest, fetch
from slipway.parts import read_batches
from slipway.run import Run
from slipway.stages import plan as plan_stage
from slipway.stages.plan import plan as plan_against
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.support.releases import Vectors, publish
from tests.support.starts import started
from tests.unit.slipway.stages.embedding_run import DIMENSION, a_difference, a_run, chunks_of

CHANGES = {"added": 4, "changed": 3, "deleted": 2, "unchanged": 1}


def plan(run: Run, chunks: Manifest) -> Manifest:
    return plan_against(run, chunks, a_difference(run, **CHANGES))


def hashes(count: int) -> list[str]:
    return [f"{number * 7919 % 104_729:032x}" for number in range(count)]


def shard_rows(run: Run, made: Manifest) -> list[list[dict[str, object]]]:
    names = [shard_name(entry["shard"]) for entry in made.facts["shards"]]
    assert [sealed.name for sealed in made.named("shard-")] == names
    paths = [fetch(run.store, made.one(name), run.scratch) for name in names]
    return [[row for batch in read_batches([path]) for row in batch.to_pylist()] for path in paths]


def give_vectors(run: Run, known: list[str]) -> None:
    """Put vectors for these hashes into the store, in two parts."""
    made = np.zeros((len(known), DIMENSION), np.float32)
    made[:, 0] = 1
    encoder = find_model(run.collection.encoder).fingerprint
    for half in (slice(None, len(known) // 2), slice(len(known) // 2, None)):
        if known[half]:
            vectors.write_part(run.store, encoder, known[half], made[half], run.scratch)


def give_part(run: Run, name: str, tokens: int, seconds: float, device: str = "cpu", **more: str) -> None:
    """Seal a vector part that says how fast it was made. Parts of a later name count as newer."""
    encoder = find_model(run.collection.encoder).fingerprint
    draft = Draft(run.store, vector_part(encoder, name), "vectors", name)
    empty = run.scratch / "none.parquet"
    run.scratch.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"chunk_hash": pa.array([], pa.string())}), empty)
    draft.add_file(vectors.HASHES, empty)
    draft.seal({"vectors": 0}, {"tokens": tokens, "seconds": seconds, "device": device} | more)


class Clocked(FakeEncoder):
    """Takes a second of its own clock for each `per_second` characters it encodes."""

    def __init__(self, run: Run, per_second: float) -> None:
        super().__init__(find_model(run.collection.encoder))
        self.now, self.per_second = 0.0, per_second

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.now += sum(map(len, texts)) / self.per_second
        return super().encode_documents(texts)

    def perf_counter(self) -> float:
        return self.now


def use_clocked_encoder(run: Run, monkeypatch: pytest.MonkeyPatch, per_second: float = 1_000) -> Clocked:
    clocked = Clocked(run, per_second)
    monkeypatch.setattr(estimate, "load_encoder", lambda *_, **__: clocked)
    monkeypatch.setattr(estimate, "time", clocked)
    return clocked


def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the encoder was loaded")

    monkeypatch.setattr(estimate, "load_encoder", load)


def shard_tokens(size: int) -> dict[str, int]:
    return {"shard_tokens": size}


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    counts=st.lists(st.integers(0, 700), max_size=60),
    size=st.integers(1_000, 4_000),
    known=st.sets(st.integers(0, 59)),
    repeats=st.lists(st.integers(0, 59), max_size=30),
    most=st.sampled_from([2, 3, 5, 1_000]),
)
def test_the_shards_are_exactly_the_distinct_chunks_without_a_vector_each_once(
    counts: list[int], size: int, known: set[int], repeats: list[int], most: int
) -> None:
    tokens = dict(zip(hashes(len(counts)), counts, strict=True))
    names = list(tokens)
    there = [names[place] for place in sorted(known) if place < len(names)]
    order = names + [names[place] for place in repeats if place < len(names)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_stage, "MAX_SHARDS", most)
        run = a_run(MemoryStore(), Path(folder), embed=shard_tokens(size))
        give_vectors(run, there)
        made = plan(run, chunks_of(run, tokens, order))
        shards = shard_rows(run, made)
    missing = {one: count for one, count in tokens.items() if one not in there}
    planned = [row for rows in shards for row in rows]
    assert sorted(str(row["chunk_hash"]) for row in planned) == sorted(missing)
    assert all(row["tokens"] == missing[row["chunk_hash"]] for row in planned)
    assert all(row["text"] == f"text {row['chunk_hash']}" for row in planned)
    assert [row["tokens"] for row in planned] == sorted(missing.values())
    assert made.counts == {
        "chunks": len(tokens),
        "reused": len(there),
        "to_embed": len(missing),
        "tokens": sum(missing.values()),
        **CHANGES,
    }
    assert [(entry["chunks"], entry["tokens"]) for entry in made.facts["shards"]] == [
        (len(rows), sum(row["tokens"] for row in rows)) for rows in shards
    ]
    assert len(shards) <= most
    target = max(size, sum(missing.values()) / max(1, most - 1))
    assert all(sum(row["tokens"] for row in rows) <= target + 701 for rows in shards)
    numbers = [entry["shard"] for entry in made.facts["shards"]]
    assert numbers == sorted(set(numbers))


def test_a_thousand_shards_are_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = dict.fromkeys(hashes(2_500), 512)
    run = a_run(MemoryStore(), tmp_path, embed=shard_tokens(1_000))
    use_clocked_encoder(run, monkeypatch)
    made = plan(run, chunks_of(run, tokens))
    assert 900 < len(made.facts["shards"]) <= 1_000
    assert sum(entry["chunks"] for entry in made.facts["shards"]) == 2_500


@pytest.mark.parametrize(
    ("workers", "configured", "tokens", "size"),
    [
        (1, 1_000_000, 1_500_000, 1_000_000),  # as configured
        (4, 1_000_000, 1_500_000, 375_000),  # each worker has a shard
        (4, 200_000, 1_500_000, 200_000),
        (4, 1_000_000, 150_000, 100_000),  # to load the model costs more than to embed less than that
        (4, 1_000, 150_000, 1_000),  # asked for
        (1, 1_000, 5_000_000, 5_006),  # no more shards than Airflow maps
        (1, 1_000_000, 0, 100_000),
    ],
)
def test_the_size_of_a_shard(workers: int, configured: int, tokens: int, size: int) -> None:
    assert plan_stage._shard_size(Embed(workers=workers, shard_tokens=configured), tokens) == size


def test_nothing_to_do_is_a_plan_without_shards(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    tokens = dict.fromkeys(hashes(5), 100)
    give_vectors(run, list(tokens))
    made = plan(run, chunks_of(run, tokens))
    assert made.counts == {"chunks": 5, "reused": 5, "to_embed": 0, "tokens": 0} | CHANGES
    assert (made.facts["shards"], made.named("shard-")) == ([], [])
    empty = a_run(MemoryStore(), tmp_path)
    nothing = {"chunks": 0, "reused": 0, "to_embed": 0, "tokens": 0}
    assert plan(empty, chunks_of(empty, {})).counts == nothing | CHANGES


def test_vectors_of_another_encoder_are_not_reused(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    tokens = dict.fromkeys(hashes(5), 100)
    give_vectors(run, list(tokens))
    (tmp_path / "model/model.safetensors").write_bytes(b"other weights")
    made = plan(run, chunks_of(run, tokens))
    assert made.counts["to_embed"] == 5
    assert made.facts["encoder"] == find_model(run.collection.encoder).fingerprint


def test_a_plan_is_frozen_though_vectors_come_meanwhile(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path, embed=shard_tokens(1_000))
    tokens = dict.fromkeys(hashes(9), 400)
    chunks = chunks_of(run, tokens)
    made = plan(run, chunks)
    give_vectors(run, list(tokens)[:4])
    assert plan(run, chunks) == made
    next_run = a_run(run.store, tmp_path, "run-2", embed=shard_tokens(1_000))
    assert plan(next_run, chunks).counts["reused"] == 4


def test_a_run_that_was_planned_for_other_chunks_is_refused(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    plan(run, chunks_of(run, dict.fromkeys(hashes(2), 10)))
    run.store.delete("chunks/run-1/manifest.json")
    with pytest.raises(InputError, match=r"'run-1' has already planned its embedding for other chunks.*another run"):
        plan(run, chunks_of(run, dict.fromkeys(hashes(3), 10)))


def test_equal_chunks_give_equal_shards_in_any_order(tmp_path: Path) -> None:
    tokens = {one: 100 + 37 * number % 400 for number, one in enumerate(hashes(40))}
    sums = set()
    for turn, order in enumerate((list(tokens), list(tokens)[::-1])):
        run = a_run(MemoryStore(), tmp_path / str(turn), embed=shard_tokens(1_000))
        made = plan(run, chunks_of(run, tokens, order))
        assert len(made.objects) > 3
        sums.add(tuple(sealed.sha256 for sealed in made.objects))
    assert len(sums) == 1


def test_the_speed_is_the_median_of_the_newest_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(MemoryStore(), tmp_path)
    no_encoder(monkeypatch)
    for name, seconds in (("a", 1.0), ("b", 4.0), ("c", 10.0)):
        give_part(run, name, 10_000, seconds)
    made = plan(run, chunks_of(run, dict.fromkeys(hashes(600), 500)))
    assert made.facts["estimate"] == {
        "minutes": 2.0,
        "tokens_per_second": 2_500.0,
        "measured": "median of the 3 newest vector parts, made on cpu",
        "bytes": 600 * (4 * DIMENSION + 40),
        "index_bytes": None,
    }


def test_old_parts_are_forgotten(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    give_part(run, "a", 1_000_000, 1.0)
    for number in range(estimate.NEWEST_PARTS):
        give_part(run, f"b{number:02d}", 10_000, 10.0)
    assert plan(run, chunks_of(run, dict.fromkeys(hashes(5), 100))).facts["estimate"]["tokens_per_second"] == 1_000
    half = estimate.recorded(vectors.parts(run.store, find_model(run.collection.encoder).fingerprint)[:2], "auto")
    assert half is not None
    assert half.tokens_per_second == 500_500  # the old part counts as long as there are few


def test_parts_that_tell_nothing_do_not_count(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    give_vectors(run, hashes(4))  # as an older version wrote them
    give_part(run, "few", estimate.PART_TOKENS - 1, 100.0)
    give_part(run, "instant", 10_000, 0.0)
    assert estimate.recorded(vectors.parts(run.store, find_model(run.collection.encoder).fingerprint), "auto") is None


@pytest.mark.parametrize(
    ("device", "speed", "named"),
    [("auto", 100, "newest vector part, made on cpu"), ("cuda", 6_250, "2 newest vector parts, made on cuda"),
     ("cpu", 100, "newest vector part, made on cpu")],
)  # fmt: skip
def test_devices_are_not_mixed(tmp_path: Path, device: str, speed: int, named: str) -> None:
    run = a_run(MemoryStore(), tmp_path, embed={"device": device})
    give_part(run, "a", 10_000, 1.0, "cuda:0")
    give_part(run, "b", 10_000, 4.0, "cuda:1")
    give_part(run, "c", 10_000, 100.0, "cpu")
    found = estimate.recorded(vectors.parts(run.store, find_model(run.collection.encoder).fingerprint), device)
    assert found is not None
    assert (found.tokens_per_second, found.measured) == (speed, f"median of the {named}")


@pytest.mark.parametrize(
    ("backend", "speed", "named"),
    [
        ("auto", 500, "newest vector part, made on cpu by torch"),
        ("openvino", 2_000, "2 newest vector parts, made on cpu by openvino"),
        ("static", None, None),
    ],
)
def test_backends_are_not_mixed(tmp_path: Path, backend: str, speed: int | None, named: str | None) -> None:
    run = a_run(MemoryStore(), tmp_path)
    give_part(run, "a", 10_000, 1.0)  # of a version that knew one backend only
    give_part(run, "b", 10_000, 5.0, backend="openvino")
    give_part(run, "c", 10_000, 5.0, backend="openvino")
    give_part(run, "d", 10_000, 20.0, backend="torch")
    found = estimate.recorded(vectors.parts(run.store, find_model(run.collection.encoder).fingerprint), "auto", backend)
    assert (found and found.tokens_per_second) == speed
    assert (found and found.measured) == (named and f"median of the {named}")


def test_a_services_speed_counts_for_encoders_with_a_service_whatever_this_machine_is_set_to(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    give_part(run, "a", 10_000, 20.0, backend="torch")
    give_part(run, "b", 10_000, 1.0, "service", backend="service")  # newer
    parts = vectors.parts(run.store, find_model(run.collection.encoder).fingerprint)
    found = estimate.recorded(parts, "cpu", "torch", by_service=True)
    assert found == estimate.Speed(10_000.0, "median of the newest vector part, made on service")
    for device, backend in (("cpu", "torch"), ("auto", "auto")):
        assert estimate.recorded(parts, device, backend) == estimate.Speed(
            500.0, "median of the newest vector part, made on cpu by torch"
        )
    assert estimate.recorded(parts[1:], "auto") is None


def test_little_is_not_worth_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(MemoryStore(), tmp_path)
    no_encoder(monkeypatch)
    made = plan(run, chunks_of(run, dict.fromkeys(hashes(100), 300))).facts["estimate"]
    assert (made["minutes"], made["tokens_per_second"]) == (1.0, 500.0)
    assert made["measured"].startswith("assumed")


def test_much_is_measured_on_a_sample_after_a_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {one: 100 + number % 900 for number, one in enumerate(hashes(400))}
    samples = []
    for turn, order in enumerate((list(tokens), list(tokens)[::-1])):
        run = a_run(MemoryStore(), tmp_path / str(turn))
        encoder = use_clocked_encoder(run, monkeypatch, per_second=len("text ") + 32)  # a text a second
        made = plan(run, chunks_of(run, tokens, order)).facts["estimate"]
        warm_up, timed = encoder.texts
        assert (len(warm_up), len(timed)) == (estimate.WARM_UP_CHUNKS, estimate.PROBE_CHUNKS)
        assert len({*warm_up, *timed}) == estimate.WARM_UP_CHUNKS + estimate.PROBE_CHUNKS
        of_sample = [tokens[text.removeprefix("text ")] for text in timed]
        assert made["tokens_per_second"] == pytest.approx(sum(of_sample) / len(timed), rel=1e-3)
        assert made["measured"] == "measured on 64 of the chunks, on cpu by fake"
        samples.append(encoder.texts)
    assert samples[0] == samples[1]


def test_a_service_is_measured_with_all_its_requests_where_that_is_little_of_what_is_planned() -> None:
    service = Service(url="http://tei:8080/v1", model="m", requests=4, texts=128)
    for planned_chunks, timed in {100: 64, 3_000: 150, 10**6: 512}.items():
        assert estimate.probe_chunks(service, planned_chunks) == estimate.WARM_UP_CHUNKS + timed
    assert estimate.probe_chunks(None, 10**6) == estimate.WARM_UP_CHUNKS + estimate.PROBE_CHUNKS


def test_a_retry_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(MemoryStore(), tmp_path)
    use_clocked_encoder(run, monkeypatch)
    chunks = chunks_of(run, dict.fromkeys(hashes(200), 400))
    made = plan(run, chunks)
    no_encoder(monkeypatch)
    assert plan(run, chunks) == made


def test_the_index_is_estimated_from_the_live_one(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    publish(run, encoder=find_model(run.collection.encoder).fingerprint, count=20)  # of one byte, as it says
    made = plan(run, chunks_of(run, dict.fromkeys(hashes(70), 10)))
    assert made.facts["estimate"]["index_bytes"] == 3
    other = a_run(run.store, tmp_path, "run-2", index={"spec": "HNSW32"})
    assert plan(other, chunks_of(other, dict.fromkeys(hashes(70), 10))).facts["estimate"]["index_bytes"] is None


def test_the_index_of_another_encoder_tells_nothing(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    publish(run)
    assert plan(run, chunks_of(run, {})).facts["estimate"]["index_bytes"] is None


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"tokens": 59_999}, ["embed.budget.tokens allows 59,999."]),
        ({"minutes": 0.9}, ["embed.budget.minutes allows 0.9."]),
        ({"tokens": 0, "minutes": 0.5}, ["embed.budget.tokens allows 0 and embed.budget.minutes allows 0.5."]),
    ],
)
def test_a_plan_over_its_budget_is_refused_and_can_be_looked_at(
    tmp_path: Path, budget: dict[str, float], said: list[str]
) -> None:
    run = started(a_run(MemoryStore(), tmp_path, embed={"budget": budget}))
    give_part(run, "a", 10_000, 10.0)
    chunks = chunks_of(run, dict.fromkeys(hashes(120), 500))
    for _ in range(2):  # a retry is refused as well, from what was sealed
        with pytest.raises(BudgetExceeded) as refused:
            plan(run, chunks)
    for part in [
        *said,
        "120 of the 120 chunks would be embedded: 60,000 tokens, about 1.0 minutes at 1,000 tokens/s",
        "(median of the newest vector part, made on cpu)",
        "the plan is in runs/run-1/plan",
        "--over-budget",
    ]:
        assert part in str(refused.value)
    made = planned.find_plan(run.store, "run-1")
    assert made is not None
    assert planned.numbers(made) == CHANGES | {
        "chunks": 120,
        "reused": 0,
        "to_embed": 120,
        "tokens": 60_000,
        "minutes": 1.0,
        "tokens_per_second": 1_000.0,
        "measured": "median of the newest vector part, made on cpu",
        "bytes": 120 * (4 * DIMENSION + 40),
    }


def test_a_run_that_may_go_over_its_budget_gets_through_retries_too(tmp_path: Path) -> None:
    run = started(a_run(MemoryStore(), tmp_path, embed={"budget": {"tokens": 0}}), "over_budget")
    chunks = chunks_of(run, dict.fromkeys(hashes(3), 50))
    assert plan(run, chunks) == plan(run, chunks)
    other = started(a_run(run.store, tmp_path, "run-2", embed={"budget": {"tokens": 0}}), "deletes")
    with pytest.raises(BudgetExceeded):
        plan(other, chunks)


@pytest.mark.parametrize("budget", [{"tokens": 6_000}, {"minutes": 0.2}, {}, {"tokens": 6_000, "minutes": 0.2}])
def test_as_much_as_the_budget_passes(tmp_path: Path, budget: dict[str, float]) -> None:
    run = started(a_run(MemoryStore(), tmp_path, embed={"budget": budget}))
    assert plan(run, chunks_of(run, dict.fromkeys(hashes(60), 100))).facts["estimate"]["minutes"] == 0.2


def test_no_budget_is_refused_on_an_assumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = started(a_run(MemoryStore(), tmp_path, embed={"budget": {"minutes": 0.1}}))
    use_clocked_encoder(run, monkeypatch, per_second=1e6)
    made = plan(run, chunks_of(run, dict.fromkeys(hashes(60), 100))).facts["estimate"]
    assert made["minutes"] < 0.1
    assert made["measured"].startswith("measured on 52 of the chunks")
