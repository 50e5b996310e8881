"""Before any work: everything that can be found wrong in a second is found wrong now."""

from __future__ import annotations

import logging
from collections.abc import Collection

from slipway import agreement, checkpoint, signing
from slipway.agreement import Followed
from slipway.checkpoint import ALLOWANCES, Start
from slipway.config import SqlSource
from slipway.encoders import find_model
from slipway.errors import InputError
from slipway.evaluation.golden import read_golden
from slipway.index.build import make
from slipway.index.contract import check_possible
from slipway.index.spec import resolve
from slipway.pointer import read_serving
from slipway.run import Run

logger = logging.getLogger("slipway")


def preflight(run: Run, allowed: Collection[str] = (), full: bool = False) -> Start:
    """Check store, connections, model, golden file and index spec, and seal what the run found and may do.

    `allowed` names what a person allowed this run (checkpoint.ALLOWANCES); `full` has every source read in full, though
    the run builds on the newest checkpoint all the same. A retry checks anew and gets what the first attempt sealed.
    An index contract that cannot be kept, by estimate for as many vectors as are live, is refused.
    Raises the error that names what to mend, and nothing is sealed then. Where the live release is of another vector
    space than the collection file names, the run follows the live release if it is known how they came to differ
    (slipway.agreement), and is refused otherwise; with "encoder_change" allowed it follows the file.
    """
    _check_allowances(allowed)
    serving, _ = read_serving(run.store)
    followed = Followed({}, "") if "encoder_change" in allowed else agreement.follow(run)
    wanted = checkpoint.with_settings(run, followed.settings)
    encoder = _check_collection(wanted)
    _check_contract(wanted)
    if followed.note:
        logger.warning("preflight: %s", followed.note)
    live = serving.live_release
    base = checkpoint.newest(run.store)
    found = Start(
        serving.generation,
        live.release_id if live else None,
        encoder,
        base.place if base else None,
        full,
        tuple(sorted(set(allowed))),
        followed.settings,
        followed.note,
    )
    return checkpoint.begin(run, found)


def _check_allowances(allowed: Collection[str]) -> None:
    if unknown := sorted(set(allowed) - set(ALLOWANCES)):
        raise InputError(f"a run cannot be allowed {', '.join(unknown)}; what can be allowed: {', '.join(ALLOWANCES)}")


def _check_contract(run: Run) -> None:
    """Raise `IndexRefused` for an index contract that no index of as many vectors as the live one's can keep."""
    live = agreement.live_of(run)
    if live is not None:
        check_possible(live.manifest.counts["vectors"], run.collection.encoder.dimension, run.collection.index)


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
