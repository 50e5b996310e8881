from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from slipway import groups as grouping
from slipway import vectors
from slipway.encoders import find_model, recycling
from slipway.encoders.base import TextEncoder
from slipway.errors import EncoderError, ObjectMissing
from slipway.maintenance.compaction import Compaction
from slipway.manifest import Manifest
from slipway.run import Run
from slipway.stages import embed as embed_stage
from slipway.stages.embed import embed, planned_shards
from slipway.stages.plan import plan
from tests.support.encoders import FakeEncoder
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.embedding_run import a_difference, a_run, chunks_of

TOKENS = {f"{number:032x}": 100 + number for number in range(20)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return a_run(MemoryStore(), tmp_path)


@pytest.fixture
def encoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    """The encoder that the stage loads, instead of a real one."""
    fake = FakeEncoder(find_model(run.collection.encoder))
    load_as(monkeypatch, fake)
    monkeypatch.setattr(grouping, "GROUP_CHUNKS", 6)
    return fake


def load_as(monkeypatch: pytest.MonkeyPatch, encoder: TextEncoder) -> None:
    monkeypatch.setattr(embed_stage, "load_encoder", lambda *_, **__: encoder)


def planned(run: Run) -> Manifest:
    return plan(run, chunks_of(run, TOKENS), a_difference(run))


def stored(run: Run) -> dict[str, np.ndarray]:
    """All vectors of the store by chunk hash, each hash once."""
    found: dict[str, np.ndarray] = {}
    for part in vectors.parts(run.store, find_model(run.collection.encoder).fingerprint):
        hashes = pq.read_table(vectors.fetch_hashes(run.store, part, run.scratch))["chunk_hash"].to_pylist()
        assert not found.keys() & set(hashes)
        found |= dict(zip(hashes, vectors.open_vectors(run.store, part, run.scratch), strict=True))
    return found


def test_every_chunk_of_the_shard_gets_its_own_vector(run: Run, encoder: FakeEncoder) -> None:
    done = embed(run, planned(run), 0)
    assert (done.shard, done.embedded, done.resumed, done.tokens) == (0, 20, 0, sum(TOKENS.values()))
    assert [len(texts) for texts in encoder.texts] == [6, 6, 6, 2]
    made = stored(run)
    assert made.keys() == TOKENS.keys()
    for one, vector in made.items():
        np.testing.assert_array_equal(vector, encoder.encode_queries([f"text {one}"])[0])


class Killed(BaseException):
    """What a kill looks like from inside."""


class Fails(FakeEncoder):
    """Dies at the call of that number."""

    def __init__(self, run: Run, at_call: int) -> None:
        super().__init__(find_model(run.collection.encoder))
        self.at_call = at_call

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        if len(self.texts) == self.at_call:
            raise Killed
        return super().encode_documents(texts)


@pytest.mark.parametrize("groups", [0, 1, 3])
def test_after_a_kill_no_finished_group_is_computed_again(
    run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    made = planned(run)
    killed = Fails(run, at_call=groups)
    load_as(monkeypatch, killed)
    with pytest.raises(Killed):
        embed(run, made, 0)
    load_as(monkeypatch, encoder)
    done = embed(run, made, 0)
    assert (done.embedded, done.resumed) == (20 - 6 * groups, 6 * groups)
    computed = [text for texts in killed.texts + encoder.texts for text in texts]
    assert sorted(computed) == sorted(f"text {one}" for one in TOKENS)
    assert stored(run).keys() == TOKENS.keys()


def test_a_kill_between_vectors_and_manifest_leaves_nothing_half_done(run: Run, encoder: FakeEncoder) -> None:
    made = planned(run)
    store = run.store
    assert isinstance(store, MemoryStore)
    store.fail_next("put_if", Killed())  # type: ignore[arg-type]
    with pytest.raises(Killed):
        embed(run, made, 0)
    assert stored(run) == {}
    assert embed(run, made, 0).embedded == 20
    assert stored(run).keys() == TOKENS.keys()


def test_a_finished_shard_loads_no_model(run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(run)
    embed(run, made, 0)

    def refuse(*_: object, **__: object) -> TextEncoder:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(embed_stage, "load_encoder", refuse)
    done = embed(run, made, 0)
    assert (done.embedded, done.resumed, done.tokens) == (0, 20, 0)


def test_a_group_ends_where_its_tokens_do(run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "GROUP_TOKENS", 350)
    monkeypatch.setattr(grouping, "GROUP_CHUNKS", 100)
    embed(run, planned(run), 0)
    assert {len(texts) for texts in encoder.texts[:-1]} == {3}
    monkeypatch.setattr(grouping, "GROUP_TOKENS", 1)
    other = a_run(MemoryStore(), run.scratch.parent)
    embed(other, planned(other), 0)
    assert {len(texts) for texts in encoder.texts[7:]} == {1}


def test_shards_together_embed_every_chunk_once(run: Run, encoder: FakeEncoder) -> None:
    run = a_run(run.store, run.scratch.parent, embed={"shard_tokens": 1_000})
    made = planned(run)
    numbers = [entry["shard"] for entry in made.facts["shards"]]
    assert len(numbers) == 3
    assert sum(embed(run, made, shard).embedded for shard in numbers) == 20
    assert stored(run).keys() == TOKENS.keys()
    assert planned(a_run(run.store, run.scratch.parent, "run-2")).counts["to_embed"] == 0


Told = list[tuple[str, int, int | None, str]]


def listening(run: Run) -> tuple[Run, Told]:
    seen: Told = []
    return replace(run, progress=lambda *told: seen.append(told)), seen


def test_progress_counts_tokens(run: Run, encoder: FakeEncoder) -> None:
    run, seen = listening(run)
    embed(run, planned(run), 0)
    counts = list(TOKENS.values())
    assert seen == [("embed", sum(counts[:done]), sum(counts), "tokens") for done in (0, 6, 12, 18, 20)]


def test_progress_begins_after_what_was_there(run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(run)
    load_as(monkeypatch, Fails(run, at_call=2))
    with pytest.raises(Killed):
        embed(run, made, 0)
    load_as(monkeypatch, encoder)
    run, seen = listening(run)
    embed(run, made, 0)
    counts = list(TOKENS.values())
    assert [done for _, done, _, _ in seen] == [sum(counts[:done]) for done in (12, 18, 20)]


def test_shards_that_one_process_embeds_have_one_progress(run: Run, encoder: FakeEncoder) -> None:
    run, seen = listening(a_run(run.store, run.scratch.parent, embed={"shard_tokens": 1_000}))
    made = planned(run)
    for shard, told in planned_shards(run, made):
        embed(told, made, shard)
    assert [done for _, done, _, _ in seen] == sorted(done for _, done, _, _ in seen)
    assert {total for _, _, total, _ in seen} == {sum(TOKENS.values())}
    assert seen[-1][1] == sum(TOKENS.values())


def test_bad_input_a_model_that_changed_since_the_plan_is_refused(
    run: Run, encoder: FakeEncoder, tmp_path: Path
) -> None:
    made = planned(run)
    (tmp_path / "model/model.safetensors").write_bytes(b"other weights")
    with pytest.raises(EncoderError, match=r"the plan was made for .*: the model changed during the run; start a new"):
        embed(run, made, 0)
    assert encoder.texts == []


def test_bad_input_a_model_that_was_loaded_before_it_changed_is_refused(
    run: Run, encoder: FakeEncoder, tmp_path: Path
) -> None:
    (tmp_path / "model/model.safetensors").write_bytes(b"other weights")
    with pytest.raises(EncoderError, match="the model changed while this process ran; start a new run"):
        embed(run, planned(run), 0)
    assert list(run.store.list("vectors/")) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda made: made[:-1], "returned 5 vectors for 6 chunks", id="too few"),
        pytest.param(lambda made: np.vstack([made, made]), "returned 12 vectors for 6 chunks", id="too many"),
        pytest.param(lambda made: made * np.float32(np.nan), "not of unit norm", id="NaN"),
        pytest.param(lambda made: made * np.float32(2), "not of unit norm", id="norm"),
        pytest.param(lambda made: made[:, :4], r"vectors of shape \(4,\), not of its dimension 8", id="dimension"),
        pytest.param(lambda made: made.astype(np.float64), "returned float64", id="dtype"),
    ],
)
def test_bad_input_unsound_vectors_are_refused_and_not_stored(
    run: Run,
    encoder: FakeEncoder,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[np.ndarray], np.ndarray],
    said: str,
) -> None:
    right = encoder.encode_documents
    monkeypatch.setattr(encoder, "encode_documents", lambda texts: spoil(right(texts)))
    with pytest.raises(EncoderError, match=said):
        embed(run, planned(run), 0)
    assert list(run.store.list("vectors/")) == []


