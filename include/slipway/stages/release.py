"""candidate + passed verdict → release, and one swap of serving.json."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from slipway import agreement, checkpoint, layout, signing
from slipway.decisions import Approval
from slipway.errors import GateRefused, ReleaseRefused, SlipwayError, UntrustedRelease
from slipway.evaluation.approval import not_covered
from slipway.evaluation.gates import Verdict
from slipway.index import artifact
from slipway.manifest import Draft, Manifest, find, fingerprint
from slipway.pointer import APPROVAL, Change, Serving, Slot, read_serving, swap_serving
from slipway.rollout import SHIFT, TAKE_BACK, Offer, Pace, Rollout, Step, check_same
from slipway.run import Run
from slipway.serving.loading import load_release, manifest_key, read_manifest_body
from slipway.signing import Trusted

RELEASE = "release"
# Facts that tell of the run that sealed it, and not of what it is made of
_OF_ITS_RUN = ("gates", "run_id", "noise", "encoder_name", agreement.INDEX, agreement.INSTEAD_OF)


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
    approval: Approval | None = None,
    comparison: Manifest | None = None,
) -> Released:
    """Make the candidate a release, read it back, run its smoke queries, shift to it, and swap it live.

    `generation` is serving.json's when the run began: if it has moved on since, other than by this run, this run is
    stale and refused. What the run was allowed (see slipway.checkpoint) is kept in the audit trail with `who` and
    `why`, and so is what an `approval` lets pass: the undecided gates and those that it overrode. `pace` is the time
    that a gradual shift goes by. What the `comparison` with the live release measured of noise is kept in the release,
    for later ones to be judged by. Nothing happens when the candidate is what is live already.
    Raises `GateRefused` and `ReleaseRefused`.
    """
    _check(candidate, evaluation, verdict, approval)
    release_id = name_release(candidate, evaluation)
    serving, _ = read_serving(run.store)
    mine = _changed_by(serving, run)
    if serving.live_release and serving.live_release.release_id == release_id:
        _sign_live(run, serving.live_release, candidate, evaluation)
        was_swapped = mine and serving.changed is not None and serving.changed.action == RELEASE
        reason = f"live in slot {serving.live}" if was_swapped else "nothing changed: the candidate is the live release"
        return Released(was_swapped, release_id, serving.generation, reason)
    check_not_withdrawn(serving, release_id, candidate)
    if not mine:
        _check_generation(serving, generation)
    seal_release(run, release_id, candidate, evaluation, verdict, comparison)
    body = _vouched_for(run, release_id, candidate, evaluation, serving.named.get(release_id))
    key = signing.key_of(run)
    if key:
        signing.sign(run.store, release_id, body, key)
    offer = Offer(release_id, hashlib.sha256(body).hexdigest(), candidate.place)
    _read_back(run, release_id, offer.manifest_sha256, key.trusted if key else None)
    change = Change(RELEASE, who, why, run.run_id, _allowed(run, verdict, approval))
    return _launch(run, offer, change, serving, pace)


def _allowed(run: Run, verdict: Verdict, approval: Approval | None) -> tuple[str, ...]:
    """What the run was told to do although something forbade it; who approved it stands in the store's decisions/.

    Words, and not an object: readers of the version before take serving.json for damaged when it has another field.
    """
    start = checkpoint.started(run)
    allowed = start.allowed if start else ()
    if approval is None:
        return allowed
    unsure = [gate.metric for gate in verdict.gates if gate.undecided and not gate.passed]
    overrode = [f"override of {name}" for name in approval.overrode]
    undecided = [f"undecided {name}" for name in unsure if name not in approval.overrode]
    return (*allowed, APPROVAL, *overrode, *undecided)


def _launch(run: Run, offer: Offer, change: Change, begun: Serving, pace: Pace | None) -> Released:
    """Shift as the collection says, and swap the release live."""
    steps: tuple[Step, ...] = ()
    rollout = Rollout(run.store, run.collection.release, offer, change, pace)
    if run.collection.release.shift and begun.live_release:
        begun, steps = rollout.shift(begun)

    def swap(now: Serving) -> Serving:
        if steps:
            check_same(now, begun)
        else:
            _check_generation(now, begun.generation)  # which a rollback moves on, too
        return now.promoted(offer.release_id, offer.manifest_sha256, offer.candidate)

    try:
        after = swap_serving(run.store, change, swap)
    except SlipwayError:
        if steps:
            rollout.abandon()
        raise
    shift = tuple(asdict(step) for step in steps)
    return Released(True, offer.release_id, after.generation, f"live in slot {after.live}", shift)


def _read_back(run: Run, release_id: str, manifest_sha256: str, trusted: Trusted | None = None) -> None:
    """Load the release as a reader would, from the store and not from a former attempt's files."""
    run.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="read-back-", dir=run.scratch) as cache:
        load_release(run.store, release_id, Path(cache), manifest_sha256, trusted)


def name_release(candidate: Manifest, evaluation: Manifest) -> str:
    """The release's id: when its candidate was built, and what it is made of. The same candidate has the same id."""
    built = "".join(character for character in candidate.created_at[:19] if character.isdigit() or character == "T")
    return f"{built}-{fingerprint(candidate.digest, dict(evaluation.facts['parameters']))[:8]}"


