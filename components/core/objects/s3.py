"""One bucket of an S3 server as an object store, through the minio client.

`S3_ENDPOINT`, `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` names the server (default AWS), `AWS_REGION` or
`AWS_DEFAULT_REGION` its region; for keys see `credentials`.
The HTTP client repeats a request that fails. A transfer that fails nevertheless begins again from its start.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.error import MinioException, S3Error
from minio.sse import Sse

from components.core.data.files import atomic_file, remove_leftovers
from components.core.objects.credentials import FreshCredentials
from components.core.objects.store import ObjectInfo, ObjectStore
from components.core.stage.errors import ConfigError, NoInputError, StageError
from components.core.stage.secrets import hide

ENDPOINT_ENVS = ("S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_ENVS = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""Variables of the environment; the first that is set counts."""
PART_BYTES = 16 * 2**20
_MOST_PARTS = 10_000
_PARTS_AT_ONCE = 4
_PAGE_KEYS = 1000
_RETRIES = 5
"""Of one request, on timeouts, cut connections, 429 and 5xx: after 0, 1, 2, 4 and 8 s."""
_BACKOFF_S = 0.5
_PATIENCE_S = 120.0
"""A server that has answered before is asked again for this long after a failure."""
T = TypeVar("T")


class TransientError(StageError):
    """The server did not answer, or its answer was damaged on the way. A repetition may help."""


class CredentialsRefusedError(ConfigError):
    """The server does not accept the credentials. A repetition helps once they have been rotated."""


class ObjectExistsError(Exception):
    """A conditional write found an object."""


_ERRORS: tuple[tuple[type[Exception], str, tuple[str, ...]], ...] = (
    (NoInputError, "does not exist ({0.code})", ("NoSuchKey", "NoSuchObject", "NoSuchBucket")),
    (ObjectExistsError, "exists", ("PreconditionFailed",)),
    (ConfigError, "the server cannot do this ({0.message})", ("NotImplemented",)),
    (
        CredentialsRefusedError,
        "refused ({0.code}); check the credentials",
        ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
    ),
    (
        TransientError,
        "{0.code}: {0.message}",
        ("InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed",
         "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",
         "NoSuchUpload",  # its completion was sent twice, because the first answer was lost
         "ConditionalRequestConflict", "OperationAborted"),  # two conditional writes of one key met
    ),
)  # fmt: skip
"""What an error of the server becomes: type, message, the server's codes."""


class _IfAbsent(Sse):
    """S3's conditional write. Of all arguments of minio's `put_object`, only `sse` adds headers unchanged."""

    def headers(self) -> dict[str, str]:
        return {"If-None-Match": "*"}


