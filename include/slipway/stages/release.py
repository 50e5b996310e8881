"""candidate + passed verdict → release, and one swap of serving.json."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slipway import checkpoint, layout, signing
from slipway.errors import GateRefused, ReleaseRefused
from slipway.evaluation.gates import Verdict
from slipway.index import artifact
from slipway.manifest import MANIFEST, Draft, Manifest, find, fingerprint
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.rollout import SHIFT, TAKE_BACK, Offer, Pace, Rollout, Step
from slipway.run import Run
from slipway.serving.loading import load_release, manifest_sum

RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Released:
    """What the release stage did: whether serving.json was swapped, which release is live, its generation, and why.

    `shift` holds the steps of a gradual shift (see slipway.rollout.Step), none where it was made at once.
    """

    released: bool
    release_id: str
    generation: int
    reason: str
    shift: tuple[dict[str, Any], ...] = ()


def release(
    run: Run,
    candidate: Manifest,
    evaluation: Manifest,
    verdict: Verdict,
    generation: int,
    who: str,
    why: str,
    pace: Pace | None = None,
) -> Released:
    """Make the candidate a release, read it back, run its smoke queries, shift to it, and swap it live.

    `generation` is serving.json's when the run began: if it has moved on since, other than by this run, this run is
    stale and refused. What the run was allowed (see slipway.checkpoint) is kept in the audit trail with `who` and
    `why`. `pace` is the time that a gradual shift goes by. Nothing happens when the candidate is what is live already.
    Raises `GateRefused` and `ReleaseRefused`.
    """
    _check(candidate, evaluation, verdict)
    release_id = name_release(candidate, evaluation)
    serving, _ = read_serving(run.store)
    mine = _changed_by(serving, run)
    if serving.live_release and serving.live_release.release_id == release_id:
        sign_release(run, release_id)  # where signing was turned on after it had gone live
        was_swapped = mine and serving.changed is not None and serving.changed.action == RELEASE
        reason = f"live in slot {serving.live}" if was_swapped else "nothing changed: the candidate is the live release"
        return Released(was_swapped, release_id, serving.generation, reason)
    _check_not_withdrawn(serving, release_id, candidate)
    if not mine:
        _check_generation(serving, generation)
    seal_release(run, release_id, candidate, evaluation, verdict)
    sign_release(run, release_id)
    offer = Offer(release_id, _read_back(run, release_id), candidate.place)
    start = checkpoint.started(run)
    change = Change(RELEASE, who, why, run.run_id, start.allowed if start else ())
    return _launch(run, offer, change, serving, pace)


def _launch(run: Run, offer: Offer, change: Change, begun: Serving, pace: Pace | None) -> Released:
    """Shift as the collection says, and swap the release live."""
    steps: tuple[Step, ...] = ()
    if run.collection.release.shift and begun.live_release:
        begun, steps = Rollout(run.store, run.collection.release, offer, change, pace).shift(begun)

    def swap(now: Serving) -> Serving:
        _check_generation(now, begun.generation)  # which a rollback moves on, too
        return now.promoted(offer.release_id, offer.manifest_sha256, offer.candidate)

    after = swap_serving(run.store, change, swap)
    shift = tuple(asdict(step) for step in steps)
    return Released(True, offer.release_id, after.generation, f"live in slot {after.live}", shift)


def _read_back(run: Run, release_id: str) -> str:
    """Load the release as a reader would, from the store and not from a former attempt's files. Its manifest's sum."""
    run.scratch.mkdir(parents=True, exist_ok=True)
    manifest_sha256 = manifest_sum(run.store, release_id)
    with tempfile.TemporaryDirectory(prefix="read-back-", dir=run.scratch) as cache:
        load_release(run.store, release_id, Path(cache), manifest_sha256, _own_key(run))
    return manifest_sha256


def name_release(candidate: Manifest, evaluation: Manifest) -> str:
    """The release's id: when its candidate was built, and what it is made of. The same candidate has the same id."""
    built = "".join(character for character in candidate.created_at[:19] if character.isdigit() or character == "T")
    return f"{built}-{fingerprint(candidate.digest, dict(evaluation.facts['parameters']))[:8]}"


def seal_release(run: Run, release_id: str, candidate: Manifest, evaluation: Manifest, verdict: Verdict) -> Manifest:
    """Copy what a reader needs under one manifest; skipped when it is there already."""
    place = layout.release(release_id)
    if sealed := find(run.store, place):
        return sealed
    inputs = {"candidate": candidate.digest, "evaluation": evaluation.digest}
    draft = Draft(run.store, place, "release", release_id, inputs)
    for sealed_object in candidate.objects:
        draft.add_copy(sealed_object)
    draft.add_copy(evaluation.one(artifact.SMOKE))
    kept = {name: evaluation.facts[name] for name in ("metrics", "parameters", "parameters_reason", "golden")}
    facts = {
        **candidate.facts,
        **kept,
        "gates": verdict.as_json(),
        "collection": run.collection.name,
        "run_id": run.run_id,
    }
    return draft.seal(dict(candidate.counts), facts)


def sign_release(run: Run, release_id: str) -> None:
    """Sign a sealed release with the collection's key, where it has one and the release is not signed yet.

    Raises `ReleaseRefused` when another key signed it, and `InputError` when the key cannot be used.
    """
    if key := signing.key_of(run):
        body = run.store.read(f"{layout.release(release_id)}/{MANIFEST}").body
        signing.sign(run.store, release_id, body, key)


def _own_key(run: Run) -> signing.Trusted | None:
    key = signing.key_of(run)
    return signing.Trusted({key.key_id: key.public}) if key else None


def _check(candidate: Manifest, evaluation: Manifest, verdict: Verdict) -> None:
    if not verdict.passed:
        raise GateRefused("the candidate was refused: " + "; ".join(verdict.reasons))
    if evaluation.inputs.get("candidate") != candidate.digest:
        raise ReleaseRefused("the evaluation is of another candidate; evaluate this one first")


def _changed_by(serving: Serving, run: Run) -> bool:
    """Whether what serves is as a former attempt of this run left it, which was killed or failed in between."""
    last = serving.changed
    if serving.shift and serving.shift.run_id == run.run_id:
        return True
    return last is not None and last.run_id == run.run_id and last.action in (RELEASE, SHIFT, TAKE_BACK)


def _check_not_withdrawn(serving: Serving, release_id: str, candidate: Manifest) -> None:
    """What was rolled back does not come back by itself, not even with other search-time parameters."""
    for withdrawn, one in serving.withdrawn.items():
        if withdrawn == release_id or one.candidate == candidate.place:
            raise ReleaseRefused(
                f"release {withdrawn} was withdrawn ({one.why}) and nothing has changed since; to bring it back on "
                f"purpose: slipway rollback --to {withdrawn}"
            )


def _check_generation(serving: Serving, generation: int) -> None:
    if serving.generation != generation:
        raise ReleaseRefused(
            f"{layout.SERVING} is at generation {serving.generation}, it was at {generation} when this run began: "
            f"somebody released or rolled back meanwhile, so this run is stale; start a new one"
        )
