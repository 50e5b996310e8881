"""snapshot, candidate, comparison → drift: how a night's documents and vectors differ from those that are live."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from slipway import checkpoint, layout
from slipway.chunking import Chunker
from slipway.drift import draw, record
from slipway.drift.fidelity import PASSAGES, fidelity
from slipway.drift.measure import Measure, Rules, Sample
from slipway.drift.of_neighbours import neighbours
from slipway.drift.of_rejects import rejects
from slipway.drift.of_texts import identifier, texts
from slipway.drift.of_vectors import centroid, moved, sound, trend
from slipway.encoders import find_model, load_encoder
from slipway.errors import EncoderError, IndexRefused
from slipway.index import artifact, payload
from slipway.manifest import Draft, Manifest, fetch, find, load
from slipway.pointer import read_serving
from slipway.run import Run
from slipway.serving.loading import read_release_manifest

logger = logging.getLogger("slipway")


def observe(run: Run, snapshot: Manifest, candidate: Manifest, comparison: Manifest | None) -> Manifest:
    """Measure a candidate and its snapshot beside the live release; a retry finds what the run sealed.

    Where the candidate is the live release's own there is nothing to compare, and no model is loaded: its values are
    kept, so that the history has no gap. Alarms stop nothing. Facts: `at` (UTC), `run_id`, `candidate` (place),
    `against` (release, or None), `encoder` (fingerprint), `sample` (`documents` and `vectors` drawn), `measures`
    (slipway.drift.Measure), `alarms` (how many), `centroid` of the vectors, and `oldest` (place of the record that
    `centroid_trend` is taken from, or None). Raises `EncoderError` when the model is not the candidate's.
    """
    if own := record.own(run.store, run.run_id, candidate.place):
        return own
    at = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    inputs = {"snapshot": snapshot.digest, "candidate": candidate.digest}
    inputs |= {"comparison": comparison.digest} if comparison else {}
    draft = Draft(run.store, layout.drift(at, run.run_id), "drift", run.run_id, inputs)
    watched = _Watched.of(run, snapshot, candidate, draft.attempt)
    oldest = record.oldest(run.store, watched.now.encoder)
    measures = [*watched.measures(comparison), trend(watched.now, oldest, watched.rules)]
    for one in measures:
        if one.alarm:
            logger.warning("drift: ALARM %s: %s", one.name, one.says)
    alarms = sum(one.alarm for one in measures)
    facts = {
        "at": at,
        "run_id": run.run_id,
        "candidate": candidate.place,
        "against": watched.live.fingerprint if watched.live else None,
        "encoder": watched.now.encoder,
        "sample": {"documents": len(watched.now.documents), "vectors": len(watched.now.vectors)},
        "measures": [one.as_json() for one in measures],
        "alarms": alarms,
        "centroid": centroid(watched.now),
        "oldest": oldest["place"] if oldest else None,
    }
    return draft.seal({"measures": len(measures), "alarms": alarms}, facts)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A candidate with its sample, and the live release with its own where there is another one to compare with."""

    run: Run
    snapshot: Manifest
    candidate: Manifest
    attempt: str
    rules: Rules
    now: Sample
    live: Manifest | None
    before: Sample | None

    @classmethod
    def of(cls, run: Run, snapshot: Manifest, candidate: Manifest, attempt: str) -> _Watched:
        """Draw what is needed."""
        settings = run.collection.drift
        rules = Rules(settings.alpha, settings.permutations, run.collection.index.seed)
        live = _live(run, candidate)
        before = None
        if live is not None and live.facts["candidate"] != candidate.place:
            held = load(run.store, live.facts["snapshot"])
            before = _sample(run, f"release {live.fingerprint}", held, live, f"{attempt}-live", must=False)
        now = _sample(run, "the candidate", snapshot, candidate, attempt)
        return cls(run, snapshot, candidate, attempt, rules, now, live, before)

    @property
    def is_live(self) -> bool:
        """Whether the candidate is the live release's own."""
        return self.live is not None and self.before is None

    def measures(self, comparison: Manifest | None) -> Iterator[Measure]:
        """All measures but that of the trend."""
        yield from sound(self.now, self.before, self.rules)
        if self.before is not None:
            yield from moved(self.now, self.before, self.rules)
            if comparison is not None:
                yield from neighbours(comparison.facts, self.before.name, self._churn())
        if not self.is_live:
            yield from self._fidelity()
        yield from texts(self.now, self.before, self.rules, identifier())
        yield from rejects(self.now, self.before, self.rules)

    def _churn(self) -> float | None:
        """Documents that changed against the live release, as a share of all; None where they were not compared."""
        assert self.live is not None
        baseline = load(self.run.store, self.live.facts["snapshot"])
        if baseline.place == self.snapshot.place:
            return 0.0
        made = find(self.run.store, layout.difference(baseline.fingerprint, self.snapshot.fingerprint))
        if made is None:
            return None
        changed = made.counts["added"] + made.counts["changed"] + made.counts["deleted"]
        return changed / max(made.counts["documents"], made.counts["baseline_documents"], 1)

    def _fidelity(self) -> list[Measure]:
        """Other passages each run, so that in time all are looked at; a retry draws the same.

        Half of them are of those that the live release does not hold: a model that broke since shows in no others.
        """
        rows, news = draw.Rows.of(self.run, self.candidate), None
        if self.live is not None and self.live.facts["encoder"] == self.now.encoder:
            news = rows.missing_in(draw.Rows.of(self.run, self.live))
        places = rows.drawn(PASSAGES, self.run.run_id, news)
        documents = fetch(self.run.store, self.candidate.one(artifact.DOCUMENTS), self.run.scratch)
        drawn = draw.passages(rows, documents, places)
        hashes = [one.chunk_hash for one in drawn]
        chunker = _chunker(self.run)
        made = [chunker.embedded_text(one.title, one.text, one.start, one.end) for one in drawn]
        stored = _vectors(self.run, self.now.encoder, hashes, f"{self.attempt}-fidelity")
        encoder = load_encoder(self.run.collection.encoder, self.run.collection.embed, secrets=self.run.secrets)
        if encoder.fingerprint != self.now.encoder:
            raise EncoderError(
                f"encoder {self.run.collection.encoder.name} has fingerprint {encoder.fingerprint}, the candidate was "
                f"made by {self.now.encoder}: the model changed during the run; start a new run"
            )
        return fidelity(hashes, made, stored, encoder)


