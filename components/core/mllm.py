"""Client of an OpenAI-compatible endpoint: bounded concurrency, retries, typed answers, nothing asked twice.

Every answered request is journalled before it is used, so a stage that was killed replays its answers and asks only
what is missing. Outputs are schema-only: text inside an image is data and can reach nothing but its own row's fields.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
from pydantic import BaseModel, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
)
from tenacity.wait import wait_random_exponential

from components.core.config import Endpoint, canonical_json, sha256_hex
from components.core.datauri import data_uri
from components.core.errors import EndpointError, StageError
from components.core.log import ProgressBar
from components.core.work import Journal

# So many requests in a row that failed after all their retries mean that the endpoint is down, not that rows are bad.
_MAX_FAILURES_IN_A_ROW = 8
_EMBED_BATCH = 64
_REPAIR = (
    "Your last answer was not valid: {error}\nAnswer again with JSON that fits the schema, and nothing else."
)


@dataclass(frozen=True)
class ChatRequest:
    """One question to the model, with the pydantic class that its answer must fit."""

    key: str
    prompt: str
    schema: type[BaseModel]
    images: tuple[bytes, ...] = ()
    system: str = ""
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 1024


@dataclass(frozen=True)
class Answer:
    """What came of a request: a validated `value`, or an `error` (`malformed: ...` or `endpoint: ...`)."""

    key: str
    value: Any
    error: str | None
    prompt_tokens: int
    completion_tokens: int
    latency_s: float


class _Retryable(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _Refused(Exception):
    """The endpoint refused this one request for good (HTTP 4xx)."""


@dataclass
class Usage:
    """Totals of one client, over answers new and replayed."""

    requests: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failures: int = 0


class MLLMClient:
    """Asks one endpoint; `map` and `embed` are synchronous and keep the order of their arguments."""

    def __init__(self, endpoint: Endpoint, journal: Journal, log: logging.Logger) -> None:
        self.endpoint = endpoint
        self.usage = Usage()
        self._journal = journal
        self._log = log
        self._failures_in_a_row = 0
        self._base_url = endpoint.base_url.rstrip("/")

    def map(self, requests: Sequence[ChatRequest], desc: str = "", *, bar: bool = True) -> list[Answer]:
        """Answer all requests, at most `max_concurrency` at once; `bar=False` leaves progress to the caller.

        An answer that does not fit its schema is asked for once more with the validation error; if that fails too,
        or the endpoint refuses the request, the answer carries an error and the caller quarantines the row.

        Raises:
            EndpointError: credentials or model name are refused (HTTP 401, 403, 404).
            StageError: the endpoint stopped answering; what was answered is kept.
        """
        answers: list[Answer | None] = [None] * len(requests)
        shown = ProgressBar(len(requests), desc or self.endpoint.model, self._log) if bar else None

        async def work(session: aiohttp.ClientSession, index: int) -> None:
            answers[index] = await self._answer(session, requests[index])
            if shown is not None:
                shown.update()

        with shown or contextlib.nullcontext():
            self._run(work, len(requests))
        return [answer for answer in answers if answer is not None]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of `texts`: float32 of shape (len(texts), dimension), each row of length 1."""
        unique = list(dict.fromkeys(texts))
        keys = {text: sha256_hex(canonical_json(["embed", self.endpoint.model, text])) for text in unique}
        missing = [text for text in unique if keys[text] not in self._journal]
        batches = [missing[i : i + _EMBED_BATCH] for i in range(0, len(missing), _EMBED_BATCH)]

        async def work(session: aiohttp.ClientSession, index: int) -> None:
            payload = {"model": self.endpoint.model, "input": batches[index]}
            body = await self._post(session, "/embeddings", payload)
            vectors = [item["embedding"] for item in sorted(body["data"], key=lambda item: item["index"])]
            for text, vector in zip(batches[index], vectors, strict=True):
                self._journal.put(keys[text], vector)

        try:
            self._run(work, len(batches))
        except (_Retryable, _Refused, KeyError, ValueError) as error:
            raise StageError(f"{self._base_url}/embeddings ({self.endpoint.model}): {error}") from error
        matrix = np.asarray([self._journal.get(keys[text]) for text in texts], dtype=np.float32)
        if not len(texts):
            return matrix.reshape(0, 0)
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)

    def _run(self, work: Any, count: int) -> None:
        """Run `work(session, index)` for every index below `count` on a bounded number of workers."""
        if not count:
            return

        async def worker(session: aiohttp.ClientSession, indices: Iterator[int]) -> None:
            for index in indices:
                await work(session, index)

        async def all_workers() -> None:
            key = os.environ.get(self.endpoint.api_key_env, "")
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            timeout = aiohttp.ClientTimeout(total=self.endpoint.timeout_s)
            connector = aiohttp.TCPConnector(limit=self.endpoint.max_concurrency)
            async with aiohttp.ClientSession(
                headers=headers, timeout=timeout, connector=connector
            ) as session:
                indices = iter(range(count))
                workers: list[Coroutine[Any, Any, None]] = [
                    worker(session, indices) for _ in range(min(self.endpoint.max_concurrency, count))
                ]
                async with asyncio.TaskGroup() as group:
                    for coroutine in workers:
                        group.create_task(coroutine)

        try:
            asyncio.run(all_workers())
        except* Exception as group:  # noqa: BLE001 - unwrapped and raised again
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None

    async def _answer(self, session: aiohttp.ClientSession, request: ChatRequest) -> Answer:
        prompt_tokens = completion_tokens = 0
        latency_s = 0.0
        payload = self._payload(request)
        error = ""
        for repair in (False, True):
            if repair:
                payload["messages"].append({"role": "user", "content": _REPAIR.format(error=error)})
            try:
                reply = await self._chat(session, payload)
            except (_Retryable, _Refused) as failure:
                return self._failed(request, str(failure))
            self._failures_in_a_row = 0
            prompt_tokens += reply["prompt_tokens"]
            completion_tokens += reply["completion_tokens"]
            latency_s += reply["latency_s"]
            try:
                value = request.schema.model_validate_json(reply["text"])
            except ValidationError as invalid:
                error = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in invalid.errors()[:5])
                continue
            return Answer(request.key, value, None, prompt_tokens, completion_tokens, latency_s)
        self.usage.failures += 1
        return Answer(
            request.key,
            None,
            f"malformed: {error}",
            prompt_tokens,
            completion_tokens,
            latency_s,
        )

    def _failed(self, request: ChatRequest, error: str) -> Answer:
        self.usage.failures += 1
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            raise StageError(
                f"{self._base_url} ({self.endpoint.model}): {self._failures_in_a_row} requests in a row failed, "
                f"the last with: {error}. Answered requests are kept; run the stage again when it answers."
            )
        return Answer(request.key, None, f"endpoint: {error}", 0, 0, 0.0)

    def _payload(self, request: ChatRequest) -> dict[str, Any]:
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": data_uri(image)}} for image in request.images
        ]
        content.append({"type": "text", "text": request.prompt})
        messages: list[dict[str, Any]] = (
            [{"role": "system", "content": request.system}] if request.system else []
        )
        messages.append({"role": "user", "content": content})
        schema = {
            "name": request.schema.__name__,
            "schema": request.schema.model_json_schema(),
            "strict": True,
        }
        return {
            "model": self.endpoint.model,
            "messages": messages,
            "temperature": request.temperature,
            "seed": request.seed,
            "max_tokens": request.max_tokens,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }

    async def _chat(self, session: aiohttp.ClientSession, payload: dict[str, Any]) -> dict[str, Any]:
        """The reply's text and usage, from the journal where it is known."""
        key = sha256_hex(canonical_json(payload))
        reply: dict[str, Any] | None = self._journal.get(key)
        if reply is None:
            started = time.monotonic()
            body = await self._post(session, "/chat/completions", payload)
            usage = body.get("usage") or {}
            reply = {
                "text": body["choices"][0]["message"]["content"] or "",
                "prompt_tokens": int(usage.get("prompt_tokens", 0)),
                "completion_tokens": int(usage.get("completion_tokens", 0)),
                "latency_s": round(time.monotonic() - started, 4),
            }
            self._journal.put(key, reply)
            self.usage.requests += 1
        else:
            self.usage.replayed += 1
        self.usage.prompt_tokens += reply["prompt_tokens"]
        self.usage.completion_tokens += reply["completion_tokens"]
        return reply

    async def _post(
        self, session: aiohttp.ClientSession, path: str, payload: dict[str, Any]
    ) -> dict[str, Any]:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(self.endpoint.max_retries + 1),
            wait=_wait,
            retry=retry_if_exception_type(_Retryable),
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                return await self._post_once(session, path, payload)
        raise AssertionError("unreachable: tenacity reraises")

    async def _post_once(
        self, session: aiohttp.ClientSession, path: str, payload: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            async with session.post(self._base_url + path, json=payload) as response:
                if response.status in (401, 403, 404):
                    text = (await response.text())[:300]
                    raise EndpointError(
                        f"{self._base_url} ({self.endpoint.model}): HTTP {response.status}: {text}; "
                        f"check base_url, model and the key in ${self.endpoint.api_key_env}"
                    )
                if response.status == 429 or response.status >= 500:
                    raise _Retryable(
                        f"HTTP {response.status}",
                        _retry_after(response.headers.get("Retry-After")),
                    )
                if response.status >= 400:
                    raise _Refused(f"HTTP {response.status}: {(await response.text())[:300]}")
                body: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise _Retryable(f"{type(error).__name__}: {error}") from error
        if "/chat" in path and not (body.get("choices") or [{}])[0].get("message"):
            raise _Retryable("the reply has no choices")
        return body


_backoff = wait_random_exponential(multiplier=0.5, max=30)


def _wait(state: RetryCallState) -> float:
    """What the server asked for, else exponential backoff with full jitter, in seconds."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _Retryable) and error.retry_after_s is not None:
        return error.retry_after_s
    return _backoff(state)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After` header given as a number; dates are left to the backoff."""
    try:
        return min(float(value), 120.0) if value is not None else None
    except ValueError:
        return None
