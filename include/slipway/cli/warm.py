"""The command `slipway warm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway import settings
from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import COLLECTIONS, JSON, NAME

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder


@main.command()
@NAME
@COLLECTIONS
@JSON
def warm(collection: str, collections: str | None, as_json: bool) -> None:
    """Load COLLECTION's encoder, so that what is found out about it is in SLIPWAY_CACHE for later processes.

    Says what computes it here, and why. For images, and for machines before their first night or search; the store is
    not needed.
    """
    with guarded(as_json) as output:
        from slipway.config import load_collection
        from slipway.connections import environment_secrets
        from slipway.encoders import load_encoder

        described = load_collection(settings.collections_folder(collections), collection)
        encoder = load_encoder(described.encoder, described.embed, secrets=environment_secrets)
        output.write({"collection": collection, **told(encoder)}, sentence)


def told(encoder: TextEncoder) -> dict[str, Any]:
    """What computes the encoder here, why, and where that is kept; None where it is not."""
    from slipway.encoders import remembered
    from slipway.encoders.choosing import choice_of

    choice = choice_of(encoder)
    is_kept = remembered.can_keep(encoder.fingerprint)
    return {
        "encoder": encoder.fingerprint,
        "backend": encoder.backend,
        "device": encoder.device,
        "chosen": str(choice) if choice else None,
        "kept": str(remembered.place(encoder.fingerprint, "")) if is_kept else None,
    }


def sentence(document: dict[str, Any]) -> str:
    """The document in words."""
    chosen = document["chosen"] or f"{document['backend']} on {document['device']}"
    kept = f"kept in {document['kept']}" if document["kept"] else "kept nowhere: set SLIPWAY_CACHE"
    return f"{document['collection']}: encoder {document['encoder']} by {chosen}; {kept}"
