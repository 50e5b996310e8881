import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import vectors
from slipway.encoders import find_model
from slipway.errors import InputError
from slipway.layout import shard_name
from slipway.manifest import Manifest, fetch
from slipway.parts import read_batches
from slipway.run import Run
from slipway.stages import plan as plan_stage
from slipway.stages.plan import plan
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.embedding_run import DIMENSION, a_run, chunks_of


def hashes(count: int) -> list[str]:
    return [f"{number * 7919 % 104_729:032x}" for number in range(count)]


def shard_rows(run: Run, made: Manifest) -> list[list[dict[str, object]]]:
    names = [shard_name(entry["shard"]) for entry in made.facts["shards"]]
    assert [sealed.name for sealed in made.objects] == names
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
    }
    assert [(entry["chunks"], entry["tokens"]) for entry in made.facts["shards"]] == [
        (len(rows), sum(row["tokens"] for row in rows)) for rows in shards
    ]
    assert len(shards) <= most
    target = max(size, sum(missing.values()) / max(1, most - 1))
    assert all(sum(row["tokens"] for row in rows) <= target + 701 for rows in shards)
    numbers = [entry["shard"] for entry in made.facts["shards"]]
    assert numbers == sorted(set(numbers))


def test_a_thousand_shards_are_the_most(tmp_path: Path) -> None:
    tokens = dict.fromkeys(hashes(2_500), 512)
    run = a_run(MemoryStore(), tmp_path, embed=shard_tokens(1_000))
    made = plan(run, chunks_of(run, tokens))
    assert 900 < len(made.facts["shards"]) <= 1_000
    assert sum(entry["chunks"] for entry in made.facts["shards"]) == 2_500


def test_nothing_to_do_is_a_plan_without_shards(tmp_path: Path) -> None:
    run = a_run(MemoryStore(), tmp_path)
    tokens = dict.fromkeys(hashes(5), 100)
    give_vectors(run, list(tokens))
    made = plan(run, chunks_of(run, tokens))
    assert made.counts == {"chunks": 5, "reused": 5, "to_embed": 0, "tokens": 0}
    assert (made.facts["shards"], made.objects) == ([], ())
    empty = a_run(MemoryStore(), tmp_path)
    assert plan(empty, chunks_of(empty, {})).counts == {"chunks": 0, "reused": 0, "to_embed": 0, "tokens": 0}


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
