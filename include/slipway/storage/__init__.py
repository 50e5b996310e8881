"""Where releases live: one port (`ObjectStore`), a store in a local folder and a store in S3.

Importing this package stays light: the S3 client is loaded by the first `open_store("s3://…")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from slipway.errors import InputError
from slipway.storage.base import Abandoned, ObjectInfo, ObjectStore, Versioned
from slipway.storage.local import LocalStore

__all__ = ["Abandoned", "LocalStore", "ObjectInfo", "ObjectStore", "Versioned", "open_store"]

_ALLOWED = "a folder path, file:///folder, or s3://bucket/prefix"


def open_store(url: str | Path, *, encryption: Mapping[str, str] | None = None) -> ObjectStore:
    """The store at `url`: a folder path, "file:///folder" or "s3://bucket/prefix".

    `encryption` holds server-side encryption settings for every write to S3 (see `S3Store`). S3 takes credentials,
    region and endpoint from the environment. Raises `InputError` when the URL is not one of these.
    """
    if isinstance(url, str) and not url.strip():
        raise InputError(f"the store's URL is empty; use {_ALLOWED}")
    scheme = url.split("://", 1)[0].lower() if isinstance(url, str) and "://" in url else ""
    if scheme == "s3":
        return _open_s3(str(url), encryption)
    if encryption:
        raise InputError("encryption settings are for s3:// stores only; remove them, or encrypt the disk instead")
    return LocalStore(_folder_of(url, scheme))


def _open_s3(url: str, encryption: Mapping[str, str] | None) -> ObjectStore:
    try:
        from slipway.storage.s3 import S3Store
    except ImportError as error:
        raise InputError(
            f"an s3:// store needs boto3, which cannot be imported ({error}): pip install boto3"
        ) from error
    return S3Store(url, encryption=encryption)


def _folder_of(url: str | Path, scheme: str) -> Path:
    if not scheme:
        return Path(url)
    if scheme != "file":
        raise InputError(f"a store's URL cannot begin with {scheme}://; use {_ALLOWED}")
    host, _, path = str(url).partition("://")[2].partition("/")
    if host not in {"", "localhost"} or not path:
        raise InputError(f"a file:// URL names a folder of this machine after three slashes; use {_ALLOWED}")
    return Path("/" + unquote(path))
