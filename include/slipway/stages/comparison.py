"""candidate + live release → comparison: both on the same golden queries, query by query."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slipway import checkpoint, layout
from slipway.encoders import load_encoder
from slipway.errors import CorruptObject, EncoderError, GoldenError, IndexRefused, ObjectMissing
from slipway.evaluation.golden import GoldenQuery, GoldenSet, read_golden
from slipway.evaluation.moved import Documents
from slipway.evaluation.opened import fetch_files, found_without, with_vectors
from slipway.evaluation.rebuilt import rebuild
from slipway.evaluation.sides import Answers, Sides, floors, judged_by_both
from slipway.index import artifact
from slipway.index.spec import Spec
from slipway.manifest import Draft, Manifest, fetch, find, fingerprint
from slipway.pointer import Slot, read_serving
from slipway.run import Run
from slipway.serving.loading import read_encoder, read_release_manifest
from slipway.serving.searcher import Searcher

VERSION = 1

logger = logging.getLogger("slipway")


def compare(run: Run, candidate: Manifest, evaluation: Manifest, noise: bool = False) -> Manifest | None:
    """Compare a candidate with the live release on the golden queries as they are now; skipped when it was done.

    The live release is searched with its own encoder and its own search-time parameters. Judged documents that the
    candidate does not hold were deleted at the source, or never there: they are left out on both sides. `noise` has the
    same vectors built into an index once more, to see what chance alone changes; without, what was seen when the live
    release was built is taken, where that is of the same index spec.

    None where nothing is live, where there are no golden queries or not one judged document is there, where an object
    of the live release is damaged or missing (a night must be able to replace it), and where the live encoder's model
    is not on this machine and the run was allowed undecided gates. Facts: the places `candidate` and `evaluation`,
    `live` (release),
    `encoders`, `specs` (factory strings), `queries` (how many are judged on both), `dropped` (those of which no judged
    document is there), `gone` (judged documents that are not there), `alpha`, `slice_alpha`, `resamples`,
    `min_queries`, `metrics` and `by_slice` (see slipway.evaluation.losses.Difference), `noise` by metric, `neighbours`,
    and whether the live release's recall was `measured`. Objects: `queries.json`, `moved.json`. Raises `EncoderError`,
    `GoldenError`, and `CorruptObject` and `ObjectMissing` of the candidate.
    """
    live = read_serving(run.store)[0].live_release
    if live is None or run.collection.golden is None:
        return None
    judging = run.collection.judging.model_dump(mode="json")
    made_of = [candidate.digest, evaluation.fingerprint, evaluation.digest, live.release_id, live.manifest_sha256]
    print_of = fingerprint("compare", VERSION, *made_of, judging, noise)
    if sealed := find(run.store, layout.comparison(print_of)):
        return sealed
    golden = _golden(run.collection.golden.queries, evaluation)
    inputs = {"candidate": candidate.digest, "evaluation": evaluation.digest}
    draft = Draft(run.store, layout.comparison(print_of), "compare", print_of, inputs)
    try:
        work = _Comparing(run, candidate, evaluation, live, run.scratch / f"compare-{draft.attempt}")
        return work.seal(draft, golden, noise)
    except _LiveDamaged as error:
        logger.warning("nothing is compared, as the live release %s is damaged: %s", live.release_id, error)
        return None
    except EncoderError as error:
        start = checkpoint.started(run)
        if start is None or "undecided" not in start.allowed:
            raise
        logger.warning("nothing is compared, as this run may be undecided: %s", error)
        return None


class _LiveDamaged(Exception):
    """An object of the live release is damaged or missing."""


@contextmanager
def _reading_live() -> Iterator[None]:
    """What is found damaged in the block is the live release's."""
    try:
        yield
    except (CorruptObject, ObjectMissing) as error:
        raise _LiveDamaged(str(error)) from error


def _golden(path: Path, evaluation: Manifest) -> GoldenSet:
    golden = read_golden(path)
    if golden.sha256 != evaluation.facts["golden"]:
        raise GoldenError(f"{path}: changed since the candidate was evaluated with it; start a new run")
    return golden


