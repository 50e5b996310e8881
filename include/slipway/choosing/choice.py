"""The choice of an index: sealed, so that a retry does not try again, and taken over from last night where it holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slipway import layout
from slipway.building.deciding import in_shards
from slipway.choosing.subject import Subject
from slipway.evaluation.demands import of_contract
from slipway.evaluation.gates import judge
from slipway.index import artifact
from slipway.index.contract import Found, Tried, check_possible, fronted, search
from slipway.index.spec import Spec
from slipway.manifest import MANIFEST, Draft, Manifest, find, fingerprint, load
from slipway.sizes import size

VERSION = 2
FACT = "contract"  # of a candidate, a release and a choice
GROWTH = 1.5  # since the last whole search, from which on another is made
LAST_NIGHT, TRIED = "as last night", "tried"

logger = logging.getLogger("slipway.contract")


@dataclass(frozen=True, slots=True)
class Choice:
    """The index that a contract leads to. `place` is where it is sealed, `facts` what is sealed there."""

    place: str
    facts: Mapping[str, Any]

    @property
    def specs(self) -> list[Spec]:
        """The chosen spec, and those to take where it is not confirmed, each with its reason."""
        return [Spec(**one) for one in self.facts["specs"]]

    @property
    def spec(self) -> Spec:
        """The chosen one."""
        return self.specs[0]

    @property
    def reason(self) -> str:
        """Why this one, in a sentence."""
        return self.spec.reason

    @property
    def front(self) -> list[Tried]:
        """All that was tried or left out, from cheap to dear; `on_front` marks the Pareto front."""
        return [Tried(**one) for one in self.facts["front"]]

    @property
    def is_warm(self) -> bool:
        """Whether it was taken over from the live release."""
        return bool(self.facts["how"] == LAST_NIGHT)


def choose(subject: Subject, *, anew: bool = False) -> Choice:
    """The index for the subject's vectors, sealed at layout.choice: found there by a retry, which tries nothing again.

    Last night's choice is taken over where the contract and the settings are the same, the vectors have not grown by
    half since it was tried for, no clause refused what was chosen since, and it is not served in shards where shards
    are to be merged; `anew` forbids that. Facts: the `contract`, the `specs` in the order to take them, the `front`,
    `how` it came about and why, `vectors` (how many the search was for), `queries`, `seconds`. Raises `IndexRefused`
    that says which clause cannot be kept and what would be possible.
    """
    print_of = _fingerprint(subject, anew)
    place = layout.choice(print_of)
    sealed = find(subject.run.store, place)
    if sealed is None:
        warm, why = (None, "last night's choice was not confirmed") if anew else _last_night(subject)
        facts = _taken_over(subject, warm) if warm else searched(subject, why)
        draft = Draft(subject.run.store, place, "choose", print_of, {"chunks": subject.chunks.digest})
        sealed = draft.seal({}, {**_about(subject), **facts})
    logger.info("index contract: %s: %s", sealed.facts["specs"][0]["factory"], sealed.facts["specs"][0]["reason"])
    return Choice(place, sealed.facts)


def _fingerprint(subject: Subject, anew: bool) -> str:
    golden = subject.golden
    live = subject.live.fingerprint if subject.live else None
    of_vectors = (subject.chunks.fingerprint, subject.encoder, _shaping(subject))
    run = subject.run
    is_merged = in_shards(run, len(subject.vectors)) and run.collection.index.shards.release == "merged"
    return fingerprint("choice", VERSION, *of_vectors, golden.sha256 if golden else None, live, anew, is_merged)


def _shaping(subject: Subject) -> dict[str, Any]:
    """The index settings that a choice depends on."""
    index = subject.run.collection.index
    names = {"metric", "contract", "seed", "train_vectors", "ef_construction", "search"}
    return index.model_dump(mode="json", include=names)


def _about(subject: Subject) -> dict[str, Any]:
    return {
        FACT: subject.contract.model_dump(mode="json"),
        "settings": _shaping(subject),
        "encoder": subject.encoder,
        "snapshot": subject.chunks.facts["snapshot"],
    }


def _last_night(subject: Subject) -> tuple[Manifest | None, str]:
    """The live release, if its choice can be taken over; else why not."""
    live, count = subject.live, len(subject.vectors)
    if live is None:
        return None, "nothing is released yet"
    held = live.facts.get(FACT)
    if held is None:
        return None, "the live release was not made for a contract"
    if (held["settings"], live.facts["encoder"]) != (_shaping(subject), subject.encoder):
        return None, "the contract, the index settings or the encoder have changed"
    if not held["vectors"] / GROWTH < count < held["vectors"] * GROWTH:
        return None, f"there are {count:,} vectors, the last search was for {held['vectors']:,}"
    spec = Spec(**live.facts["spec"])
    is_apart = artifact.SHARDS in {sealed.name for sealed in live.objects}
    if is_apart and (why := subject.settings.apart(spec, *subject.vectors.shape)):
        return None, f"{spec.factory} is served in shards, which cannot be merged: {why}"
    if refused := _refused_since(subject, live):
        return None, f"what was chosen since for the same contract did not keep it: {refused}"
    return live, ""


def _refused_since(subject: Subject, live: Manifest) -> str:
    """The clauses of the contract that the last candidate chosen for it since the live release did not keep.

    Empty where there is none, or where something else kept it from going live: another gate, a kill, a rollback.
    """
    shaping = (_shaping(subject), subject.encoder)
    chosen = {
        made.place
        for made in _newer(subject, layout.CHOICES, live)
        if (made.facts["settings"], made.facts["encoder"]) == shaping
    }
    if not chosen:
        return ""
    measured = [made for made in _newer(subject, layout.EVALUATIONS, live) if _choice_of(subject, made) in chosen]
    if not measured:
        return ""
    metrics = max(measured, key=lambda made: (made.created_at, made.place)).facts["metrics"]
    clauses = {metric: gate for metric, gate in of_contract(subject.contract).items() if metric in metrics}
    return "; ".join(gate.reason for gate in judge(clauses, metrics, None).gates if not gate.passed)


def _newer(subject: Subject, prefix: str, live: Manifest) -> Iterator[Manifest]:
    """What was sealed under a prefix since the live release."""
    for info in list(subject.run.store.list(prefix)):
        if info.key.endswith(f"/{MANIFEST}"):
            made = load(subject.run.store, info.key.removesuffix(f"/{MANIFEST}"))
            if made.created_at > live.created_at:
                yield made


def _choice_of(subject: Subject, evaluation: Manifest) -> str | None:
    """The place of the choice that an evaluated candidate was made by; None where it was swept away."""
    place = evaluation.facts.get("candidate")
    candidate = find(subject.run.store, place) if place else None
    return candidate.facts.get("choice") if candidate else None


def _taken_over(subject: Subject, live: Manifest) -> dict[str, Any]:
    spec, held = live.facts["spec"], live.facts[FACT]
    reason = f"{LAST_NIGHT} (release {live.fingerprint}), for the contract {subject.contract}"
    return {
        "specs": [{**spec, "reason": reason}],
        "front": held["front"],
        "vectors": held["vectors"],
        "queries": held["queries"],
        "how": LAST_NIGHT,
        "why": reason,
        "seconds": 0.0,
    }


def searched(subject: Subject, why: str) -> dict[str, Any]:
    """The facts of a whole search, made because of `why`. Raises `IndexRefused`."""
    logger.info("index contract: candidates are tried for %s, as %s", subject.contract, why)
    check_possible(len(subject.vectors), subject.vectors.shape[1], subject.run.collection.index)
    queries = subject.queries()
    found = search(subject.vectors, queries, subject.settings)
    index = subject.run.collection.index
    reasons = [_reason(one, found, place, len(queries.tuning), queries.source) for place, one in enumerate(found.order)]
    return {
        "specs": [
            {"factory": one.spec, "metric": index.metric, "seed": index.seed, "reason": reason}
            for one, reason in zip(found.order, reasons, strict=True)
        ],
        "front": fronted(found.tried),
        "vectors": len(subject.vectors),
        "queries": {"source": queries.source, "tuning": len(queries.tuning), "held_out": len(queries.held_out)},
        "how": TRIED,
        "why": why,
        "seconds": found.seconds,
    }


def _reason(one: Tried, found: Found, place: int, queries: int, source: str) -> str:
    measured = sum(bool(other.measured_on) for other in found.tried)
    which = "the least memory" if place == 0 else f"number {place + 1} by memory"
    return (
        f"{which} of {len(found.order)} that keep the contract, {measured} tried: recall@10 {one.recall_at_10:.3f} on "
        f"{queries} tuning queries ({source}), p95 {one.p95_ms:.3g} ms, {size(one.memory_bytes)}, built in about "
        f"{one.build_seconds:.3g} s"
    )
