"""The client: requests to typed answers, texts to vectors. Every reply is journalled before it is used."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.mllm.admission import Admission, Stopped
from components.core.mllm.chat import Answer, ChatRequest, by_images, chat_payload, repair_messages
from components.core.mllm.replies.flagged import is_flagged, is_forbidden
from components.core.mllm.replies.json_text import read_answer, without_thoughts
from components.core.mllm.replies.reply import read_chat, read_vectors
from components.core.mllm.transport import Final, Retryable, Transport
from components.core.mllm.usage import Usage
from components.core.resume.journal import Journal
from components.core.stage.errors import EndpointError, StageError
from components.core.stage.log import ProgressBar
from components.core.stage.settings import Endpoint

# So many requests in a row that failed after all retries: the endpoint is down, the rows are not bad.
_MAX_FAILURES_IN_A_ROW = 8


class MLLMClient:
    """Asks one endpoint; `map` and `embed` are synchronous and keep the order of their arguments.

    A journal's entry has the SHA-256 of the request's body as its key. So a stage that was killed replays its
    answers and asks only for the missing ones, the requests on the wire included.
    """

    def __init__(self, endpoint: Endpoint, journal: Journal, log: logging.Logger) -> None:
        self.endpoint, self.usage = endpoint, Usage()
        self._journal, self._log = journal, log
        self._name = f"{endpoint.base_url.rstrip('/')} ({endpoint.model})"
        self._admission = Admission(self._name, endpoint.max_concurrency, endpoint.max_tokens_total)
        if endpoint.max_tokens_total:
            self._admission.spend(sum(map(_tokens, journal.values())))
        self._transport = Transport(endpoint, self._admission, self.usage, log)
        self._asking: dict[str, asyncio.Event] = {}
        self._failures_in_a_row = 0
        self._failed: Retryable | Final | None = None
        """The last failure, while nothing has been answered since."""
        self._answered = self._all_passing = self._all_unreachable = False
        """Whether anything was ever answered, and the sort of all failures since the last answer."""
        self._unconfirmed: dict[str, Any] = {}
        self._forbidden: EndpointError | None = None
        """A refusal of status 403 that may be about the key, while nothing was answered."""

    def map(self, requests: Sequence[ChatRequest], desc: str = "", *, bar: bool = True) -> list[Answer]:
        """Answer all requests, at most `max_concurrency` at once; `bar=False` leaves progress to the caller.

        Requests that show the same images are sent one after the other, whatever their order here: servers
        keep the vision encoder's output for a while. An answer that does not fit its schema is asked for once
        more with the validation error. If that fails too, or the endpoint refuses the request, the answer
        carries an error and the caller quarantines the row.

        Raises:
            EndpointError: credentials or model name are refused (HTTP 401, 403, 404), or nothing at all was
                answered and no request was at fault.
            BudgetError: `max_tokens_total` is used up and there are unanswered requests.
            StageError: the endpoint stopped answering.
            In each case the requests under way are finished and kept.
        """
        answers: list[Answer | None] = [None] * len(requests)
        shown = ProgressBar(len(requests), desc or self.endpoint.model, self._log) if bar else None

        async def work(index: int) -> None:
            answers[index] = await self._answer(requests[index])
            if shown is not None:
                shown.update()

        with shown or contextlib.nullcontext():
            self._run(work, by_images(requests))
        self._check_alive()
        return [answer for answer in answers if answer is not None]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of `texts`: float32 of shape (len(texts), dimension), each row of length 1.

        A vector may depend, in its last digits, on the other texts of its batch. So batches are cut before
        the known texts are left out: a restart sends the batches that it would have sent.

        Raises:
            EndpointError, BudgetError, StageError: as `map`, and for any embedding that fails.
        """
        unique = list(dict.fromkeys(texts))
        keys = {text: sha256_hex(canonical_json(["embed", self.endpoint.model, text])) for text in unique}
        size = self.endpoint.embed_batch
        batches = [
            [text for text in unique[start : start + size] if keys[text] not in self._journal]
            for start in range(0, len(unique), size)
        ]
        batches = [batch for batch in batches if batch]

        async def work(index: int) -> None:
            await self._embed(batches[index], keys)

        self._run(work, range(len(batches)))
        if not len(texts):
            return np.zeros((0, 0), dtype=np.float32)
        vectors = [self._journal.get(keys[text]) for text in texts]
        if len({len(vector) for vector in vectors}) > 1:
            raise EndpointError(
                f"{self._name}: embeddings of different lengths; was the model behind the address changed?"
            )
        matrix = np.asarray(vectors, dtype=np.float32)
        return matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)

    async def _embed(self, batch: list[str], keys: dict[str, str]) -> None:
        request = canonical_json({"model": self.endpoint.model, "input": batch}).encode("utf-8", "replace")
        key = sha256_hex(request)

        def read(body: Any) -> tuple[list[list[float]], int]:
            return read_vectors(body, len(batch))

        try:
            vectors, tokens = await self._transport.post("/embeddings", request, key, read)
        except (Retryable, Final) as error:
            size = f" (a request of {len(batch)} texts; embed_batch sets how many)" if len(batch) > 1 else ""
            kind = EndpointError if isinstance(error, Final) or not self._answered else StageError
            raise kind(f"{self._name}, embeddings: {error}{size}") from error
        self._answered = True
        entries = {keys[text]: vector for text, vector in zip(batch, vectors, strict=True)}
        self._journal.put_all({**entries, f"usage:{key}": {"prompt_tokens": tokens, "completion_tokens": 0}})
        self.usage.prompt_tokens += tokens
        self._admission.spend(tokens)

    def _run(self, work: Callable[[int], Awaitable[None]], order: Sequence[int]) -> None:
        """Run `work(index)` for every index of `order` on a bounded number of workers; raises if stopped."""
        if not order:
            return
        stopped = False

        async def worker(indices: Iterator[int]) -> None:
            nonlocal stopped
            for index in indices:
                try:
                    await work(index)
                    # Other replies that have come are journalled before this worker builds its next request.
                    await asyncio.sleep(0)
                except (StageError, Stopped) as error:
                    stopped = True
                    if isinstance(error, StageError):  # other workers' requests go on: they are paid for
                        self._admission.stop(error)
                    return

        async def all_workers() -> None:
            self._admission.begin()
            indices = iter(order)
            async with self._transport.opened(), asyncio.TaskGroup() as group:
                for _ in range(min(self.endpoint.max_concurrency, len(order))):
                    group.create_task(worker(indices))

        try:
            asyncio.run(all_workers())
        except* Exception as group:  # noqa: BLE001 - unwrapped and raised again
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        if stopped and self._admission.stop_reason is not None:
            raise self._admission.stop_reason
        if self._forbidden is not None and not self._answered:
            raise self._forbidden

    async def _answer(self, request: ChatRequest) -> Answer:
        payload = chat_payload(self.endpoint, request)
        prompt_tokens = completion_tokens = 0
        error = ""
        asked: list[str] = []
        for _ in range(2):
            body = canonical_json(payload).encode("utf-8", "replace")
            asked.append(sha256_hex(body))
            reply = await self._chat(body, asked[-1])
            if "error" in reply:
                error = f"endpoint: {reply['error']}"
                break
            prompt_tokens += reply["prompt_tokens"]
            completion_tokens += reply["completion_tokens"]
            if "refused" in reply:
                error = f"endpoint: {reply['refused']}"
                break
            value, fault = _read(request, reply)
            if not fault:
                finished = not reply.get("cut", False)
                return Answer(request.key, value, None, prompt_tokens, completion_tokens, finished=finished)
            error = f"malformed: {fault}"
            if reply.get("cut") and not without_thoughts(reply["text"]):
                break  # it has no room for an answer; asked again, it has no more
            payload["messages"] += repair_messages(reply["text"], fault)
        self.usage.failures += 1
        # The next run asks again: by then the server may have been set right.
        self._journal.forget_at_end(asked)
        return Answer(request.key, None, error, prompt_tokens, completion_tokens)

    async def _chat(self, body: bytes, key: str) -> dict[str, Any]:
        """The reply's text and tokens, or the `error` that it ended with; asked once, then journalled."""
        while (other := self._asking.get(key)) is not None:  # an equal request is under way
            await other.wait()
        reply: dict[str, Any] | None = self._journal.get(key)
        if reply is not None:
            self.usage.replayed += 1
            self._answered = self._answered or "error" not in reply
            self.usage.count(reply)
            return reply
        self._asking[key] = asyncio.Event()
        try:
            return await self._ask(body, key)
        finally:
            self._asking.pop(key).set()

    async def _post(self, body: bytes, key: str) -> dict[str, Any]:
        """One reply. Status 403 is about the request if its words say so, or if others are answered.

        Raises:
            Final, Retryable, EndpointError: as `Transport.post`.
        """
        try:
            return await self._transport.post("/chat/completions", body, key, read_chat)
        except EndpointError as error:
            if not is_forbidden(str(error)):
                raise
            if not is_flagged(str(error)) and not self._answered:
                if self._failures_in_a_row + 1 >= _MAX_FAILURES_IN_A_ROW:
                    raise
                self._forbidden = error
            raise Final(str(error).partition("; check base_url")[0]) from error

    async def _ask(self, body: bytes, key: str) -> dict[str, Any]:
        try:
            reply = await self._post(body, key)
        except (Retryable, Final) as error:
            self._note_failure(error)
            failed = {"error": str(error)}
            if isinstance(error, Final):  # kept once something is answered: a wrong set-up refuses everything
                self._unconfirmed[key] = failed
            return failed
        self._journal.put(key, reply)
        self._failures_in_a_row, self._failed, self._answered = 0, None, True
        if self.endpoint.max_tokens_total and not _tokens(reply):
            missing = "replies carry no `usage`, so max_tokens_total cannot be kept; set it to 0"
            raise EndpointError(f"{self._name}: {missing}")
        self._admission.spend(_tokens(reply))
        self.usage.count(reply)
        if self._unconfirmed:
            self._journal.put_all(self._unconfirmed)
            self._unconfirmed = {}
        return reply

    def _note_failure(self, error: Retryable | Final) -> None:
        """Count a request that failed.

        Raises:
            StageError: so many in a row failed that the endpoint is at fault.
            EndpointError: it answered nothing yet and refuses a parameter that every request has.
        """
        first, self._failed = self._failed is None, error
        passing = isinstance(error, Retryable) or error.passing
        unreachable = isinstance(error, Retryable) and error.unreachable
        self._all_passing = passing and (first or self._all_passing)
        self._all_unreachable = unreachable and (first or self._all_unreachable)
        self._failures_in_a_row += 1
        if isinstance(error, Final) and error.advice and not self._answered:
            raise EndpointError(f"{self._name}: {error}; {error.advice}") from error
        if self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW:
            raise self._stopped(f"{self._failures_in_a_row} requests in a row failed, the last with: {error}")

    def _check_alive(self) -> None:
        """Tell an endpoint that is down from requests that are bad, where too few were asked to count them.

        Raises:
            EndpointError: nothing was ever answered, and no failure was about its request.
            StageError: the endpoint has gone: nothing listens any more.
        """
        if self._failed is None:
            return
        if self._all_unreachable or (self._all_passing and not self._answered):
            raise self._stopped(f"{self._failures_in_a_row} requests failed, the last with: {self._failed}")

    def _stopped(self, what: str) -> StageError:
        """An endpoint that never answered is unusable; one that did may come back."""
        kind = StageError if self._answered else EndpointError
        advice = "Answered requests are kept; run the stage again when it answers."
        return kind(f"{self._name}: {what}. {advice}")


def _read(request: ChatRequest, reply: dict[str, Any]) -> tuple[Any, str]:
    """The typed answer, or why the reply is none."""
    if request.schema is None:
        return reply["text"], ""
    value, fault = read_answer(reply["text"] or reply.get("reasoning", ""), request.schema)
    return value, f"cut off at {request.max_tokens} tokens; {fault}" if fault and reply.get("cut") else fault


def _tokens(entry: Any) -> int:
    """Tokens of a journal entry; vectors and refusals have none of their own."""
    if not isinstance(entry, dict):
        return 0
    return int(entry.get("prompt_tokens", 0)) + int(entry.get("completion_tokens", 0))
