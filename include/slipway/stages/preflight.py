"""Before any work: everything that can be found wrong in a second is found wrong now."""

from __future__ import annotations

from collections.abc import Collection

from slipway import checkpoint, signing
from slipway.checkpoint import ALLOWANCES, Start
from slipway.config import SqlSource
from slipway.encoders import find_model
from slipway.errors import EncoderError, InputError
from slipway.evaluation.golden import read_golden
from slipway.index.build import make
from slipway.index.spec import resolve
from slipway.pointer import Slot, read_serving
from slipway.run import Run
from slipway.serving.loading import read_release_manifest


def preflight(run: Run, allowed: Collection[str] = (), full: bool = False) -> Start:
    """Check store, connections, model, golden file and index spec, and seal what the run found and may do.

    `allowed` names what a person allowed this run (checkpoint.ALLOWANCES); `full` has every source read in full, though
    the run builds on the newest checkpoint all the same. A retry checks anew and gets what the first attempt sealed.
    Raises the error that names what to mend, and nothing is sealed then. Refuses an encoder of another vector space
    than the live release's, unless "encoder_change" is allowed.
    """
    _check_allowances(allowed)
    serving, _ = read_serving(run.store)
    encoder = _check_collection(run)
    live = serving.live_release
    if live and "encoder_change" not in allowed:
        _check_space(run, live, encoder)
    base = checkpoint.newest(run.store)
    found = Start(
        serving.generation,
        live.release_id if live else None,
        encoder,
        base.place if base else None,
        full,
        tuple(sorted(set(allowed))),
    )
    return checkpoint.begin(run, found)


def _check_allowances(allowed: Collection[str]) -> None:
    if unknown := sorted(set(allowed) - set(ALLOWANCES)):
        raise InputError(f"a run cannot be allowed {', '.join(unknown)}; what can be allowed: {', '.join(ALLOWANCES)}")


def _check_collection(run: Run) -> str:
    """Raise the error of what the collection names and is not there or not sound. The encoder's fingerprint."""
    collection = run.collection
    for source in collection.sources:
        if isinstance(source, SqlSource):
            run.connections(source.connection)
    signing.key_of(run)
    if collection.golden:
        read_golden(collection.golden.queries)
    make(
        resolve(collection.index, 1, collection.encoder.dimension),
        collection.encoder.dimension,
        collection.index.ef_construction,
    )
    return find_model(collection.encoder).fingerprint


def _check_space(run: Run, live: Slot, fingerprint: str) -> None:
    facts = read_release_manifest(run.store, live.release_id, live.manifest_sha256).facts
    if facts["encoder"] == fingerprint:
        return
    encoder = run.collection.encoder
    raise EncoderError(
        f"the live release {live.release_id} was built by encoder {facts['encoder']} with dimension "
        f"{facts['dimension']}; the collection now names {encoder.name} ({fingerprint}, dimension "
        f"{encoder.dimension}). Every document would "
        f"be embedded again and readers would move to another vector space: allow it for this run "
        f"(--allow-encoder-change, or the DAG's parameter of that name), or put the former encoder back"
    )
