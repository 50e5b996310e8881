"""What S3's refusals and botocore's exceptions mean for whoever has to act on them.

Messages name the place, the store's own error code and the next step. They never quote a botocore exception whole,
because its text may hold whatever was configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from s3transfer import exceptions as transfer_errors
from urllib3.exceptions import HTTPError

from slipway.errors import (
    ConflictError,
    DiskFull,
    InputError,
    ObjectMissing,
    SlipwayError,
    StoreDenied,
    StoreUnreachable,
)

_TRANSFER = (
    Boto3Error,
    transfer_errors.RetriesExceededError,
    transfer_errors.CancelledError,
    transfer_errors.S3CopyFailedError,
    transfer_errors.S3DownloadFailedError,
    transfer_errors.S3UploadFailedError,
    transfer_errors.S3ValidationError,
    transfer_errors.TransferNotDoneError,
)
LIBRARY_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError, ResponseParserError, HTTPError, *_TRANSFER)
"""Every base class that boto3, botocore, s3transfer and urllib3 raise from a call. Local files raise `OSError`."""

_NO_BUCKET = {"NoSuchBucket", "InvalidBucketName"}
_NO_OBJECT = {"NoSuchKey", "NoSuchVersion", "NotFound", "404"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_PASSING = {
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "NoSuchUpload",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "XAmzContentSHA256Mismatch",
}
_PASSING_STATUS = {404, 408, 409, 425, 429}

_CREDENTIALS = (
    botocore_errors.NoCredentialsError,
    botocore_errors.PartialCredentialsError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.NoAuthTokenError,
    botocore_errors.TokenRetrievalError,
    botocore_errors.RefreshWithMFAUnsupportedError,
    botocore_errors.MetadataRetrievalError,
    botocore_errors.SSOError,
    botocore_errors.LoginError,
)
_NETWORK = (
    botocore_errors.HTTPClientError,
    botocore_errors.ConnectionError,
    botocore_errors.ChecksumError,
    botocore_errors.FlexibleChecksumError,
    botocore_errors.IncompleteReadError,
    ResponseParserError,
    HTTPError,
    transfer_errors.RetriesExceededError,
)


@contextmanager
def s3_errors_explained(action: str, place: str) -> Iterator[None]:
    """Turn any S3 library's error of the block into the Slipway error that says what to do about it.

    `action` is what was attempted ("cannot read 'a/b'"), `place` the bucket and the endpoint.
    """
    try:
        yield
    except LIBRARY_ERRORS as error:
        raise explain_s3_error(error, action, place) from error


def explain_s3_error(error: Exception, action: str, place: str) -> SlipwayError:
    """The Slipway error for `error`; see `s3_errors_explained`."""
    what = f"{action} in {place}"
    name = type(error).__name__
    if isinstance(error, ClientError):
        return _explain_answer(error, what)
    if isinstance(error, _CREDENTIALS):
        return StoreDenied(f"{what}: no usable credentials ({name}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, _NETWORK):
        return StoreUnreachable(
            f"{what}: the store did not answer ({name}); check its address, certificate and health, then try again"
        )
    if isinstance(error, _TRANSFER):
        return StoreUnreachable(f"{what}: the transfer failed ({name}); try again")
    return InputError(f"{what}: the S3 client cannot work as configured ({name}); check URL, AWS_* variables, profile")


def _explain_answer(error: ClientError, what: str) -> SlipwayError:
    code, status = _code_and_status(error)
    said = f"{what}: the store answered {status} {code}"
    if code in _NO_BUCKET:
        return InputError(f"{said}, there is no such bucket; create it or correct the store's URL")
    if code in _NO_OBJECT:
        return ObjectMissing(f"{said}; the object (or its bucket) is not there: check key and bucket")
    if code in _FULL or status == 507:
        return DiskFull(f"{said}; free some space in the store or raise its quota, then run again")
    if code in _ELSEWHERE or status in {301, 307, 308}:
        return InputError(f"{said}; the bucket is in another region: set AWS_REGION or AWS_ENDPOINT_URL_S3")
    if status == 412:
        return ConflictError(f"{said}; the object was changed by somebody else meanwhile: read it again")
    if code in _PASSING or status in _PASSING_STATUS or (status >= 500 and status != 501):
        return StoreUnreachable(f"{said}; try again, and look at the store's health if it stays so")
    if status == 501:
        return StoreDenied(f"{said}; this store does not offer what was asked for: use one with conditional writes")
    return StoreDenied(f"{said}; check the credentials, their expiry, their rights on the bucket, and the clock")


def _code_and_status(error: ClientError) -> tuple[str, int]:
    answer: dict[str, Any] = dict(error.response)
    code = str(answer.get("Error", {}).get("Code", "")) or "without a code"
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code, int(status)
