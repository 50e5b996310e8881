"""Connections without Airflow, under Airflow's own convention: AIRFLOW_CONN_<ID> as a URI or as JSON.

Airflow's fields (`conn_type`, `host`, `login`, …) become a SQLAlchemy URL in `sqlalchemy_url`, which the Airflow
side of the project can use for connections that Airflow resolved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from slipway.errors import ConnectionMissing, InputError
from slipway.run import Connection

_POSTGRES = {"postgres", "postgresql"}
# libpq refuses what it does not know, and Airflow's hooks keep options of their own among the extras.
_LIBPQ_EXTRAS = {
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "gssencmode", "host", "keepalives",
    "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "options", "passfile", "port",
    "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslpassword", "sslrootcert", "target_session_attrs",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fields:
    """A connection in Airflow's fields. `repr` never shows the password or the extras."""

    conn_type: str
    host: str = ""
    schema: str = ""
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


def environment_connections(name: str) -> Connection:
    """The connection that the environment variable AIRFLOW_CONN_<NAME> describes.

    Raises `ConnectionMissing` when it is not set and `InputError` when it cannot be understood.
    """
    return Connection(name, sqlalchemy_url(_environment_fields(name)))


def environment_secrets(name: str) -> str:
    """The password of the connection that the environment variable AIRFLOW_CONN_<NAME> describes.

    Raises as `environment_connections` does, and `InputError` when the connection has no password.
    """
    return password_of(name, _environment_fields(name).password)


def password_of(name: str, password: str | None) -> str:
    """`password`, the connection's of that name. Raises `InputError` when it has none."""
    if not password:
        raise InputError(f"connection {name!r} has no password; put the secret there")
    return password


def _environment_fields(name: str) -> Fields:
    variable = f"AIRFLOW_CONN_{name.upper()}"
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConnectionMissing(
            f"there is no connection {name!r}: set {variable} to a URI such as sqlite:////path/to/file.db, "
            "postgresql://user:password@host:5432/database or, of a service with a key, http://:key@host; or add the "
            "connection to Airflow"
        )
    try:
        return _from_json(value) if value.startswith("{") else _from_uri(value)
    except (ValueError, TypeError, KeyError):
        raise InputError(  # the parser's own words may quote the password
            f"{variable} is neither a connection URI (type://login:password@host:port/schema, with special "
            'characters percent-encoded) nor JSON such as {"conn_type": "postgres", "host": …}; correct it'
        ) from None


def sqlalchemy_url(fields: Fields) -> str:
    """The SQLAlchemy URL of a connection in Airflow's fields. It carries the password: never log or store it."""
    from sqlalchemy.engine import URL

    kind = fields.conn_type.lower().replace("-", "_")
    query = {
        key: str(value) for key, value in fields.extra.items() if isinstance(value, str | int) and key != "__extra__"
    }
    if kind == "sqlite":  # Airflow keeps the path in the host, or in the schema, or cut in two
        return URL.create("sqlite", database="/".join(filter(None, (fields.host, fields.schema)))).render_as_string()
    if kind.partition("+")[0] in _POSTGRES:
        kind = "postgresql+psycopg" if kind in _POSTGRES else kind  # the bare name means another driver by version
        query = {key: value for key, value in query.items() if key in _LIBPQ_EXTRAS}
    url = URL.create(
        kind,
        username=fields.login or None,
        password=fields.password or None,
        host=fields.host or None,
        port=fields.port,
        database=fields.schema or None,
        query=query,
    )
    return url.render_as_string(hide_password=False)


def _from_json(value: str) -> Fields:
    raw = json.loads(value)
    extra = raw.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else extra
    if not isinstance(extra, dict):
        raise TypeError("extra is not a JSON object")
    return Fields(
        conn_type=str(raw["conn_type"]),
        host=str(raw.get("host") or ""),
        schema=str(raw.get("schema") or ""),
        login=raw.get("login"),
        password=raw.get("password"),
        port=int(raw["port"]) if raw.get("port") else None,
        extra=extra,
    )


def _from_uri(value: str) -> Fields:
    uri = urlsplit(value)
    if not uri.scheme or "://" not in value:
        raise ValueError("not a URI")
    user_part, _, host_part = uri.netloc.rpartition("@")
    login, _, password = user_part.partition(":")
    host, port = _host_and_port(host_part)
    return Fields(
        conn_type=uri.scheme,
        host=unquote(host),
        schema=unquote(uri.path[1:]),
        login=unquote(login),
        password=unquote(password),
        port=port,
        extra=dict(parse_qsl(uri.query, keep_blank_values=True)),
    )


def _host_and_port(part: str) -> tuple[str, int | None]:
    """ "host", "host:5432", "[::1]:5432" → host and port. Raises ValueError."""
    if part.startswith("["):
        host, _, rest = part[1:].partition("]")
        return host, int(rest[1:]) if rest else None
    host, _, port = part.partition(":")
    return host, int(port) if port else None