def test_a_shard_that_is_not_in_the_plan_is_missing(run: Run, encoder: FakeEncoder) -> None:
    with pytest.raises(ObjectMissing, match=r"names no object 'shard-00007.parquet'"):
        embed(run, planned(run), 7)


def compact(run: Run) -> None:
    encoder = find_model(run.collection.encoder).fingerprint
    Compaction(run.store, encoder, None, datetime.now(UTC), run.scratch, lambda: None).run()


@pytest.mark.parametrize("groups", [0, 2, 3])
def test_groups_that_were_merged_before_the_run_went_on_are_not_computed_again(
    run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch, groups: int
) -> None:
    made = planned(run)
    killed = Fails(run, at_call=groups)
    load_as(monkeypatch, killed)
    with pytest.raises(Killed):
        embed(run, made, 0)
    compact(run)
    load_as(monkeypatch, encoder)
    done = embed(run, made, 0)
    assert (done.embedded, done.resumed) == (20 - 6 * groups, 6 * groups)
    assert stored(run).keys() == TOKENS.keys()
    compact(run)
    again = embed(run, made, 0)
    assert (again.embedded, again.resumed, again.tokens) == (0, 20, 0)


def test_of_a_group_whose_merged_part_holds_some_only_the_rest_is_computed(run: Run, encoder: FakeEncoder) -> None:
    made = planned(run)
    model, some = find_model(run.collection.encoder).fingerprint, list(TOKENS)[:3]
    for part in (some[:2], some[2:]):
        vectors.write_part(run.store, model, part, encoder.encode_queries([f"text {one}" for one in part]), run.scratch)
    compact(run)
    done = embed(run, made, 0)
    assert (done.embedded, done.resumed) == (17, 3)
    assert [len(texts) for texts in encoder.texts] == [3, 6, 6, 2]
    again = embed(run, made, 0)
    assert (again.embedded, again.resumed) == (0, 20)
    assert stored(run).keys() == TOKENS.keys()


