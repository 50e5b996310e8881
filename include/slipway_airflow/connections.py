"""Airflow connections → SQLAlchemy URLs. What is found here carries secrets: it is used, never logged or returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import ConnectionMissing, InputError
from slipway.run import Connection

if TYPE_CHECKING:
    from airflow.sdk import Connection as AirflowConnection

# One rule with the command line for these two. The PostgreSQL hook's URL leaves out the TLS options of the extras.
_BY_FIELDS = {"sqlite", "postgres"}
_LOGIN_BY_HOOK = {"iam", "azure_conn_id"}  # extras with which the hook fetches a token instead of the password


def airflow_connections(name: str) -> Connection:
    """The Airflow connection of that name, from the environment, the secrets backend or the metadata database.

    Any connection type whose provider has an SQL hook works. Raises `ConnectionMissing` when there is none of that
    name, and `InputError` when it is of a type that cannot be read with SQL.
    """
    found = _find(name)
    url = _url(found)
    if found.password:
        from airflow.sdk.log import mask_secret

        mask_secret(url)
    return Connection(name, url)


def airflow_secrets(name: str) -> str:
    """The password of the Airflow connection of that name, of whatever type; kept out of all logs.

    Raises `ConnectionMissing`, and `InputError` when it has none.
    """
    from airflow.sdk.log import mask_secret

    from slipway.connections import password_of

    password = password_of(name, _find(name).password)
    mask_secret(password)
    return password


def _find(name: str) -> AirflowConnection:
    from airflow.sdk import Connection as AirflowConnection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found: AirflowConnection = AirflowConnection.get(name)
    except AirflowNotFoundException:
        raise ConnectionMissing(
            f"there is no connection {name!r}: add it in the Airflow UI (Admin, Connections), with "
            f"`airflow connections add {name} --conn-uri …`, or as the environment variable "
            f"AIRFLOW_CONN_{name.upper()} of every worker; then run again"
        ) from None
    return found


def _url(found: AirflowConnection) -> str:
    if found.conn_type in _BY_FIELDS and not _LOGIN_BY_HOOK & found.extra_dejson.keys():
        return _url_by_fields(found)
    return _url_by_hook(found)


def _url_by_fields(found: AirflowConnection) -> str:
    from slipway.connections import Fields, sqlalchemy_url

    return sqlalchemy_url(
        Fields(
            conn_type=str(found.conn_type),
            host=found.host or "",
            schema=found.schema or "",
            login=found.login,
            password=found.password,
            port=found.port,
            extra=found.extra_dejson,
        )
    )


def _url_by_hook(found: AirflowConnection) -> str:
    from airflow.sdk.exceptions import AirflowException

    try:
        hook: Any = found.get_hook()  # type: ignore[no-untyped-call]
    except (AirflowException, ImportError):
        raise InputError(
            f"connection {found.conn_id!r} is of type {found.conn_type!r}, for which no Airflow provider is installed: "
            "install the provider on the workers, or correct the connection's type"
        ) from None
    try:
        return str(hook.sqlalchemy_url.render_as_string(hide_password=False))
    except (AttributeError, NotImplementedError):  # hooks older than the property
        pass
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise InputError(
            f"connection {found.conn_id!r} is of type {found.conn_type!r}, which cannot be read with SQL: name a "
            "connection to a database in the collection file"
        )
    return str(hook.get_uri())