def _live(run: Run, candidate: Manifest) -> Manifest | None:
    """The release to compare with: the live one, or what was live before where this run has released the candidate."""
    serving = read_serving(run.store)[0]
    slot, start = serving.live_release, checkpoint.started(run)
    if slot is None:
        return None
    live = read_release_manifest(run.store, slot.release_id, slot.manifest_sha256)
    if live.facts["candidate"] != candidate.place or start is None or start.live_release == slot.release_id:
        return live
    former = next((one for one in serving.slots.values() if one.release_id == start.live_release), None)
    return read_release_manifest(run.store, former.release_id, former.manifest_sha256) if former else None


def _sample(run: Run, name: str, snapshot: Manifest, made: Manifest, file: str, *, must: bool = True) -> Sample:
    """What is drawn of a candidate or a release, and of the snapshot that it was built from.

    Without `must`, a sample whose vectors are no longer in the store has none: a restored release may lack them.
    """
    count, encoder = run.collection.drift.sample, str(made.facts["encoder"])
    hashes = draw.Rows.of(run, made).smallest(count)
    try:
        vectors = _vectors(run, encoder, hashes, file)
    except IndexRefused as error:
        if must:
            raise
        logger.warning("drift: the vectors of %s are not compared: %s", name, error)
        hashes, vectors = [], np.empty((0, int(made.facts["dimension"])), dtype=np.float32)
    return Sample(
        name=name,
        documents=draw.documents(run, snapshot, count),
        hashes=hashes,
        vectors=vectors,
        encoder=encoder,
        rows=snapshot.counts["documents_in"],
        rejected=snapshot.facts["rejected_by_reason"],
    )


def _vectors(run: Run, encoder: str, hashes: list[str], file: str) -> npt.NDArray[np.float32]:
    """The stored vectors of these chunks, in order, in memory."""
    folder = run.scratch / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pa.chunked_array([pa.array(hashes, pa.string())])
    path = folder / f"{file}.npy"
    vectors = np.array(payload.collect(run.store, encoder, wanted, path, run.scratch))
    path.unlink()
    return vectors


def _chunker(run: Run) -> Chunker:
    settings, encoder = run.collection.chunk, run.collection.encoder
    tokenizer = find_model(encoder).tokenizer()
    return Chunker(tokenizer, settings.tokens, settings.overlap, settings.title, encoder.prompts.document)
