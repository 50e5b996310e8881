"""A release that is made bad on purpose: its vectors stand in another order, so that answers name wrong documents.

Every checksum is right and every gate was passed, by the candidate that it pretends to be: only what it answers is
wrong. That is what smoke queries are for.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from slipway import layout
from slipway.evaluation.gates import Verdict
from slipway.index import artifact
from slipway.index.build import build, write
from slipway.index.spec import Spec
from slipway.manifest import Draft, Manifest, fetch, fingerprint
from slipway.pointer import Change, read_serving
from slipway.rollout import Offer, Pace, Rollout
from slipway.run import Run
from slipway.serving.loading import manifest_sum
from slipway.serving.searcher import Searcher
from slipway.stages.release import Released, name_release, release, seal_release

PASSED = Verdict(())
NIGHTLY = "a night with a wrong vector order"


def shuffled(run: Run, candidate: Manifest, seed: int = 1) -> Manifest:
    """A candidate like the given one, with its vectors in an order drawn with `seed`."""
    name = fingerprint("shuffled", candidate.digest, seed)
    draft = Draft(run.store, layout.candidate(name), "index", name)
    index = run.scratch / "shuffled.faiss"
    index.parent.mkdir(parents=True, exist_ok=True)
    files = {sealed.name: fetch(run.store, sealed, run.scratch) for sealed in candidate.objects}
    _write_shuffled(files, Spec(**candidate.facts["spec"]), index, seed)
    for sealed in candidate.objects:
        if sealed.name != artifact.INDEX:
            draft.add_copy(sealed)
    draft.add_file(artifact.INDEX, index)
    return draft.seal(dict(candidate.counts), {**candidate.facts, "candidate": draft.place})


def released_as_usual(run: Run, bad: Manifest, evaluation: Manifest) -> Released:
    """Release it as a night does. Raises `ReleaseRefused`, if the release stage is worth its name."""
    return release(run, bad, judging(evaluation, bad), PASSED, read_serving(run.store)[0].generation, "test", NIGHTLY)


def shifted_unchecked(run: Run, bad: Manifest, evaluation: Manifest, pace: Pace | None = None) -> None:
    """Offer it to the readers without reading it back first, as a faulty release stage does it.

    Raises `ReleaseRefused`, if the readers and the shift are worth their names.
    """
    forged = judging(evaluation, bad)
    release_id = name_release(bad, forged)
    seal_release(run, release_id, bad, forged, PASSED)
    offer = Offer(release_id, manifest_sum(run.store, release_id), bad.place)
    change = Change("release", "test", NIGHTLY, run.run_id)
    Rollout(run.store, run.collection.release, offer, change, pace).shift(read_serving(run.store)[0])


def judging(evaluation: Manifest, candidate: Manifest) -> Manifest:
    """The evaluation as if it was one of this candidate."""
    return replace(evaluation, inputs={**evaluation.inputs, "candidate": candidate.digest})


def _write_shuffled(files: dict[str, Path], spec: Spec, path: Path, seed: int) -> None:
    searcher = Searcher(files, {})
    vectors = searcher.index.reconstruct_n(0, searcher.rows)
    order = np.random.default_rng(seed).permutation(searcher.rows)
    write(build(np.ascontiguousarray(vectors[order]), spec, searcher.rows, 40), path)
