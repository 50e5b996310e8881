"""An object store in a bucket of S3, or of any server that speaks its protocol and honours conditional writes."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError

from slipway.errors import (
    ConflictError,
    CorruptObject,
    InputError,
    ObjectMissing,
    OperationError,
    StateUnknown,
    StoreUnreachable,
)
from slipway.storage.base import Abandoned, ObjectInfo, ObjectStore, Versioned
from slipway.storage.files import open_local, os_errors_explained, replacing, sync_folder
from slipway.storage.keys import check_key, check_prefix, join_key
from slipway.storage.s3_client import endpoint_of, make_client
from slipway.storage.s3_errors import LIBRARY_ERRORS, explain_s3_error, s3_errors_explained

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_PART_BYTES = 16 << 20
_CONDITIONAL_ATTEMPTS = 3
_DAMAGED = {"BadDigest", "InvalidDigest"}  # what stores answer to bytes that are not those of their checksum
_ENCRYPTION_SETTINGS = {"ServerSideEncryption", "SSEKMSKeyId"}
_TRANSFER = TransferConfig(
    multipart_threshold=_PART_BYTES,
    multipart_chunksize=_PART_BYTES,
    max_concurrency=4,
    preferred_transfer_client="classic",
)


class S3Store(ObjectStore):
    """Objects below `prefix` in a bucket: `S3Store("s3://bucket/prefix")`.

    Credentials, region and endpoint come from the environment as for any boto3 client (AWS_ENDPOINT_URL_S3,
    AWS_ENDPOINT_URL, AWS_REGION, …); `endpoint_url` overrides the endpoint and `client` replaces the client whole.
    `encryption` (ServerSideEncryption, SSEKMSKeyId) goes with every write. `page_size` is the number of objects in
    one listing request. Raises `InputError` for a URL, an endpoint or settings that cannot work.
    """

    def __init__(
        self,
        url: str,
        *,
        client: S3Client | None = None,
        endpoint_url: str | None = None,
        encryption: Mapping[str, str] | None = None,
        page_size: int = 1000,
    ) -> None:
        self._bucket, self._prefix = _split(url)
        self.url = f"s3://{join_key(self._bucket, self._prefix)}" if self._prefix else f"s3://{self._bucket}"
        self._client = client or make_client(endpoint_url)
        self._encryption: dict[str, Any] = _checked_encryption(encryption or {})
        self._page_size = page_size
        self._endpoint = endpoint_of(self._client)
        self._place = f"bucket {self._bucket!r} at {self._endpoint}"

    @property
    def identity(self) -> str:
        """See `ObjectStore.identity`: buckets of one name may be on several endpoints."""
        return f"{self._endpoint.rstrip('/')} {self.url}"

    def read(self, key: str) -> Versioned:
        """See `ObjectStore.read`; the version is the ETag without its quotes."""
        with s3_errors_explained(f"cannot read {key!r}", self._place):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            return Versioned(answer["Body"].read(), _unquoted(answer["ETag"]))

    def read_if_changed(self, key: str, version: str) -> Versioned | None:
        """See `ObjectStore.read_if_changed`: the store sends no body while the ETag is the same."""
        with s3_errors_explained(f"cannot read {key!r}", self._place):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key), IfNoneMatch=f'"{version}"')
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 304:
                    return None
                raise
            found = Versioned(answer["Body"].read(), _unquoted(answer["ETag"]))
        return None if found.version == version else found  # of a store that leaves the condition out of account

    def put(self, key: str, body: bytes) -> None:
        """See `ObjectStore.put`."""
        with s3_errors_explained(f"cannot write {key!r}", self._place):
            self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=body, **self._encryption)

    def put_if(self, key: str, body: bytes, expected: str | None) -> str:
        """See `ObjectStore.put_if`.

        No failed answer is taken at its word: a reply may have been lost, and the retry that followed was then told
        that the object had changed, by ourselves. So the object is read again. While it still is at `expected`, the
        same write is sent again, which is safe because at most one of the two can land.
        """
        for attempt in range(_CONDITIONAL_ATTEMPTS):
            try:
                return self._put_conditionally(key, body, expected, quoted=attempt % 2 == 1)
            except (ConflictError, StoreUnreachable, ObjectMissing) as error:
                doubt = error
            current = self._read_again(key, doubt)
            if current is not None and current.body == body:
                return current.version
            if (current.version if current else None) != expected:
                raise ConflictError(f"{self.url}/{key} was changed by somebody else: read it again") from doubt
        raise _undecided(f"{self.url}/{key}", doubt) from doubt

    def upload(self, path: Path, key: str) -> None:
        """See `ObjectStore.upload`. Large files go in parts; the size that arrived is compared with the file's."""
        target = self._key(key)
        action = f"cannot store {path} as {key!r}"
        with os_errors_explained(action, path), s3_errors_explained(action, self._place):
            with open_local(path) as file:
                size_bytes = os.fstat(file.fileno()).st_size
            with create_transfer_manager(self._client, _TRANSFER) as transfers:
                transfers.upload(str(path), self._bucket, target, extra_args=self._encryption).result()
            stored_bytes = self._client.head_object(Bucket=self._bucket, Key=target)["ContentLength"]
        if stored_bytes != size_bytes:
            raise CorruptObject(f"{self.url}/{key} holds {stored_bytes} bytes, {path} had {size_bytes}: upload again")

    def download(self, key: str, path: Path) -> None:
        """See `ObjectStore.download`; folders missing above `path` are created."""
        source = self._key(key)
        action = f"cannot fetch {key!r} to {path}"
        with os_errors_explained(action, path), s3_errors_explained(action, self._place):
            with replacing(path) as file:
                with create_transfer_manager(self._client, _TRANSFER) as transfers:
                    future = transfers.download(self._bucket, source, file)
                    future.result()
                _check_size(f"{self.url}/{key}", file.seek(0, os.SEEK_END), future.meta.size)
            sync_folder(path.parent)

    def copy(self, key: str, destination: str) -> None:
        """See `ObjectStore.copy`; the store copies by itself, large objects in parts."""
        source = {"Bucket": self._bucket, "Key": self._key(key)}
        target = self._key(destination)
        with (
            s3_errors_explained(f"cannot copy {key!r} to {destination!r}", self._place),
            create_transfer_manager(self._client, _TRANSFER) as transfers,
        ):
            transfers.copy(source, self._bucket, target, extra_args=self._encryption).result()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`. Folder markers (keys that end in '/'), which consoles create, are left out."""
        return self._listing(check_prefix(prefix))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        with s3_errors_explained(f"cannot delete {key!r}", self._place):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def abandoned(self, older_than: datetime) -> Iterator[Abandoned]:
        """See `ObjectStore.abandoned`: uploads in parts that were neither completed nor aborted.

        Some servers (MinIO) list none here, and remove them by themselves.
        """
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=self._scope)
        with s3_errors_explained("cannot list unfinished uploads", self._place):
            for page in pages:
                for upload in page.get("Uploads", []):
                    if upload["Initiated"] < older_than:
                        yield self._unfinished(upload["Key"], upload["UploadId"], upload["Initiated"])

    def scoped(self, prefix: str) -> S3Store:
        """See `ObjectStore.scoped`; the client is shared."""
        return S3Store(
            f"s3://{self._bucket}/{self._key(prefix.rstrip('/'))}",
            client=self._client,
            encryption=self._encryption,
            page_size=self._page_size,
        )

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`; False as well when the bucket is missing, which S3 does not tell apart here."""
        try:
            with s3_errors_explained(f"cannot look for {key!r}", self._place):
                self._client.head_object(Bucket=self._bucket, Key=self._key(key))
        except ObjectMissing:
            return False
        return True

    def refuses_damage(self, key: str) -> bool:
        """See `ObjectStore.refuses_damage`; what is declared is the Content-MD5 of other bytes."""
        wrong = base64.b64encode(hashlib.md5(b"other bytes", usedforsecurity=False).digest()).decode()
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(key), Body=b"these bytes", ContentMD5=wrong, **self._encryption
            )
        except ClientError as error:
            if error.response["Error"].get("Code") in _DAMAGED:
                return True
            raise explain_s3_error(error, f"cannot write {key!r}", self._place) from error
        except LIBRARY_ERRORS as error:
            raise explain_s3_error(error, f"cannot write {key!r}", self._place) from error
        return False

    def _key(self, key: str) -> str:
        return join_key(self._prefix, check_key(key))

    @property
    def _scope(self) -> str:
        """What every key in the bucket begins with."""
        return f"{self._prefix}/" if self._prefix else ""

    def _unfinished(self, key: str, upload_id: str, began_at: datetime) -> Abandoned:
        of_upload: dict[str, Any] = {"Bucket": self._bucket, "Key": key, "UploadId": upload_id}

        def discard() -> None:
            with (
                s3_errors_explained(f"cannot abort the upload of {key!r}", self._place),
                suppress(self._client.exceptions.NoSuchUpload),
            ):
                self._client.abort_multipart_upload(**of_upload)

        size_bytes = 0
        with suppress(self._client.exceptions.NoSuchUpload):  # it ended meanwhile
            pages = self._client.get_paginator("list_parts").paginate(**of_upload)
            size_bytes = sum(part["Size"] for page in pages for part in page.get("Parts", []))
        return Abandoned(key.removeprefix(self._scope), size_bytes, began_at, discard)

    def _listing(self, prefix: str) -> Iterator[ObjectInfo]:
        scope = self._scope
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=scope + prefix, PaginationConfig={"PageSize": self._page_size}
        )
        with s3_errors_explained(f"cannot list {prefix!r}", self._place):
            for page in pages:
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):
                        yield ObjectInfo(entry["Key"].removeprefix(scope), entry["Size"], entry["LastModified"])

    def _put_conditionally(self, key: str, body: bytes, expected: str | None, *, quoted: bool) -> str:
        # Ceph compares If-Match with the bare ETag, most others accept both forms, so the bare one goes first.
        condition: dict[str, Any] = (
            {"IfNoneMatch": "*"} if expected is None else {"IfMatch": f'"{expected}"' if quoted else expected}
        )
        with s3_errors_explained(f"cannot write {key!r}", self._place):
            answer = self._client.put_object(
                Bucket=self._bucket, Key=self._key(key), Body=body, **condition, **self._encryption
            )
        return _unquoted(answer["ETag"])

    def _read_again(self, key: str, doubt: OperationError) -> Versioned | None:
        try:
            return self.read(key)
        except ObjectMissing:
            return None
        except OperationError as error:
            raise StateUnknown(
                f"{self.url}/{key} may or may not have been written ({doubt}), and reading it again failed ({error}); "
                "read it when the store answers, and delete nothing before"
            ) from error


def _split(url: str) -> tuple[str, str]:
    """Bucket and prefix of "s3://bucket/prefix"."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InputError("the store's s3:// URL is malformed; use s3://bucket/prefix") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError("an s3:// URL holds a bucket and a prefix only; put credentials and options elsewhere")
    if parts.scheme != "s3" or not parts.netloc:
        raise InputError(f"{url!r} does not name a bucket; use s3://bucket/prefix")
    prefix = parts.path.strip("/")
    return parts.netloc, check_key(prefix) if prefix else ""


def _checked_encryption(settings: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(set(settings) - _ENCRYPTION_SETTINGS)
    if unknown:
        raise InputError(f"unknown encryption settings {unknown}; allowed are {sorted(_ENCRYPTION_SETTINGS)}")
    return dict(settings)


def _unquoted(etag: str) -> str:
    return etag.strip('"')


def _check_size(place: str, got_bytes: int, size_bytes: int) -> None:
    if got_bytes != size_bytes:
        raise StoreUnreachable(f"{place}: {got_bytes} of {size_bytes} bytes arrived; try again")


def _undecided(place: str, doubt: OperationError) -> OperationError:
    """The error for a write that was refused again and again although nothing had changed."""
    if isinstance(doubt, ConflictError):
        return ConflictError(
            f"{place}: the store refused {_CONDITIONAL_ATTEMPTS} conditional writes although the object is unchanged; "
            "nothing was written: check that this store honours If-Match and If-None-Match"
        )
    return StateUnknown(f"{place}: no write was confirmed ({doubt}), and one may still land: read the object again")
