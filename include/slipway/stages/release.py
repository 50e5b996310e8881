"""candidate + passed verdict → release, and one swap of serving.json."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway import checkpoint, layout, signing
from slipway.errors import GateRefused, ReleaseRefused
from slipway.evaluation.gates import Verdict
from slipway.index import artifact
from slipway.manifest import MANIFEST, Draft, Manifest, find, fingerprint
from slipway.pointer import Change, Serving, read_serving, swap_serving
from slipway.run import Run
from slipway.serving.loading import load_release, manifest_sum


@dataclass(frozen=True, slots=True)
class Released:
    """What the release stage did: whether serving.json was swapped, which release is live, its generation, and why."""

    released: bool
    release_id: str
    generation: int
    reason: str


def release(
    run: Run, candidate: Manifest, evaluation: Manifest, verdict: Verdict, generation: int, who: str, why: str
) -> Released:
    """Make the candidate a release, read it back, run its smoke queries, and swap it live.

    `generation` is serving.json's when the run began: if it has moved on since, this run is stale and refused. What the
    run was allowed (see slipway.checkpoint) is kept in the audit trail with `who` and `why`.
    Nothing happens when the candidate is what is live already. Raises `GateRefused` and `ReleaseRefused`.
    """
    _check(candidate, evaluation, verdict)
    release_id = name_release(candidate, evaluation)
    serving, _ = read_serving(run.store)
    if serving.live_release and serving.live_release.release_id == release_id:
        sign_release(run, release_id)  # where signing was turned on after it had gone live
        if serving.changed and serving.changed.run_id == run.run_id:  # a retry after a kill between swap and answer
            return Released(True, release_id, serving.generation, f"live in slot {serving.live}")
        return Released(False, release_id, serving.generation, "nothing changed: the candidate is the live release")
    _check_not_withdrawn(serving, release_id, candidate)
    _check_generation(serving, generation)
    seal_release(run, release_id, candidate, evaluation, verdict)
    sign_release(run, release_id)
    manifest_sha256 = _read_back(run, release_id)

    def swap(now: Serving) -> Serving:
        _check_generation(now, generation)  # which a rollback moves on, too
        return now.promoted(release_id, manifest_sha256, candidate.place)

    start = checkpoint.started(run)
    change = Change("release", who, why, run.run_id, start.allowed if start else ())
    after = swap_serving(run.store, change, swap)
    return Released(True, release_id, after.generation, f"live in slot {after.live}")


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
