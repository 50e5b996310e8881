"""Nights of a collection as they stand in a store: every place that a run makes, with real files where they matter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from slipway import layout, vectors
from slipway.checkpoint import SourceState, Start, begin, newest
from slipway.index import artifact
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.parts import PartWriter
from slipway.pointer import Change, read_serving, swap_serving
from slipway.records import CHUNKS
from slipway.run import Run
from slipway.serving.loading import manifest_sum
from tests.support.memory_store import MemoryStore
from tests.support.releases import a_run, write_arrow

ENCODER = "e" * 16
DAY = timedelta(days=1)
NIGHT_STEPS = ("start", "raw", "documents", "snapshot", "checkpoint", "chunks", "vectors", "candidate", "release")


def hash_of(number: int) -> str:
    return f"{number:032x}"


@dataclass
class History:
    """Makes nights. A document is a number, and so is its one chunk; time passes by a day before each night."""

    store: MemoryStore
    scratch: Path
    encoder: str = ENCODER
    nights: int = 0
    last: dict[str, Manifest] = field(default_factory=dict)

    def run(self, run_id: str = "maintenance-1", **settings: Any) -> Run:
        return a_run(self.store, self.scratch, run_id, maintenance={"keep_days": 14, "checkpoints": 2} | settings)

    def pass_days(self, days: float) -> None:
        self.store.age("", by=DAY * days)

    def night(self, documents: Iterable[int], until: str = "release") -> dict[str, Manifest]:
        """A night that ends, or dies, after the step `until`. Returns what it sealed, or found, by step."""
        self.pass_days(1)
        self.nights += 1
        ids = sorted(set(documents))
        self.last = {}
        for step in NIGHT_STEPS[: NIGHT_STEPS.index(until) + 1]:
            self.last[step] = getattr(self, f"_{step}")(self._run, ids)
        self.store.put(layout.result(self._run.run_id), json.dumps({"night": self.nights}).encode())
        return self.last

    @property
    def _run(self) -> Run:
        return self.run(f"night-{self.nights:03d}")

    def _start(self, run: Run, ids: list[int]) -> Manifest:
        base, serving = newest(self.store), read_serving(self.store)[0]
        live = serving.live_release.release_id if serving.live_release else None
        begin(run, Start(serving.generation, live, self.encoder, base.place if base else None))
        return self._sealed(layout.start(run.run_id))

    def _raw(self, run: Run, ids: list[int]) -> Manifest:
        place = layout.plan(run.run_id)
        Draft(self.store, place, "plan", run.run_id).seal({}, {})
        return self._small(layout.raw(run.run_id, "api"), "extract", {"rows": ids})

    def _documents(self, run: Run, ids: list[int]) -> Manifest:
        return self._small(layout.documents(fingerprint(self.nights)), "clean", {"documents": ids})

    def _snapshot(self, run: Run, ids: list[int]) -> Manifest:
        """Every second night gives another snapshot of the same documents: its rejected rows differ, say."""
        place = layout.snapshot(fingerprint(ids, self.nights % 2))
        base = newest(self.store)
        made = self._small(
            place, "snapshot", {"ids": ids}, content=fingerprint(ids), base=base.snapshot if base else None
        )
        difference = layout.difference(base.snapshot.rpartition("/")[2] if base else None, made.fingerprint)
        baseline = base.snapshot if base else None
        self._small(difference, "difference", {}, snapshot=place, baseline=baseline)
        return made

    def _checkpoint(self, run: Run, ids: list[int]) -> Manifest:
        place = layout.checkpoint(f"20260101T{self.nights:06d}Z", run.run_id)
        states = {"api": {"position": None, "full_at": "2026-01-01T00:00:00+00:00", "recipe": "r"}}
        assert SourceState(**states["api"])  # type: ignore[arg-type]
        facts = {"snapshot": self.last["snapshot"].place, "sources": states}
        return Draft(self.store, place, "checkpoint", place).seal({}, facts)

    def _chunks(self, run: Run, ids: list[int]) -> Manifest:
        content = self.last["snapshot"].facts["content"]
        place = layout.chunks(content)
        if sealed := find(self.store, place):
            return sealed
        draft = Draft(self.store, place, "chunk", content)
        rows = [
            {"chunk_hash": hash_of(n), "document_id": f"api:{n}", "start": 0, "end": 1, "tokens": 1}
            | {"text": str(n), "content_hash": "0"}
            for n in ids
        ]
        with PartWriter(draft, "chunks", self.scratch / "making") as writer:
            writer.write(pa.RecordBatch.from_pylist(rows, schema=CHUNKS))
        return draft.seal({"chunks": len(ids)}, {"snapshot": self.last["snapshot"].place, "content": content})

    def _vectors(self, run: Run, ids: list[int]) -> Manifest | None:
        new = sorted(set(ids) - self.numbers())
        if not new:
            return None
        made = np.eye(64, dtype=np.float32)[new]
        return vectors.write_part(self.store, self.encoder, [hash_of(n) for n in new], made, self.scratch)

    def _candidate(self, run: Run, ids: list[int]) -> Manifest:
        chunks = self.last["chunks"]
        place = layout.candidate(fingerprint(chunks.place, self.encoder))
        made = find(self.store, place) or self._new_candidate(place, chunks, ids)
        evaluation = layout.evaluation(made.fingerprint)
        self._small(evaluation, "evaluate", {"smoke": []}, candidate=place)
        self._small(layout.drift(f"20260101T{self.nights:06d}Z", run.run_id), "drift", {}, candidate=place)
        return made

    def _new_candidate(self, place: str, chunks: Manifest, ids: list[int]) -> Manifest:
        draft = Draft(self.store, place, "index", place.rpartition("/")[2], {"chunks": chunks.digest})
        path, lists = self.scratch / artifact.ROWS, [[0]] * len(ids)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = {"chunk_hash": [hash_of(n) for n in ids], "documents": lists, "starts": lists, "ends": lists}
        write_arrow(path, pa.table(rows, artifact.ROWS_SCHEMA))
        draft.add_file(artifact.ROWS, path)
        return draft.seal({"vectors": len(ids)}, {"snapshot": chunks.facts["snapshot"], "encoder": self.encoder})

    def _release(self, run: Run, ids: list[int]) -> Manifest:
        candidate = self.last["candidate"]
        place = layout.release(candidate.fingerprint)
        if find(self.store, place) is None:
            draft = Draft(self.store, place, "release", candidate.fingerprint, {"candidate": candidate.digest})
            for sealed in candidate.objects:
                draft.add_copy(sealed)
            draft.seal({}, {**candidate.facts, "candidate": candidate.place})
        release_id = candidate.fingerprint
        live = read_serving(self.store)[0].live_release
        if live is None or live.release_id != release_id:
            summed = manifest_sum(self.store, release_id)
            change = Change("release", "tester", "a night", run.run_id)
            swap_serving(self.store, change, lambda now: now.promoted(release_id, summed))
        return self._sealed(place)

    def numbers(self) -> set[int]:
        """The chunks that have a vector."""
        import pyarrow.parquet as pq

        parts = vectors.parts(self.store, self.encoder)
        files = [vectors.fetch_hashes(self.store, part, self.scratch) for part in parts]
        return {int(one, 16) for file in files for one in pq.read_table(file)["chunk_hash"].to_pylist()}

    def _small(self, place: str, stage: str, body: Any, **facts: Any) -> Manifest:
        if sealed := find(self.store, place):
            return sealed
        draft = Draft(self.store, place, stage, place.rpartition("/")[2])
        draft.add_json("body.json", body)
        return draft.seal({}, facts)

    def _sealed(self, place: str) -> Manifest:
        found = find(self.store, place)
        assert found is not None
        return found
