from pathlib import Path

from slipway.backup import Restoring, back_up
from slipway.pointer import read_serving
from slipway.serving.reader import Reader
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, again, publish, unit_vectors


def test_thread(tmp_path: Path) -> None:
    store, backup = MemoryStore("memory://here"), MemoryStore("memory://there")
    run = a_run(store, tmp_path / "s")
    for seed in range(2):
        made = publish(again(run, f"night-{seed}"), seed)
    print(back_up(store, backup, tmp_path / "s"))
    print(back_up(store, backup, tmp_path / "s"))
    wiped = MemoryStore("memory://here")
    print(Restoring(backup, wiped, tmp_path / "s", "ada", "lost").release())
    now = read_serving(wiped)[0]
    print(now)
    with Reader(wiped, tmp_path / "cache") as reader:
        assert reader.release.release_id == made.release_id
        assert reader.search(unit_vectors(1)[0], 3)
