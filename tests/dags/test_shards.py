"""A night whose index several workers build: cut, a mapped task a shard, and put together."""

from tests.dags.bench import NOTES

HELD = len(NOTES) + 3


def test_a_night_builds_its_index_in_mapped_shards_and_the_next_one_finds_nothing_to_share_out(bench):
    bench.describe(other="index: {spec: HNSW16, shards: {vectors: 25}}\n")
    first = bench.run()
    assert first.state == "success", first.result
    assert [state for name, state in sorted(first.tasks.items()) if name.startswith("index_shard[")] == ["success"] * 3
    assert [label for label in first.labels if label.endswith(" vectors")] == [
        f"shard {number}: {HELD // 3} vectors" for number in range(3)
    ]
    assert first.result["released"] is True
    assert first.result["vectors"] == HELD
    assert {"index_shards", "index_shard", "index"} <= first.result["seconds"].keys()
    names = {path.name for path in bench.store.glob("releases/*/*/*")}
    assert {"index-00000.faiss", "index-00001.faiss", "index-00002.faiss", "shards.json"} <= names

    second = bench.run()
    assert second.state == "success", second.result
    assert (second.tasks["index_shards"], second.tasks["index"]) == ("success", "success")
    assert second.tasks["index_shard"] == second.tasks["release"] == "skipped"


def test_a_night_without_shards_has_no_such_tasks(bench):
    from tests.dags.test_parsing import parse

    assert not {"index_shards", "index_shard"} & set(parse().dags["tiny__nightly"].task_ids)