def seal_release(
    run: Run,
    release_id: str,
    candidate: Manifest,
    evaluation: Manifest,
    verdict: Verdict,
    comparison: Manifest | None = None,
) -> Manifest:
    """Copy what a reader needs under one manifest; skipped when one is there already, whatever that says."""
    place = layout.release(release_id)
    if sealed := find(run.store, place):
        return sealed
    draft = Draft(run.store, place, "release", release_id, _inputs(candidate, evaluation))
    for sealed_object in candidate.objects:
        draft.add_copy(sealed_object)
    draft.add_copy(evaluation.one(artifact.SMOKE))
    own = {"gates": verdict.as_json(), "run_id": run.run_id, **_settings(run)}
    if comparison is not None and comparison.facts["noise"] is not None:
        own["noise"] = comparison.facts["noise"]
    return draft.seal(dict(candidate.counts), {**_facts(run, candidate, evaluation), **own})


def _settings(run: Run) -> dict[str, Any]:
    """What its encoder was called, the index settings that it was made with, and what the collection file said where
    that was something else.
    """
    start = checkpoint.started(run)
    said = start.settings.get(agreement.INSTEAD_OF) if start else None
    index = run.collection.index.model_dump(mode="json")
    own = {"encoder_name": run.collection.encoder.name, agreement.INDEX: index}
    return own | ({agreement.INSTEAD_OF: said} if said else {})


def _inputs(candidate: Manifest, evaluation: Manifest) -> dict[str, str]:
    return {"candidate": candidate.digest, "evaluation": evaluation.digest}


def _facts(run: Run, candidate: Manifest, evaluation: Manifest) -> dict[str, Any]:
    kept = {name: evaluation.facts[name] for name in ("metrics", "parameters", "parameters_reason", "golden")}
    return {**candidate.facts, **kept, "collection": run.collection.name}


def _sign_live(run: Run, live: Slot, candidate: Manifest, evaluation: Manifest) -> None:
    """Sign the live release with the collection's key, where it has one that has not signed it yet.

    Somebody else may have altered it since it went live, so it is compared and read back as a new one is.
    """
    key = signing.key_of(run)
    if key is None:
        return
    body = read_manifest_body(run.store, live.release_id, live.manifest_sha256)
    try:
        signing.check(run.store, live.release_id, body, key.trusted)
    except UntrustedRelease:
        body = _vouched_for(run, live.release_id, candidate, evaluation, live)
        _read_back(run, live.release_id, live.manifest_sha256)
        signing.sign(run.store, live.release_id, body, key)


def _vouched_for(
    run: Run, release_id: str, candidate: Manifest, evaluation: Manifest, slot: Slot | None = None
) -> bytes:
    """The bytes of the release's manifest, once they are known to say what this run's candidate and evaluation give.

    It may have been sealed by another run, or by somebody who may write to the store and nothing else. `slot` is where
    serving.json names it. Raises `ReleaseRefused` and `CorruptObject`.
    """
    body = read_manifest_body(run.store, release_id, slot.manifest_sha256 if slot else None)
    key = manifest_key(release_id)
    sealed = Manifest.from_json(body, key)
    found = _content(sealed, sealed.inputs, sealed.facts)
    own = replace(candidate, objects=(*candidate.objects, evaluation.one(artifact.SMOKE)))
    expected = _content(own, _inputs(candidate, evaluation), _facts(run, candidate, evaluation))
    differs = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if differs:
        raise ReleaseRefused(
            f"{key} is not what this run's candidate and evaluation give: {', '.join(differs)} differ. It was sealed "
            f"with another evaluation (of another golden file, say), or somebody altered it; so it is neither signed "
            f"nor released. Where {layout.SERVING} names it, restore it from a backup; otherwise delete {key} and the "
            f"signature beside it, and run again: it is sealed anew"
        )
    return body


def _content(made: Manifest, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> dict[str, str]:
    """What a release's manifest says of its content, by name, each value as JSON: that is how it is stored."""
    objects = sorted([one.name, one.sha256, one.size_bytes] for one in made.objects)
    of_content = {f"facts.{name}": value for name, value in facts.items() if name not in _OF_ITS_RUN}
    values = {"inputs": inputs, "counts": made.counts, "objects": objects, **of_content}
    return {name: json.dumps(value, sort_keys=True, default=dict) for name, value in values.items()}


def _check(candidate: Manifest, evaluation: Manifest, verdict: Verdict, approval: Approval | None) -> None:
    if refused := not_covered(verdict, approval):
        raise GateRefused("the candidate was refused: " + "; ".join(gate.reason for gate in refused))
    if evaluation.inputs.get("candidate") != candidate.digest:
        raise ReleaseRefused("the evaluation is of another candidate; evaluate this one first")


def _changed_by(serving: Serving, run: Run) -> bool:
    """Whether what serves is as a former attempt of this run left it, which was killed or failed in between."""
    last = serving.changed
    if serving.shift and serving.shift.run_id == run.run_id:
        return True
    return last is not None and last.run_id == run.run_id and last.action in (RELEASE, SHIFT, TAKE_BACK)


def check_not_withdrawn(serving: Serving, release_id: str, candidate: Manifest) -> None:
    """What was rolled back does not come back by itself, not even with other search-time parameters.

    Raises `ReleaseRefused`.
    """
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
