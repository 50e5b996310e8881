"""The beginning of a campaign: whatever can be found wrong in a second is found wrong now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from slipway import agreement, checkpoint, signing
from slipway.agreement import Live
from slipway.checkpoint import Checkpoint, Start
from slipway.config.load import index_settings, named_encoder
from slipway.encoders import find_model
from slipway.errors import ConfigError, InputError
from slipway.evaluation.golden import read_golden
from slipway.index.build import make
from slipway.index.spec import resolve
from slipway.pointer import read_serving
from slipway.reindex.asking import CAMPAIGN, Asked, Campaign
from slipway.run import Run


def begin(run: Run, asked: Asked, folder: Path) -> Start:
    """Check what was asked, and seal it with what the campaign found and is built with.

    `folder` holds the collection files; encoder files lie beside it. A retry gets what the first attempt sealed. Raises
    the error that names what to mend, and nothing is sealed then: also where nothing was ever released, and where the
    campaign would change nothing.
    """
    if (found := checkpoint.started(run)) is not None:
        return found
    asked = asked.checked()
    live, base = _built_upon(run)
    _check_golden(run, asked)
    wanted = _wanted(run, asked, folder)
    signing.key_of(run)
    fingerprint = find_model(wanted.collection.encoder).fingerprint
    _check_is_a_change(run, wanted, fingerprint, live)
    serving, _ = read_serving(run.store)
    settings = {
        "encoder": wanted.collection.encoder.model_dump(mode="json"),
        "index": wanted.collection.index.model_dump(mode="json"),
        agreement.INSTEAD_OF: agreement.said_by(run, live),
        CAMPAIGN: Campaign(asked, live.fingerprint).as_json(),
    }
    return checkpoint.begin(
        run,
        Start(
            serving.generation,
            live.manifest.fingerprint,
            fingerprint,
            base.place,
            allowed=("encoder_change",) if fingerprint != live.fingerprint else (),
            settings=settings,
            note=_note(run, asked, wanted),
        ),
    )


def _built_upon(run: Run) -> tuple[Live, Checkpoint]:
    live, base = agreement.live_of(run), checkpoint.newest(run.store)
    if live is None or base is None:
        raise InputError(
            f"collection {run.collection.name} has {'no release' if live is None else 'no checkpoint'} yet, so there "
            "is nothing to build a campaign on and to judge it by; start with a nightly run (slipway run)"
        )
    return live, base


def _check_golden(run: Run, asked: Asked) -> None:
    golden = run.collection.golden
    if golden is not None:
        read_golden(golden.queries)
    elif not asked.approval:
        raise InputError(
            "approval: a campaign without approval needs golden queries to be judged by, and the collection file names "
            "no golden file; add one (field golden), or have a person approve it"
        )


def _wanted(run: Run, asked: Asked, folder: Path) -> Run:
    """The run with the encoder and the index that were asked for, once they are known to be sound."""
    encoder = named_encoder(folder, asked.encoder)
    index = index_settings(asked.index, agreement.index_of(run))
    make(resolve(index, 1, encoder.dimension), encoder.dimension, index.ef_construction)
    return replace(run, collection=run.collection.with_settings(encoder, index))


def _note(run: Run, asked: Asked, wanted: Run) -> str:
    note = f"reindex campaign of {asked.who}: {asked.reason}"
    index = wanted.collection.index
    if asked.index or index == run.collection.index:
        return note
    return f"{note} (with the live release's index, {index.named}, and not the collection file's)"


def _check_is_a_change(run: Run, wanted: Run, fingerprint: str, live: Live) -> None:
    index = live.index or run.collection.index
    if fingerprint == live.fingerprint and wanted.collection.index == index:
        raise ConfigError(
            f"the live release {live.manifest.fingerprint} is of encoder {wanted.collection.encoder.name} "
            f"({fingerprint}) and of these index settings already ({index.named}), so this campaign would change "
            "nothing; name another encoder or index"
        )
