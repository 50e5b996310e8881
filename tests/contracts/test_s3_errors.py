"""No exception of a library below us reaches a caller: each one has a meaning here."""

from __future__ import annotations

import boto3.exceptions
import botocore.exceptions
import pytest
import s3transfer.exceptions
import urllib3.exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from slipway.errors import (
    ConflictError,
    DiskFull,
    InputError,
    ObjectMissing,
    SlipwayError,
    StoreDenied,
    StoreUnreachable,
)
from slipway.storage.s3_errors import LIBRARY_ERRORS, explain_s3_error, s3_errors_explained

PLACE = "bucket 'b' at http://store:9000"
LIBRARIES = [botocore.exceptions, boto3.exceptions, s3transfer.exceptions, urllib3.exceptions]
NEVER_FROM_A_CALL = (
    s3transfer.exceptions.InvalidSubscriberMethodError,  # a misused class: a bug to be seen
    botocore.exceptions.UndefinedModelAttributeError,  # a broken service description inside botocore
    urllib3.exceptions.ProxySchemeUnsupported,  # raised while connecting, where botocore wraps everything
)
RAISED = sorted(
    {
        kind
        for library in LIBRARIES
        for kind in vars(library).values()
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        and not issubclass(kind, Warning)
        and not issubclass(kind, NEVER_FROM_A_CALL)
        and kind.__module__.startswith(("botocore", "boto3", "s3transfer", "urllib3"))
    }
    | {ResponseParserError},
    key=lambda kind: (kind.__module__, kind.__qualname__),
)


def instance_of(kind: type[Exception]) -> Exception:
    """An exception of `kind` without its constructor, as each has other arguments."""
    error = kind.__new__(kind)
    if isinstance(error, ClientError):
        error.response = {}
    return error


def answer(status: int, code: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_library_exception_is_mapped(kind: type[Exception]) -> None:
    with pytest.raises(SlipwayError, match="cannot read 'a' in bucket 'b' at http://store:9000") as caught:  # noqa: SIM117
        with s3_errors_explained("cannot read 'a'", PLACE):
            raise instance_of(kind)
    assert type(caught.value) in {InputError, StoreDenied, StoreUnreachable}


def test_the_list_of_exceptions_is_not_empty() -> None:
    assert len(RAISED) > 80
    assert ResponseParserError in RAISED
    assert issubclass(ResponseParserError, LIBRARY_ERRORS)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectMissing),
        (404, "404", ObjectMissing),
        (404, "NoSuchBucket", InputError),
        (404, "NoSuchUpload", StoreUnreachable),
        (400, "InvalidBucketName", InputError),
        (301, "PermanentRedirect", InputError),
        (400, "AuthorizationHeaderMalformed", InputError),
        (403, "AccessDenied", StoreDenied),
        (403, "403", StoreDenied),
        (403, "SignatureDoesNotMatch", StoreDenied),
        (403, "RequestTimeTooSkewed", StoreDenied),
        (400, "ExpiredToken", StoreDenied),
        (400, "KMS.DisabledException", StoreDenied),
        (501, "NotImplemented", StoreDenied),
        (412, "PreconditionFailed", ConflictError),
        (409, "ConditionalRequestConflict", StoreUnreachable),
        (400, "RequestTimeout", StoreUnreachable),
        (429, "TooManyRequests", StoreUnreachable),
        (500, "InternalError", StoreUnreachable),
        (502, "502", StoreUnreachable),
        (503, "SlowDown", StoreUnreachable),
        (507, "507", DiskFull),
        (403, "QuotaExceeded", DiskFull),
    ],
)
def test_what_a_store_answers_is_named_by_what_to_do(status: int, code: str, expected: type[SlipwayError]) -> None:
    error = explain_s3_error(answer(status, code), "cannot write 'a'", PLACE)

    assert type(error) is expected
    assert f"{status} {code}" in str(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (botocore.exceptions.NoCredentialsError(), StoreDenied),
        (botocore.exceptions.PartialCredentialsError(provider="env", cred_var="x"), StoreDenied),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://u:hunter2@h"), StoreUnreachable),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="http://u:hunter2@h"), StoreUnreachable),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="http://u:hunter2@h"), StoreUnreachable),
        (botocore.exceptions.SSLError(endpoint_url="http://u:hunter2@h", error="e"), StoreUnreachable),
        (botocore.exceptions.FlexibleChecksumError(error_msg="hunter2"), StoreUnreachable),
        (s3transfer.exceptions.RetriesExceededError(OSError("hunter2")), StoreUnreachable),
        (botocore.exceptions.ProfileNotFound(profile="hunter2"), InputError),
        (botocore.exceptions.ParamValidationError(report="hunter2"), InputError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_no_configured_value_is_quoted(error: Exception, expected: type[SlipwayError]) -> None:
    explained = explain_s3_error(error, "cannot write 'a'", PLACE)

    assert type(explained) is expected
    assert "hunter2" not in str(explained)
    assert type(error).__name__ in str(explained)
