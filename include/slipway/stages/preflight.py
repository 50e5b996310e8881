"""Before any work: everything that can be found wrong in a second is found wrong now."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.config import SqlSource
from slipway.encoders import find_model
from slipway.errors import EncoderError
from slipway.evaluation.golden import read_golden
from slipway.index.build import make
from slipway.index.spec import resolve
from slipway.pointer import Slot, read_serving
from slipway.run import Run
from slipway.serving.loading import read_release_manifest


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a run found when it began: serving.json's generation, the live release, the encoder's fingerprint."""

    generation: int
    live_release: str | None
    encoder: str


def preflight(run: Run, allow_encoder_change: bool = False) -> Preflight:
    """Check store, connections, model, golden file and index spec. Raises the error that names what to mend.

    Refuses an encoder of another vector space than the live release's, unless the change is allowed.
    """
    collection = run.collection
    serving, _ = read_serving(run.store)
    for source in collection.sources:
        if isinstance(source, SqlSource):
            run.connections(source.connection)
    if collection.golden:
        read_golden(collection.golden.queries)
    make(
        resolve(collection.index, 1, collection.encoder.dimension),
        collection.encoder.dimension,
        collection.index.ef_construction,
    )
    model = find_model(collection.encoder)
    live = serving.live_release
    if live and not allow_encoder_change:
        _check_space(run, live, model.fingerprint)
    return Preflight(serving.generation, live.release_id if live else None, model.fingerprint)


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