def test_a_retry_after_another_run_embedded_the_same_chunks_computes_nothing(
    run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = planned(run)
    load_as(monkeypatch, Fails(run, at_call=1))
    with pytest.raises(Killed):
        embed(run, made, 0)
    load_as(monkeypatch, encoder)
    other = a_run(run.store, tmp_path, "another run", embed=run.collection.embed.model_dump())
    embed(other, planned(other), 0)  # plans what is left, and so cuts it into other groups
    assert stored(run).keys() == TOKENS.keys()
    again = embed(run, made, 0)
    assert (again.embedded, again.resumed) == (0, 20)


def test_parts_that_were_merged_before_the_plan_are_not_read(run: Run, encoder: FakeEncoder) -> None:
    store, model = run.store, find_model(run.collection.encoder).fingerprint
    assert isinstance(store, MemoryStore)
    for number in (1, 2):
        one = np.eye(1, 8, dtype=np.float32)
        vectors.write_part(store, model, [f"{number:032x}ff"], one, run.scratch)
    compact(run)
    store.age("vectors/", by=timedelta(days=1))
    made = planned(run)
    store.calls.clear()
    assert embed(run, made, 0).embedded == 20
    assert not [key for method, key in store.calls if method in ("read", "download") and "compact-" in key]


def test_every_part_and_the_shard_tell_what_embedding_took(run: Run, encoder: FakeEncoder) -> None:
    done = embed(run, planned(run), 0)
    parts = vectors.parts(run.store, find_model(run.collection.encoder).fingerprint)
    assert sum(part.facts["tokens"] for part in parts) == sum(TOKENS.values()) == done.tokens
    assert all(part.facts["seconds"] >= 0 for part in parts)
    assert {(part.facts["device"], part.facts["backend"]) for part in parts} == {("cpu", "fake")}
    assert (done.device, done.backend) == ("cpu", "fake")
    assert done.encoding_seconds == pytest.approx(sum(part.facts["seconds"] for part in parts), abs=0.01)
    assert embed(run, planned(run), 0).throughput is None


def test_the_processs_memory_is_looked_at_after_each_group(
    run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(recycling, "after_group", lambda: seen.append(len(encoder.texts)))
    embed(run, planned(run), 0)
    assert seen == [1, 2, 3, 4]


def test_all_tokens_are_counted_though_the_device_changed_on_the_way(
    run: Run, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = encoder.encode_documents

    def on_other_devices(texts: Sequence[str]) -> np.ndarray:
        encoder.device = "cpu" if encoder.texts else "cuda:0"
        return encode(texts)

    monkeypatch.setattr(encoder, "encode_documents", on_other_devices)
    done = embed(run, planned(run), 0)
    parts = vectors.parts(run.store, find_model(run.collection.encoder).fingerprint)
    assert done.tokens == sum(TOKENS.values())
    assert done.device == "cpu" and done.throughput is not None
    assert done.throughput.tokens == sum(part.facts["tokens"] for part in parts if part.facts["device"] == "cpu")
    assert done.throughput.tokens < done.tokens
