"""Requests to one bucket of an S3 server: signed with the keys of the moment, retried, errors named.

Endpoint and credentials come from the environment, never from a setting: `S3_ENDPOINT` (default AWS),
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`; without keys, the AWS credentials file
(`AWS_SHARED_CREDENTIALS_FILE`: a mounted secret, for instance) and then the pod's web identity are asked. They are read
anew for every request, so a secret that is replaced in its file takes effect in the middle of an upload.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.credentials import AWSConfigProvider, Credentials, EnvAWSProvider, IamAwsProvider, Provider
from minio.error import MinioException, S3Error
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from components.core.stage.errors import ConfigError, NoInputError, StageError

ENDPOINT_ENV = "S3_ENDPOINT"
_AWS = "https://s3.amazonaws.com"
_TIMEOUT_S = 60.0
_RETRIES = 5
"""Of one request, on timeouts, cut connections and these answers: after 0, 1, 2, 4 and 8 s."""
_BACKOFF_S = 0.5
_RETRIED_STATUS = (429, 500, 502, 503, 504)
_PATIENCE_S = 120.0
"""For how long a server that has answered before, and does not now or refuses its keys, is asked again."""
_MISSING = ("NoSuchKey", "NoSuchObject", "NoSuchBucket")
_REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken")
_PASSING = (
    "InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed", "BadDigest",
    "IncompleteBody", "XAmzContentSHA256Mismatch",
)  # fmt: skip
# Two conditional writes of one key met on the server: AWS asks to send them again, and one of them will find the other.
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
T = TypeVar("T")


class Passing(StageError):
    """The server did not answer, or what it sent was damaged on the way; asking again may help."""


class Refused(ConfigError):
    """The server does not accept the credentials."""


class ExistsError(Exception):
    """A conditional write found an object already there."""


class ConflictError(Exception):
    """A conditional write met another one and has to be sent again."""


class UploadGoneError(Exception):
    """A multipart upload was completed or discarded meanwhile."""


class Client(Minio):
    """The minio client with S3's conditional write, which its public `put_object` cannot express."""

    def put_if_absent(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object only if there is none of this key; S3Error `PreconditionFailed` otherwise."""
        self._put_object(bucket, key, data, headers={"If-None-Match": "*"})


class Bucket:
    """One bucket. `client` makes the requests, one each inside `ask`. Safe for threads and forks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._client, self._process = _client(), os.getpid()
        self._has_answered = False

    @property
    def client(self) -> Client:
        """The client of this process: a forked one must not write into its parent's connections."""
        if self._process != os.getpid():
            self._client, self._process = _client(), os.getpid()
        return self._client

    def where(self, key: str) -> str:
        """URI of an object."""
        return f"s3://{self.name}/{key}"

    def ask(self, key: str, call: Callable[[], T]) -> T:
        """The result of `call`, one request about `key`; made again while there is hope that it helps.

        Raises:
            NoInputError: there is no such object or bucket.
            ConfigError: refused credentials, none at all, or something that the server cannot do.
            StageError: the server does not answer, or answers with another error.
            ExistsError, ConflictError, UploadGoneError: see there.
        """
        for attempt in Retrying(
            stop=stop_after_delay(_PATIENCE_S),
            wait=wait_random_exponential(multiplier=_BACKOFF_S, max=10),
            retry=retry_if_exception(self._may_pass),
            reraise=True,
        ):
            with attempt:
                answer = self._once(self.where(key), call)
        self._has_answered = True
        return answer

    def _may_pass(self, error: BaseException) -> bool:
        """Keys that were good may be rotated, a server that was there may be restarted; a wrong setting stays wrong."""
        return self._has_answered and isinstance(error, (Passing, Refused))

    def _once(self, where: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except S3Error as error:
            raise _named(where, error) from error
        except ValueError as error:
            if "no credentials" not in str(error):
                raise
            raise ConfigError(
                f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod an identity"
            ) from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError, ParseError) as error:
            raise Passing(f"{where}: the store did not answer ({error})") from error


def _named(where: str, error: S3Error) -> Exception:
    """What an error of the server means to us."""
    code = error.code
    if code in _MISSING:
        return NoInputError(f"{where}: does not exist ({code})")
    if code in _REFUSED:
        return Refused(f"{where}: refused ({code}); check the credentials")
    if code == "PreconditionFailed":
        return ExistsError(where)
    if code in _CONFLICTS:
        return ConflictError(where)
    if code == "NoSuchUpload":
        return UploadGoneError(where)
    if code == "NotImplemented":
        return ConfigError(f"{where}: the server cannot do this ({error.message})")
    kind = Passing if code in _PASSING else StageError
    return kind(f"{where}: {code}: {error.message}")


def _client() -> Client:
    endpoint = os.environ.get(ENDPOINT_ENV, _AWS)
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise ConfigError(
            f"${ENDPOINT_ENV} is '{endpoint}'; it must be like https://host:port, without a path"
        )
    retry = urllib3.Retry(
        total=_RETRIES, backoff_factor=_BACKOFF_S, backoff_jitter=_BACKOFF_S, status_forcelist=_RETRIED_STATUS,
        allowed_methods=None, respect_retry_after_header=True,
    )  # fmt: skip
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=10, read=_TIMEOUT_S), retries=retry, maxsize=20
    )
    return Client(
        endpoint=parts.netloc,
        secure=parts.scheme == "https",
        region=os.environ.get("AWS_REGION") or None,
        credentials=_Keys(),
        http_client=pool,
    )


class _Keys(Provider):
    """The keys of the moment. (minio's own chain keeps keys without an expiry for ever.)"""

    def __init__(self) -> None:
        self._places = [_EnvironmentKeys(), AWSConfigProvider(), IamAwsProvider()]
        self._found: Provider | None = None

    def retrieve(self) -> Credentials:
        """Read from where they were found first; a file that is being replaced does not send us elsewhere."""
        if self._found is not None:
            try:
                return self._found.retrieve()
            except (ValueError, configparser.Error) as error:
                raise OSError(f"the credentials cannot be read at the moment: {error}") from error
        for place in self._places:
            try:
                keys = place.retrieve()
            except ValueError:
                continue
            self._found = place
            return keys
        raise ValueError("no credentials")


class _EnvironmentKeys(EnvAWSProvider):
    """Keys from the environment; where there are none, says so, so that the next provider is asked."""

    def retrieve(self) -> Any:
        """The credentials."""
        if not os.environ.get("AWS_ACCESS_KEY_ID"):
            raise ValueError("AWS_ACCESS_KEY_ID is not set")
        return super().retrieve()
