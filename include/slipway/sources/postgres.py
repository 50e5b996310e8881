"""SQL that only PostgreSQL understands, the same for both drivers."""

from __future__ import annotations

import json
from collections.abc import Sequence

from slipway.sources.plain import text_of

IDS = "slipway.ids"  # a setting of the transaction: a parameter that COPY can take


def quoted(name: str) -> str:
    """An identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def type_of(column: str, rows: str) -> str:
    """A query for the type of a column of `rows` (what stands after FROM), as CAST takes it; it reads no row.

    The name carries its schema: CAST takes a bare "character" or "bit" for a type of length one.
    """
    return (
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname) FROM pg_catalog.pg_type AS t "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace "
        f"WHERE t.oid = pg_typeof((SELECT {quoted(column)} FROM {rows} LIMIT 0))"
    )


def has_id(column: str, kind: str) -> str:
    """The condition that a column of that type is one of the ids that the setting `IDS` lists; an index serves it."""
    listed = f"json_array_elements_text(CAST(current_setting('{IDS}') AS json)) AS ids(value)"
    return f"{quoted(column)} = ANY (ARRAY(SELECT CAST(value AS {kind}) FROM {listed}))"


def listed(ids: Sequence[object]) -> str:
    """What the setting `IDS` must be for these ids: a JSON array of what the server reads each type from."""
    return json.dumps(["\\x" + value.hex() if isinstance(value, bytes) else _text(value) for value in ids])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else text_of(value)
