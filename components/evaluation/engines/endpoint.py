"""Engine of a model behind an OpenAI-compatible endpoint; no answer is asked for twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from components.core.data.hashing import seed_for
from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.pictures import sendable
from components.core.resume.journal import Journal
from components.core.stage.errors import ConfigError, EndpointError, StageError
from components.evaluation.config import Config
from components.evaluation.engines.base import Decoding, Engine, Parts, Response


class EndpointEngine(Engine):
    """One chat request a sample, each with a seed of its own; earlier answers come from the journal."""

    def __init__(self, config: Config, journal: Journal, log: logging.Logger) -> None:
        if config.endpoint is None:
            raise ConfigError("evaluation.endpoint: engine 'endpoint' needs base_url and model")
        self._endpoint = config.endpoint
        self._max_tokens = config.max_new_tokens
        self._client = MLLMClient(config.endpoint, journal, log)

    def describe(self) -> dict[str, Any]:
        return {"name": "endpoint", "model": self._endpoint.model}

    def answer(
        self, items: Sequence[Parts], decoding: Decoding, on_batch: Callable[[int], object]
    ) -> list[list[Response]]:
        """See `Engine.answer`.

        Raises:
            EndpointError: it refuses the credentials, does not know the model, or counts no tokens.
            StageError: a question gets no answer; earlier answers are kept.
        """
        requests = [
            ChatRequest(
                key=f"{index}/{number}",
                prompt="",
                schema=None,
                parts=tuple(sendable(part) if isinstance(part, bytes) else part for part in parts),
                temperature=decoding.temperature,
                seed=seed_for(decoding.seed, index, number) % 2**31,
                max_tokens=self._max_tokens,
            )
            for index, parts in enumerate(items)
            for number in range(decoding.samples)
        ]
        responses = [self._response(answer) for answer in self._client.map(requests, bar=False)]
        on_batch(len(items))
        size = decoding.samples
        return [responses[start : start + size] for start in range(0, len(responses), size)]

    def _response(self, answer: Answer) -> Response:
        where = f"{self._endpoint.base_url} ({self._endpoint.model})"
        if answer.error is not None:
            raise StageError(
                f"{where}: a question got no answer ({answer.error}); nothing is scored without all answers"
            )
        text = answer.value.strip()
        if text and not answer.completion_tokens:
            raise EndpointError(
                f"{where}: replies carry no usage.completion_tokens; response length needs it"
            )
        return Response(text, answer.completion_tokens, answer.finished)
