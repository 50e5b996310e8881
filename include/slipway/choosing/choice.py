"""The choice of an index: sealed, so that a retry does not try again, and taken over from last night where it holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway import layout
from slipway.choosing.subject import Subject
from slipway.index.contract import Found, Tried, check_possible, search, wording
from slipway.index.contract.tried import mib
from slipway.index.spec import Spec
from slipway.manifest import MANIFEST, Draft, Manifest, find, fingerprint, load

VERSION = 1
FACT = "contract"  # of a candidate, a release and a choice
GROWTH = 1.5  # since the last whole search, from which on another is made
LAST_NIGHT, TRIED = "as last night", "tried"

logger = logging.getLogger("slipway")


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
    half since it was tried for, and what was chosen since was released; `anew` forbids that. Facts: the `contract`,
    the `specs` in the order to take them, the `front`, `how` it came about and why, `vectors` (how many the search was
    for), `queries`, `seconds`. Raises `IndexRefused` that says which clause cannot be kept and what would be possible.
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
    return fingerprint("choice", VERSION, *of_vectors, golden.sha256 if golden else None, live, anew)


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
    if since := _chosen_since(subject, live):
        return None, f"what was chosen since for the same contract ({since}) was not released"
    return live, ""


def _chosen_since(subject: Subject, live: Manifest) -> str | None:
    """The place of a choice for the same contract that is newer than the live release: its index did not go live."""
    keys = (info.key for info in subject.run.store.list(layout.CHOICES))
    for place in sorted(key.removesuffix(f"/{MANIFEST}") for key in keys if key.endswith(f"/{MANIFEST}")):
        made = load(subject.run.store, place)
        same = (made.facts["settings"], made.facts["encoder"]) == (_shaping(subject), subject.encoder)
        if same and made.created_at > live.created_at:
            return place
    return None


def _taken_over(subject: Subject, live: Manifest) -> dict[str, Any]:
    spec, held = live.facts["spec"], live.facts[FACT]
    reason = f"{LAST_NIGHT} (release {live.fingerprint}), for the contract {wording(subject.contract)}"
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
    logger.info("index contract: candidates are tried for %s, as %s", wording(subject.contract), why)
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
        "front": [one.as_json() for one in sorted(found.tried, key=lambda one: (one.memory_bytes, one.spec))],
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
        f"{queries} tuning queries ({source}), p95 {one.p95_ms:.3g} ms, {mib(one.memory_bytes)}, built in about "
        f"{one.build_seconds:.3g} s"
    )
