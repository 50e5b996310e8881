"""A contract tried on what is live, without building or releasing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slipway.choosing.choice import searched
from slipway.choosing.subject import Subject
from slipway.config.index import Index
from slipway.errors import InputError
from slipway.index import artifact, payload
from slipway.manifest import fetch
from slipway.run import Run
from slipway.serving.catalogue import named_releases


def try_live(run: Run, index: Index) -> dict[str, Any]:
    """Which index the contract of these settings leads to for the live release's vectors, and what was tried.

    Keys: `release_id`, `contract`, `spec`, `reason`, `front`, `vectors`, `queries`, `seconds`. Nothing is sealed.
    Raises `InputError` without a contract or a release, and `IndexRefused` that says what would be possible.
    """
    if index.contract is None:
        raise InputError(
            f"collection {run.collection.name} has no index contract; give one with --contract, such as "
            "'{recall_at_10: 0.95, p95_ms: 10, memory: 2GiB}'"
        )
    live = next(iter(named_releases(run.store).values()), None)
    if live is None:
        raise InputError(
            f"collection {run.collection.name} has no release whose vectors a contract could be tried on; start with "
            "slipway run"
        )
    wanted = replace(run, collection=run.collection.with_settings(run.collection.encoder, index))
    rows = fetch(run.store, live.one(artifact.ROWS), run.scratch)
    run.scratch.mkdir(parents=True, exist_ok=True)
    encoder = str(live.facts["encoder"])
    vectors = payload.gather(run.store, encoder, rows, run.scratch / "vectors.npy", run.scratch)
    facts = searched(Subject(wanted, live, encoder, vectors, live), "somebody asks")
    chosen = facts["specs"][0]
    return {
        "collection": run.collection.name,
        "release_id": live.fingerprint,
        "contract": index.contract.model_dump(mode="json"),
        "spec": chosen["factory"],
        "reason": chosen["reason"],
        **{name: facts[name] for name in ("front", "vectors", "queries", "seconds")},
    }