class S3Store(ObjectStore):
    """One bucket of an S3 server. Safe for threads and forks.

    Raises:
        ConfigError: by any method; the credentials are refused or missing.
        NoInputError: by any method; there is no such object or bucket.
        StageError: by any method; the server does not answer, or answers with another error.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._client, self._process = _connect(), os.getpid()
        self._has_answered = False

    @property
    def client(self) -> Minio:
        """The client of this process: a forked one must not write into its parent's connections."""
        if self._process != os.getpid():
            self._client, self._process = _connect(), os.getpid()
        return self._client

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their keys' bytes, page by page. A page that fails is asked for again."""
        page = self._page(prefix, None)
        while page:
            for item in page:
                if not item.is_dir:
                    yield ObjectInfo(item.object_name or "", item.size or 0, (item.etag or "").strip('"'))
            page = self._page(prefix, page[-1].object_name) if len(page) == _PAGE_KEYS else []

    def get(self, key: str) -> bytes:
        buffer = io.BytesIO()
        self._receive(key, buffer)
        return buffer.getvalue()

    def exists(self, key: str) -> bool:
        try:
            self._ask(key, lambda: self.client.stat_object(bucket_name=self.bucket, object_name=key))
        except NoInputError:
            return False
        return True

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Store an object; `if_absent` is the server's conditional write (`If-None-Match: *`).

        False may also mean that this very write succeeded: its answer was lost and it was sent again. Where
        that matters, read the object back.

        Raises:
            ConfigError: the server says that it has no conditional writes.
        """
        try:
            self._send(key, io.BytesIO(data), condition=_IfAbsent() if if_absent else None)
        except ObjectExistsError:
            return False
        return True

    def download(self, key: str, path: Path) -> None:
        """Copy an object to a file, in one stream."""
        with atomic_file(path) as temporary, open(temporary, "w+b") as file:
            self._receive(key, file)
        if path.stat().st_size > PART_BYTES:  # a small leftover is not worth listing the folder
            remove_leftovers(path)

    def upload(self, path: Path, key: str) -> None:
        """Copy a file to an object; a large one in parts, several at once."""
        with open(path, "rb") as file:
            self._send(key, file, max(PART_BYTES, -(-path.stat().st_size // _MOST_PARTS)))

    def delete(self, key: str) -> None:
        self._ask(key, lambda: self.client.remove_object(bucket_name=self.bucket, object_name=key))

    def _page(self, prefix: str, last: str | None) -> Sequence[Object]:
        """The objects after the key `last`."""

        def page() -> Sequence[Object]:
            found = self.client.list_objects(self.bucket, prefix=prefix, recursive=True, start_after=last)
            return [*itertools.islice(found, _PAGE_KEYS)]

        return self._ask(prefix, page)

    def _send(self, key: str, file: BinaryIO, part_bytes: int = 0, condition: Sse | None = None) -> None:
        """Store a file's content, in parts if it is larger than `part_bytes`."""

        def send() -> None:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            stored = self.client.put_object(
                bucket_name=self.bucket, object_name=key, data=file, length=size, sse=condition,
                part_size=part_bytes, num_parallel_uploads=_PARTS_AT_ONCE,
            )  # fmt: skip
            if not stored.etag:  # S3 may report a failed completion with status 200
                raise TransientError(f"{self._uri(key)}: the upload was not completed; try again")

        self._ask(key, send)

    def _receive(self, key: str, file: io.BytesIO | io.BufferedRandom) -> None:
        """Write an object's content to a file, checked."""

        def receive() -> None:
            file.seek(0)
            file.truncate()
            response = self.client.get_object(bucket_name=self.bucket, object_name=key)
            try:
                shutil.copyfileobj(response, file, 2**20)
            finally:
                response.close()
                response.release_conn()
            if not _matches_etag(file, response.headers):
                raise TransientError(f"{self._uri(key)}: content does not match its checksum; it is damaged")

        self._ask(key, receive)

    def _ask(self, key: str, call: Callable[[], T]) -> T:
        """The result of `call`, a request about `key`, repeated while that may help."""
        give_up_at, waits = float("inf"), itertools.count()
        while True:
            try:
                answer = _with_named_errors(self._uri(key), call)
            except (TransientError, CredentialsRefusedError):
                give_up_at = min(give_up_at, time.monotonic() + _PATIENCE_S)
                if not self._has_answered or time.monotonic() > give_up_at:
                    raise
                time.sleep(random.uniform(0, min(10, _BACKOFF_S * 2 ** next(waits))))
            except (NoInputError, ObjectExistsError):
                self._has_answered = True
                raise
            else:
                self._has_answered = True
                return answer

    def _uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


def _matches_etag(file: io.BytesIO | io.BufferedRandom, headers: Mapping[str, str]) -> bool:
    """Whether a file has the MD5 that is its object's ETag; True where the ETag is no MD5.

    It is none for objects in parts, and under encryption with keys of KMS or of the client.
    """
    etag = (headers.get("etag") or "").strip('"').lower()
    encrypted = headers.get("x-amz-server-side-encryption", "").startswith("aws:") or headers.get(
        "x-amz-server-side-encryption-customer-algorithm"
    )
    if encrypted or len(etag) != 32:
        return True
    file.seek(0)
    md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False))
    return md5.hexdigest() == etag


def _with_named_errors(uri: str, call: Callable[[], T]) -> T:
    """The result of `call`; the client's errors become this project's."""
    try:
        return call()
    except S3Error as error:
        for kind, message, codes in _ERRORS:
            if error.code in codes:
                raise kind(f"{uri}: {message.format(error)}") from error
        raise StageError(f"{uri}: {error.code}: {error.message}") from error
    except (MinioException, urllib3.exceptions.HTTPError, ParseError) as error:
        raise TransientError(f"{uri}: the store did not answer ({error})") from error


def _connect() -> Minio:
    """A client of the server that the environment names."""
    variable, endpoint = _first_set(ENDPOINT_ENVS) or ("", "https://s3.amazonaws.com")
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.username:
        wanted = "it must be like https://host:port, without a path or a user"
        raise ConfigError(f"${variable} is '{hide(endpoint)}'; {wanted}")
    region = _first_set(REGION_ENVS)
    retry = urllib3.Retry(
        total=_RETRIES, backoff_factor=_BACKOFF_S, backoff_jitter=_BACKOFF_S, allowed_methods=None,
        status_forcelist=(429, 500, 502, 503, 504), respect_retry_after_header=True,
    )  # fmt: skip
    timeout = urllib3.Timeout(connect=10, read=60)
    return Minio(
        endpoint=parts.netloc,
        secure=parts.scheme == "https",
        region=region[1] if region else None,
        credentials=FreshCredentials(),
        http_client=urllib3.PoolManager(timeout=timeout, retries=retry, maxsize=20),
    )


def _first_set(variables: Sequence[str]) -> tuple[str, str] | None:
    """Name and value of the first variable that is set and not empty."""
    return next(((name, value) for name in variables if (value := os.environ.get(name, "").strip())), None)
