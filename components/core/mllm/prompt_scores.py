"""Log-probabilities of an answer that another model gave, from a vLLM server's `prompt_logprobs`.

The server is sent the conversation with the answer, makes token ids of it itself, and says how probable each
was. Its ids are compared with the ones that are asked about: what it read otherwise gets no number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from components.core.data.data_uri import data_uri
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.mllm.admission import Admission
from components.core.mllm.client import MLLMClient
from components.core.mllm.transport import Final, Retryable, Transport
from components.core.mllm.usage import Usage
from components.core.stage.errors import ConfigError, EndpointError, StageError

_CHUNK = 4096
"""Ids of one request for their text."""
_NEVER = -9999.0
"""What vLLM writes for minus infinity."""


@dataclass(frozen=True)
class Said:
    """An answer to be scored."""

    image: bytes
    question: str
    answer: str
    """Its text without the token that ends it, which the server's chat template writes."""
    prompt_ids: Sequence[int]
    """The prompt as the student read it, pictures expanded."""
    answer_ids: Sequence[int]
    """The sampled tokens, the end token included."""


class PromptScorer(MLLMClient):
    """Asks one vLLM server; every reply is journalled before it is used, as by `MLLMClient`."""

    def score(self, asked: Sequence[Said]) -> list[list[float | None]]:
        """Log-probabilities of each answer's tokens, None where the server read another token.

        Equal answers to one question are asked for once.

        Raises:
            ConfigError: the server reads a prompt otherwise, e.g. with another vocabulary or chat template.
            EndpointError: it gives no `prompt_logprobs`, refuses, or never answered.
            StageError: it stopped answering; what it answered is kept.
        """
        bodies = [self._body(one) for one in asked]
        # Equal texts may have been sampled as other tokens.
        keys = [
            sha256_hex(canonical_json([sha256_hex(body), list(one.prompt_ids), list(one.answer_ids)]))
            for one, body in zip(asked, bodies, strict=True)
        ]
        places = [place for place, key in enumerate(keys) if keys.index(key) == place]
        missing = [place for place in places if keys[place] not in self._journal]
        self.usage.replayed += len(places) - len(missing)

        async def work(index: int) -> None:
            place = missing[index]
            await self._score(asked[place], bodies[place], keys[place])

        self._run(work, range(len(missing)))
        return [self._journal.get(key)["logps"] for key in keys]

    def offered(self, said: Said) -> int:
        """Ask about one answer as `score` does, and compare nothing: does the server do what is needed?

        Returns:
            How many tokens it gave log-probabilities for.

        Raises:
            EndpointError: it gives no `prompt_logprobs`, refuses, or never answered.
            StageError: it stopped answering.
        """
        given: list[int] = []

        async def work(index: int) -> None:
            body = self._body(said)
            given.append(await self._told(body, sha256_hex(body), lambda reply: len(self._entries(reply))))

        self._run(work, range(1))
        return given[0]

    def check_vocabulary(self, tokenizer: Any) -> str:
        """Compare the server's text of every token id with a tokenizer's.

        Returns:
            Why it could not be compared, "" if it was. Answers are compared token by token in any case.

        Raises:
            ConfigError: the vocabularies differ.
        """
        size = len(tokenizer)
        chunks = [list(range(start, min(start + _CHUNK, size))) for start in range(0, size, _CHUNK)]
        try:
            texts = asyncio.run(self._texts_of(chunks))
        except (StageError, Retryable, Final) as error:
            return f"{self._name} does not tell the texts of its tokens: {error}"
        for index, ids in enumerate(chunks):
            if texts[index] != tokenizer.decode(ids, skip_special_tokens=False):
                raise ConfigError(
                    f"{self._name}: its tokens {ids[0]} to {ids[-1]} are not the student's; a teacher "
                    "needs the same vocabulary, take one of its family"
                )
        return ""

    async def _texts_of(self, chunks: Sequence[Sequence[int]]) -> list[str]:
        """The server's text of each list of ids; vLLM's `/detokenize` stands beside `/v1`."""
        address = self.endpoint.base_url.rstrip("/").removesuffix("/v1")
        root = self.endpoint.model_copy(update={"base_url": address, "max_retries": 0})
        admission = Admission(self._name, 1, 0)
        admission.begin()
        texts = []
        async with (transport := Transport(root, admission, Usage(), self._log)).opened():
            for ids in chunks:
                body = canonical_json({"model": root.model, "tokens": ids}).encode()
                told = await transport.post(
                    "/detokenize", body, sha256_hex(body), lambda reply: reply["prompt"]
                )
                texts.append(str(told))
        return texts

    def _body(self, said: Said) -> bytes:
        shown = {"type": "image_url", "image_url": {"url": data_uri(said.image)}}
        content = [shown, {"type": "text", "text": said.question}]
        payload = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": content}, {"role": "assistant", "content": said.answer}],
            "add_generation_prompt": False,
            self.endpoint.token_limit: 1,
            "prompt_logprobs": 0,  # of the tokens that are there, and of no others
        }
        return canonical_json(payload).encode("utf-8", "replace")

    async def _score(self, said: Said, body: bytes, key: str) -> None:
        def read(reply: Any) -> dict[str, Any]:
            usage = reply.get("usage") or {}
            return {
                "logps": self._of_answer(self._entries(reply), said),
                "prompt_tokens": int(usage.get("prompt_tokens") or 0),
                "completion_tokens": int(usage.get("completion_tokens") or 0),
            }

        reply = await self._told(body, key, read)
        self._journal.put(key, reply)
        self._admission.spend(reply["prompt_tokens"] + reply["completion_tokens"])
        self.usage.count(reply)

    async def _told(self, body: bytes, key: str, read: Callable[[Any], Any]) -> Any:
        """What `read` makes of the reply."""
        try:
            reply = await self._transport.post("/chat/completions", body, key, read)
        except (Retryable, Final) as error:
            kind = EndpointError if isinstance(error, Final) or not self._answered else StageError
            raise kind(f"{self._name}, log-probabilities: {error}") from error
        self._answered = True
        return reply

    def _entries(self, reply: Any) -> list[Any]:
        """A reply's `prompt_logprobs`: one entry a token, {id: {logprob: ...}}."""
        given = reply.get("prompt_logprobs")
        if not isinstance(given, list):
            raise EndpointError(
                f"{self._name}: its replies hold no prompt_logprobs; a teacher has to be served by vLLM"
            )
        return given

    def _of_answer(self, given: list[Any], said: Said) -> list[float | None]:
        """The answer's part of a reply's entries."""
        first = [next(iter((entry or {"-1": {}}).items())) for entry in given]
        ids = [int(token) for token, _ in first]
        start = len(said.prompt_ids)
        # Nothing stands before the first token, so it has no probability and the server does not name it.
        if ids[1:start] != list(said.prompt_ids[1:]):
            place = next((n for n in range(1, start) if ids[n : n + 1] != [said.prompt_ids[n]]), start)
            raise ConfigError(
                f"{self._name}: reads a question as other tokens than the student, from token {place} of "
                f"{start} on; a teacher needs the student's vocabulary, chat template and picture limits"
            )
        same = 0
        for ours, theirs in zip(said.answer_ids, ids[start:], strict=False):
            if ours != theirs:
                break
            same += 1
        found = [float(entry["logprob"]) for _, entry in first[start : start + same]]
        usable: list[float | None] = [logp if logp > _NEVER else None for logp in found]
        return usable + [None] * (len(said.answer_ids) - same)
