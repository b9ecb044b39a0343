"""One HTTP request to an endpoint, tried until it is answered, refused for good or given up."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from components.core.mllm.admission import Admission
from components.core.mllm.usage import Usage
from components.core.stage.errors import EndpointError
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


class Final(Exception):
    """This request will never be answered: refused (HTTP 4xx), or no attempt's reply could be used."""


class Transport:
    """Posts JSON; every attempt is admitted by `admission` and counted in `usage`."""

    def __init__(self, endpoint: Endpoint, admission: Admission, usage: Usage, log: logging.Logger) -> None:
        self._endpoint, self._admission, self._usage, self._log = endpoint, admission, usage, log
        self._base_url = endpoint.base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connections for as long as the block runs."""
        key = os.environ.get(self._endpoint.api_key_env, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = aiohttp.ClientTimeout(total=self._endpoint.timeout_s)
        connector = aiohttp.TCPConnector(limit=self._endpoint.max_concurrency)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
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
                raise Final(str(error)) from error
            raise

    async def _attempt(self, path: str, body: bytes, key: str, read: Callable[[Any], T]) -> T:
        async with self._admission.attempt() as began:
            try:
                value = read(await self._send(path, body, key))
            except Retryable as error:
                self._usage.retries[error.kind] += 1
                if error.overload and self._admission.overloaded(began):
                    at_once = int(self._admission.window)
                    self._log.info("%s: %s; at most %d at once now", self._base_url, error, at_once)
                raise
            except (ValueError, TypeError, LookupError) as error:
                self._usage.retries["invalid_body"] += 1
                raise Retryable("invalid_body", f"unusable reply: {type(error).__name__}: {error}") from error
            self._usage.requests += 1
            self._usage.latencies_s.append(time.monotonic() - began)
            self._admission.succeeded(began)
            return value

    async def _send(self, path: str, body: bytes, key: str) -> Any:
        assert self._session is not None, "post() runs inside opened()"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            async with self._session.post(self._base_url + path, data=body, headers=headers) as response:
                status, content = response.status, await response.read()
        except TimeoutError as error:
            message = f"no reply within {self._endpoint.timeout_s:g} s"
            raise Retryable("timeout", message, overload=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Retryable("connection", f"{type(error).__name__}: {error}") from error
        if status < 400:
            return json.loads(content)
        text = content[:300].decode("utf-8", "replace")
        if status in (401, 403, 404):
            raise EndpointError(
                f"{self._base_url} ({self._endpoint.model}): HTTP {status}: {text}; "
                f"check base_url, model and the key in ${self._endpoint.api_key_env}"
            )
        if status in (408, 429) or status >= 500:
            kind = {408: "timeout", 429: "rate_limited"}.get(status, "server_error")
            overload = status in (408, 429, 503)
            raise Retryable(kind, f"HTTP {status}", retry_after_s(response.headers), overload)
        raise Final(f"HTTP {status}: {text}")

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
