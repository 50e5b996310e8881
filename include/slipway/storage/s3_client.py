"""The S3 client that the store works with: its timeouts, retries and endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from slipway.errors import InputError
from slipway.storage.s3_errors import s3_errors_explained

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
ATTEMPTS = 4


def make_client(endpoint_url: str | None = None, attempts: int = ATTEMPTS) -> S3Client:
    """An S3 client with Slipway's timeouts; `endpoint_url` overrides the environment's. Raises `InputError`.

    Checksums that newer clients add unasked are left out, because several self-hosted stores refuse them.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        with s3_errors_explained("cannot set up the S3 client", "this environment"):
            client: S3Client = boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=config)
    except ValueError:
        raise InputError("the S3 endpoint is not a valid URL; use http://host:port or https://host") from None
    return client


def endpoint_of(client: S3Client) -> str:
    """Where `client` sends its requests. Raises `InputError` when that URL holds credentials, as messages quote it."""
    endpoint = str(client.meta.endpoint_url)
    if "@" in urlsplit(endpoint).netloc:
        raise InputError("the S3 endpoint's URL holds credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return endpoint
