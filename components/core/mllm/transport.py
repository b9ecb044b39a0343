"""One HTTP request to an endpoint, tried until it is answered, refused for good or given up."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from components.core.mllm.admission import Admission
from components.core.mllm.proxies import proxy_for
from components.core.mllm.refusals import advice, is_setup
from components.core.mllm.replies.reply import ErrorReply, decoded, words_of
from components.core.mllm.usage import Usage
from components.core.stage.errors import EndpointError
from components.core.stage.secrets import api_key, hide
from components.core.stage.settings import Endpoint

T = TypeVar("T")
# Why an attempt failed.
KINDS = ("rate_limited", "server_error", "timeout", "connection", "invalid_body")
_backoff = wait_random_exponential(multiplier=0.5, max=30)


class Retryable(Exception):
    """A failure that another attempt may not meet; raised when no attempt is left."""

    def __init__(self, kind: str, message: str, retry_after_s: float | None = None, overload: bool = False):
        super().__init__(message)
        self.kind, self.retry_after_s, self.overload = kind, retry_after_s, overload
        self.unreachable = False
        """Whether there was no connection at all: that is never the request's fault."""


class Final(Exception):
    """This request will never be answered: refused (HTTP 4xx), or no attempt's reply could be used."""

    def __init__(self, message: str, *, passing: bool = False, advice: str = "") -> None:
        super().__init__(message)
        self.passing = passing
        """Whether the last attempt might have gone otherwise: the reply was no answer to anything."""
        self.advice = advice
        """The setting that the refusal asks for, where it is about a parameter and not about the content."""


class Transport:
    """Posts JSON; every attempt is admitted by `admission` and counted in `usage`."""

    def __init__(self, endpoint: Endpoint, admission: Admission, usage: Usage, log: logging.Logger) -> None:
        self._endpoint, self._admission, self._usage, self._log = endpoint, admission, usage, log
        self._base_url = endpoint.base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connections for as long as the block runs."""
        key = api_key(self._endpoint.api_key_env)
        async with aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=self._endpoint.timeout_s),
            connector=aiohttp.TCPConnector(limit=self._endpoint.max_concurrency),
            proxy=proxy_for(self._base_url),
        ) as session:
            self._session = session
            yield

    async def post(self, path: str, body: bytes, key: str, read: Callable[[Any], T]) -> T:
        """Post `body` until `read` makes something of the reply.

        Args:
            path: below the base URL.
            body: JSON.
            key: sent as `Idempotency-Key`. Equal requests have equal keys, over restarts too, so a server
                that knows the header need not work twice.
            read: turns the decoded reply into the result; ValueError, TypeError or LookupError if it cannot.

        Raises:
            Retryable: the attempts are used up, the endpoint does not answer.
            Final: the endpoint refuses the request, or its replies cannot be used.
            EndpointError: credentials or model name are refused (HTTP 401, 403, 404).
            Stopped: the client stopped before there was an answer.
        """
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self._endpoint.max_retries + 1),
            wait=self._delay,
            retry=retry_if_exception_type(Retryable),
            sleep=self._admission.sleep,
            reraise=True,
        )
        try:
            return await attempts(self._attempt, path, body, key, read)
        except Retryable as error:
            if error.kind == "invalid_body":
                raise Final(str(error), passing=True) from error
            raise

    async def _attempt(self, path: str, body: bytes, key: str, read: Callable[[Any], T]) -> T:
        async with self._admission.attempt() as began:
            try:
                value = await self._read(path, body, key, read)
            except Retryable as error:
                self._usage.retries[error.kind] += 1
                if error.overload and self._admission.overloaded(began):
                    at_once = int(self._admission.window)
                    self._log.info("%s: %s; at most %d at once now", self._base_url, error, at_once)
                raise
            except (ValueError, TypeError, LookupError) as error:
                self._usage.retries["invalid_body"] += 1
                message = hide(f"unusable reply: {type(error).__name__}: {error}")
                raise Retryable("invalid_body", message) from error
            self._usage.requests += 1
            self._usage.latencies_s.append(time.monotonic() - began)
            self._admission.succeeded(began)
            return value

    async def _read(self, path: str, body: bytes, key: str, read: Callable[[Any], T]) -> T:
        content = await self._send(path, body, key)
        try:
            return read(decoded(content))
        except ErrorReply as error:
            words = f"an error in a reply of status 200: {error}"
            if error.status:
                raise self._failure(error.status, words, {}) from error
            if is_setup(0, str(error)):
                raise self._unusable(words) from error
            raise Retryable("server_error", words) from error

    async def _send(self, path: str, body: bytes, key: str) -> bytes:
        assert self._session is not None, "post() runs inside opened()"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            async with self._session.post(self._base_url + path, data=body, headers=headers) as response:
                status, content = response.status, await response.read()
        except TimeoutError as error:
            message = f"no reply within {self._endpoint.timeout_s:g} s"
            raise Retryable("timeout", message, overload=True) from error
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL, aiohttp.TooManyRedirects) as error:
            raise self._unusable(f"{type(error).__name__}: {error}") from error
        except (aiohttp.ClientError, OSError) as error:
            failure = Retryable("connection", hide(f"{type(error).__name__}: {error}"))
            failure.unreachable = isinstance(error, aiohttp.ClientConnectorError)
            raise failure from error
        if any(moved.status in (301, 302, 303) for moved in response.history):
            raise self._unusable(f"it redirects to {response.url}; give that address as base_url")
        if status < 400:
            return content
        raise self._failure(status, f"HTTP {status}: {words_of(content)}", response.headers)

    def _failure(self, status: int, words: str, headers: Mapping[str, str]) -> Exception:
        """What a status of 400 or more means for the request, or for all of them."""
        if is_setup(status, words):
            return self._unusable(words)
        if status in (408, 429) or status >= 500:
            kind = {408: "timeout", 429: "rate_limited"}.get(status, "server_error")
            overload = status in (408, 429, 503)
            return Retryable(kind, words, retry_after_s(headers), overload)
        return Final(words, advice=advice(words))

    def _unusable(self, words: str) -> EndpointError:
        key = f"the key in ${self._endpoint.api_key_env}" if self._endpoint.api_key_env else "the key"
        check = f"check base_url, model and {key}"
        return EndpointError(hide(f"{self._base_url} ({self._endpoint.model}): {words}; {check}"))

    def _delay(self, state: RetryCallState) -> float:
        """Seconds: as the server asks, else exponential backoff with full jitter; 429 pauses the client."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Retryable) else None
        delay = _backoff(state) if asked is None else asked
        if isinstance(error, Retryable) and (error.kind == "rate_limited" or asked is not None):
            self._admission.pause(delay)
        return delay


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header, a number or a date (RFC 9110, 10.2.3); None without a readable one.

    A date is taken relative to the reply's own `Date`, so that clocks need not agree.
    """
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        then, now = _timestamp(value), _timestamp(headers.get("Date", ""))
        if then is None:
            return None
        seconds = then - (time.time() if now is None else now)
    return max(0.0, seconds) if -math.inf <= seconds < math.inf else None


def _timestamp(date: str) -> float | None:
    with contextlib.suppress(ValueError):
        return parsedate_to_datetime(date).timestamp()
    return None
