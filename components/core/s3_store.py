"""One bucket of an S3 server as an object store, through the minio client.

Endpoint and credentials come from the environment, never from a setting: `S3_ENDPOINT` (default AWS),
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`; without keys, the AWS configuration
file and then the pod's web identity are asked, anew whenever they expire.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.credentials import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider
from minio.error import MinioException, S3Error

from components.core.errors import ConfigError, NoInputError, StageError
from components.core.storage import ObjectInfo, whole_file

ENDPOINT_ENV = "S3_ENDPOINT"
_AWS = "https://s3.amazonaws.com"
_PART_BYTES = 16 * 2**20
_TIMEOUT_S = 60.0
_RETRIES = 5
_RETRIED_STATUS = (429, 500, 502, 503, 504)
_MISSING = ("NoSuchKey", "NoSuchObject", "NoSuchBucket")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
# Two conditional writes of one key met on the server: AWS asks to send them again, and one of them will find the other.
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
_CONFLICT_TRIES = 8
T = TypeVar("T")


class S3Store:
    """One bucket of an S3 server. Requests are retried on timeouts, cut connections, 429 and 5xx, with backoff."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._client = _client()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects in the server's order, which S3 defines as the keys' byte order; read page by page."""
        listing = self._client.list_objects(self.bucket, prefix=prefix, recursive=True)
        while True:
            item = self._ask(prefix, lambda: next(listing, None))
            if item is None:
                return
            if not item.is_dir:
                yield ObjectInfo(item.object_name, item.size or 0, (item.etag or "").strip('"'))

    def get(self, key: str) -> bytes:
        """An object's content, checked against its length and, where the ETag is one, its MD5."""

        def read() -> bytes:
            response = self._client.get_object(bucket_name=self.bucket, object_name=key)
            try:
                data: bytes = response.read()
                _verify(f"s3://{self.bucket}/{key}", data, response.headers)
                return data
            finally:
                response.close()
                response.release_conn()

        return self._ask(key, read)

    def exists(self, key: str) -> bool:
        """Whether the server has the object."""
        try:
            self._ask(key, lambda: self._client.stat_object(bucket_name=self.bucket, object_name=key))
        except NoInputError:
            return False
        return True

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store an object; `if_absent` is the server's conditional write (`If-None-Match: *`).

        False may also mean that this very write succeeded, its answer was lost and it was sent again: where that
        matters, read the object back.

        Raises:
            ConfigError: the server says that it has no conditional writes.
        """
        if if_absent:
            return self._put_if_absent(key, data)
        self._ask(
            key,
            lambda: self._client.put_object(
                bucket_name=self.bucket, object_name=key, data=io.BytesIO(data), length=len(data)
            ),
        )
        return True

    def _put_if_absent(self, key: str, data: bytes) -> bool:
        for _ in range(_CONFLICT_TRIES):
            try:
                self._ask(key, lambda: self._client.put_if_absent(self.bucket, key, data))
                return True
            except _Exists:
                return False
            except _Conflict:
                time.sleep(random.uniform(0, 0.5))
        raise StageError(f"s3://{self.bucket}/{key}: other writers kept the server busy; try again")

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a file; the minio client resumes nothing here, but a file is never half there."""
        whole_file(
            path,
            lambda temporary: self._ask(
                key,
                lambda: self._client.fget_object(
                    bucket_name=self.bucket, object_name=key, file_path=str(temporary)
                ),
            ),
        )

    def upload(self, path: Path, key: str) -> None:
        """Copy a file to an object; above one part's size as a multipart upload, several parts at once."""
        self._ask(
            key,
            lambda: self._client.fput_object(
                bucket_name=self.bucket, object_name=key, file_path=str(path), part_size=_PART_BYTES
            ),
        )

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._ask(key, lambda: self._client.remove_object(bucket_name=self.bucket, object_name=key))

    def _ask(self, key: str, call: Callable[[], T]) -> T:
        where = f"s3://{self.bucket}/{key}"
        try:
            return call()
        except S3Error as error:
            if error.code in _MISSING:
                raise NoInputError(f"{where}: does not exist ({error.code})") from error
            if error.code in _REFUSED:
                raise ConfigError(f"{where}: refused ({error.code}); check the credentials") from error
            if error.code == "PreconditionFailed":
                raise _Exists from error
            if error.code in _CONFLICTS:
                raise _Conflict from error
            if error.code == "NotImplemented":
                raise ConfigError(f"{where}: the server cannot do this ({error.message})") from error
            raise StageError(f"{where}: {error.code}: {error.message}") from error
        except ValueError as error:
            if "providers fail" not in str(error):
                raise
            raise ConfigError(
                f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod an identity"
            ) from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            raise StageError(f"{where}: the store did not answer ({error})") from error


class _Exists(Exception):
    """A conditional write found an object already there."""


class _Conflict(Exception):
    """A conditional write met another one and has to be sent again."""


class _Client(Minio):
    """The minio client with S3's conditional write, which its public `put_object` cannot express."""

    def put_if_absent(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object only if there is none of this key; S3Error `PreconditionFailed` otherwise."""
        self._put_object(bucket, key, data, headers={"If-None-Match": "*"})


def _client() -> _Client:
    endpoint = os.environ.get(ENDPOINT_ENV, _AWS)
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise ConfigError(
            f"${ENDPOINT_ENV} is '{endpoint}'; it must be like https://host:port, without a path"
        )
    retry = urllib3.Retry(
        total=_RETRIES, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=_RETRIED_STATUS,
        allowed_methods=None, respect_retry_after_header=True,
    )  # fmt: skip
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=10, read=_TIMEOUT_S), retries=retry, maxsize=10
    )
    keys = ChainedProvider([_EnvironmentKeys(), AWSConfigProvider(), IamAwsProvider()])
    return _Client(
        endpoint=parts.netloc,
        secure=parts.scheme == "https",
        region=os.environ.get("AWS_REGION") or None,
        credentials=keys,
        http_client=pool,
    )


class _EnvironmentKeys(EnvAWSProvider):
    """Keys from the environment; where there are none, says so, so that the next provider is asked."""

    def retrieve(self) -> Any:
        """The credentials, read anew for every request."""
        if not os.environ.get("AWS_ACCESS_KEY_ID"):
            raise ValueError("AWS_ACCESS_KEY_ID is not set")
        return super().retrieve()


def _verify(where: str, data: bytes, headers: Any) -> None:
    length = headers.get("content-length")
    if length is not None and int(length) != len(data):
        raise StageError(f"{where}: got {len(data)} bytes of {length}; the connection was cut")
    etag = (headers.get("etag") or "").strip('"').lower()
    is_md5 = len(etag) == 32 and not headers.get("x-amz-server-side-encryption")
    if is_md5 and hashlib.md5(data, usedforsecurity=False).hexdigest() != etag:
        raise StageError(f"{where}: content does not match its checksum; it was damaged on the way")