class _Comparing:
    """One comparison: the parts of it share the candidate and the live release."""

    def __init__(self, run: Run, candidate: Manifest, evaluation: Manifest, live: Slot, folder: Path) -> None:
        self.run, self.candidate, self.evaluation, self.slot, self.folder = run, candidate, evaluation, live, folder
        with _reading_live():
            self.release = read_release_manifest(run.store, live.release_id, live.manifest_sha256)
        self.same_encoder = self.release.facts["encoder"] == candidate.facts["encoder"]
        self.measured = True

    def seal(self, draft: Draft, golden: GoldenSet, noise: bool) -> Manifest | None:
        """Raises what `compare` does."""
        self.folder.mkdir(parents=True)
        documents = Documents(fetch(self.run.store, self.candidate.one(artifact.DOCUMENTS), self.run.scratch))
        judged = judged_by_both(golden.part("judging"), documents)
        if not judged.queries:
            logger.warning("nothing is compared: not one judged document is in the candidate")
            return None
        candidate = self._answers_of_candidate(judged.queries)
        with _reading_live():
            live = candidate if self._is_live() else self._answers_of_live(judged.queries, judged.gone)
            theirs = Documents(fetch(self.run.store, self.release.one(artifact.DOCUMENTS), self.run.scratch))
            live_encoder = self._encoder(self.release)
        sides = Sides(judged, candidate, live, self.run.collection.judging)
        draft.add_json("queries.json", sides.by_query())
        draft.add_json("moved.json", sides.moved(documents, theirs))
        measured_floors = self._floors(judged.queries, candidate) if noise else self._known_floors()
        facts = {
            "candidate": self.candidate.place,
            "evaluation": self.evaluation.place,
            "live": self.slot.release_id,
            "encoders": {"candidate": self._encoder(self.candidate), "live": live_encoder},
            "specs": {"candidate": self._spec(self.candidate), "live": self._spec(self.release)},
            **sides.facts(self._recorded_recall()),
            "noise": measured_floors,
            "measured": self.measured,
        }
        return draft.seal({"queries": len(judged.queries)}, facts)

    def _is_live(self) -> bool:
        parameters = self.release.facts["parameters"] == self.evaluation.facts["parameters"]
        return parameters and self.release.facts.get("candidate") == self.candidate.place

    def _answers_of_candidate(self, queries: list[GoldenQuery]) -> Answers:
        """What the evaluation found."""
        path = fetch(self.run.store, self.evaluation.one("queries.json"), self.run.scratch)
        found = {one["query_id"]: one for one in json.loads(path.read_bytes())}
        recalls = np.array([found[query.query_id]["recall_at_10"] for query in queries])
        return Answers([found[query.query_id]["found"] for query in queries], recalls)

    def _answers_of_live(self, queries: list[GoldenQuery], gone: list[str]) -> Answers:
        """What the live release finds now."""
        files = fetch_files(self.run, self.release)
        vectors = self._encode(queries, files)
        searcher = Searcher(files, self.release.facts["parameters"])
        found = found_without(searcher, vectors, set(gone))
        try:
            opened = with_vectors(self.run, self.release, files, searcher, self.folder)
        except IndexRefused as error:
            logger.warning("the live release's recall is taken as it was before its release: %s", error)
            self.measured = False
            return Answers(found, None)
        return Answers(found, opened.recalls(vectors, opened.exact(vectors, 10)[1], 10))

    def _encode(self, queries: list[GoldenQuery], files: Mapping[str, Path]) -> npt.NDArray[np.float32]:
        described, print_of = read_encoder(files[artifact.ENCODER], self.release)
        if self.same_encoder:
            described = self.run.collection.encoder  # of the same space, and on this machine
        try:
            encoder = load_encoder(described, self.run.collection.embed, print_of, self.run.secrets)
            if encoder.fingerprint != print_of:
                raise EncoderError(f"encoder {described.name} is {encoder.fingerprint} on this machine now")
        except EncoderError as error:
            raise EncoderError(
                f"the live release {self.slot.release_id} cannot be searched to compare the candidate with it, as its "
                f"encoder {described.name} ({print_of}) is not on this machine: {error}. Put that model back; or, to "
                f"release without a comparison, start a run that may be undecided (--allow-undecided)"
            ) from error
        return encoder.encode_queries([query.query for query in queries])

    def _encoder(self, made: Manifest) -> dict[str, Any]:
        path = fetch(self.run.store, made.one(artifact.ENCODER), self.run.scratch)
        described, print_of = read_encoder(path, made)
        return {"name": described.name, "fingerprint": print_of, "dimension": described.dimension}

    def _spec(self, made: Manifest) -> str:
        return str(made.facts["spec"]["factory"])

    def _recorded_recall(self) -> float | None:
        recorded: float | None = self.release.facts["metrics"].get("recall_at_10")
        return recorded

    def _known_floors(self) -> dict[str, float] | None:
        """What was seen of noise when the live release was compared, where it is of the same index spec."""
        before, now = self.release.facts["spec"], self.candidate.facts["spec"]
        same = (before["factory"], before["metric"]) == (now["factory"], now["metric"])
        return self.release.facts.get("noise") if same else None

    def _floors(self, queries: list[GoldenQuery], candidate: Answers) -> dict[str, float]:
        """What an index of the same vectors answers otherwise that was built once more."""
        files = fetch_files(self.run, self.candidate)
        parameters = self.evaluation.facts["parameters"]
        collection, print_of = self.run.collection, self.candidate.facts["encoder"]
        encoder = load_encoder(collection.encoder, collection.embed, print_of, self.run.secrets)
        vectors = encoder.encode_queries([query.query for query in queries])
        opened = with_vectors(self.run, self.candidate, files, Searcher(files, parameters), self.folder)
        spec = Spec(**self.candidate.facts["spec"])
        folder = self.folder / "rebuilt"
        folder.mkdir()
        again = rebuild(opened, files, spec, self.run.collection.index, parameters, folder)
        recalls = again.recalls(vectors, again.exact(vectors, 10)[1], 10)
        return floors(queries, candidate, Answers(again.found(vectors), recalls), self.run.collection.judging)
