"""The command `slipway keygen`: a pair of keys that releases are signed and checked with."""

from __future__ import annotations

from typing import Any

from slipway.cli.commands import main
from slipway.cli.context import guarded
from slipway.cli.options import JSON


@main.command()
@JSON
def keygen(as_json: bool) -> None:
    """Make a pair of keys for signing releases, and say where each belongs. Nothing is stored.

    The private key is the password of a connection that a collection file names as release.signing. The public key goes
    to the readers, which then serve no other releases.
    """
    with guarded(as_json) as output:
        from slipway.signing import new_key

        private, key = new_key()
        output.write({"private_key": private, "public_key": key.public_text, "key_id": key.key_id}, keys)


def keys(made: dict[str, Any]) -> str:
    """Both keys and where each belongs."""
    return f"""\
private key  {made["private_key"]}
public key   {made["public_key"]}
key id       {made["key_id"]}

The private key is shown this once and kept nowhere: put it where your other secrets are.

1. Where releases are made, as the password of a connection, in Airflow (type Generic) or in the environment:
       AIRFLOW_CONN_SLIPWAY_SIGNING='{{"conn_type": "generic", "password": "{made["private_key"]}"}}'
2. In the collection file:
       release: {{signing: slipway_signing}}
   and then: slipway doctor <collection>
3. Once the live release is signed, where readers run, one key or several with commas between:
       SLIPWAY_PUBLIC_KEY={made["public_key"]}

To change the key: give the readers both public keys, change the connection, wait until no release that was signed with
the former key is kept, then take its public key from the readers."""
