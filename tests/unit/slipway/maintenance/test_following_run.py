"""Real nights, maintenance with everything at the end of its time, and the next night: it finds all that it needs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway import checkpoint, layout
from slipway.encoders import find_model
from slipway.maintenance import maintain
from slipway.pipeline import Options, run_pipeline
from slipway.run import Run
from slipway.stages import drift as drift_stage
from slipway.stages import embed as embed_stage
from tests.support.encoders import FakeEncoder
from tests.support.history import DAY
from tests.support.memory_store import MemoryStore
from tests.unit.slipway.stages.embedding_run import a_run

ANY = Options("tester", "a night", allowed=frozenset({"deletes", "changes"}))


class Nights:
    """A collection of one Parquet file, and its runs. The encoder is a fake that counts what it embeds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.folder, self.count = MemoryStore(), folder, 0
        self.encoder = FakeEncoder(find_model(self.run().collection.encoder))
        for stage in (embed_stage, drift_stage):
            monkeypatch.setattr(stage, "load_encoder", lambda *_, **__: self.encoder)

    def run(self) -> Run:
        source = {"name": "api", "kind": "lake", "path": str(self.folder / "lake.parquet"), "id": "id"}
        run_id, maintenance = f"night-{self.count}", {"keep_days": 14, "checkpoints": 1}
        fields: dict[str, Any] = {"sources": [{**source, "text": "{body}"}], "maintenance": maintenance}
        made = a_run(self.store, self.folder, run_id, **fields)
        return replace(made, scratch=self.folder / run_id)  # nothing of another run's downloads

    def night(self, *texts: str) -> dict[str, Any]:
        self.count += 1
        self.store.age("", by=DAY)
        ids = [text.split()[0] for text in texts]
        pq.write_table(pa.table({"id": ids, "body": list(texts)}), self.folder / "lake.parquet")
        return run_pipeline(self.run(), ANY)

    def maintain_after(self, days: int) -> None:
        self.store.age("", by=days * DAY)
        maintain(self.run())


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nights:
    return Nights(tmp_path, monkeypatch)


def test_a_night_after_maintenance_embeds_what_changed_only(nights: Nights) -> None:
    assert nights.night("one fish", "two fish", "red fish")["released"] is True
    assert nights.night("one fish", "two fish", "blue fish")["released"] is True
    nights.maintain_after(30)
    base = checkpoint.newest(nights.store)
    assert base is not None
    made = nights.night("one fish", "two fish", "blue fish", "new fish")
    start = checkpoint.started(nights.run())
    assert start is not None
    assert start.base == base.place
    assert (made["released"], made["embedded"], made["reused"]) == (True, 1, 3)
    assert (made["added"], made["changed"], made["deleted"]) == (1, 0, 0)


def test_a_night_without_a_change_after_maintenance_makes_nothing(nights: Nights) -> None:
    first = nights.night("one fish", "two fish")
    nights.maintain_after(30)
    made = nights.night("one fish", "two fish")
    assert (made["released"], made["embedded"], made["release_id"]) == (False, 0, first["release_id"])
    nights.maintain_after(0)
    assert list(nights.store.list(f"{layout.release(first['release_id'])}/"))
    assert nights.night("one fish", "two fish")["release_id"] == first["release_id"]


def test_a_release_long_ago_can_be_brought_back(nights: Nights) -> None:
    from slipway.rollback import roll_back

    old = nights.night("one fish", "two fish")["release_id"]
    for text in ("red fish", "blue fish", "old fish"):
        nights.night("one fish", text)
        nights.maintain_after(20)
    roll_back(nights.store, "tester", "it was better", old)
    made = nights.night("one fish", "old fish", "new fish")
    assert (made["released"], made["embedded"], made["deleted"]) == (True, 1, 1)
