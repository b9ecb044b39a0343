"""The named judge: a model that reads answers which rules cannot, and decides on open ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from components.core.benchmarks.kinds import rules_of
from components.core.benchmarks.rules import UNREAD, Item, Scored
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.mllm import ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.core.resume.journal import Journal
from components.core.stage.errors import StageError
from components.core.stage.settings import Endpoint
from components.core.vlm.messages import format_question

_TEMPLATES = ("judge_read.jinja", "judge_verdict.jinja")
_RESPONSE_CHARS = 8000
"""The judge reads so much of a response, from its end, where answers are."""
_ANSWER_CHARS = 500


class Read(BaseModel):
    """The answer that a response gives; "" if it gives none."""

    answer: str = Field(max_length=_ANSWER_CHARS)


class Verdict(BaseModel):
    """Whether a response is right, and what it says."""

    correct: bool
    answer: str = Field(default="", max_length=_ANSWER_CHARS)


class Judge:
    """Asks one endpoint about responses, without pictures, at temperature 0; its replies are kept.

    Args:
        endpoint: the judge's model.
        journal: where its replies are kept, so that a resumed run asks nothing twice.
        max_failed: share of questions that may stay without a usable reply.
    """

    def __init__(
        self, endpoint: Endpoint, journal: Journal, log: logging.Logger, max_failed: float = 0.01
    ) -> None:
        self._client = MLLMClient(endpoint, journal, log)
        self._model = endpoint.model
        self._log = log
        self._max_failed = max_failed
        self.asked = 0
        """Responses that the judge was asked about."""
        self.failed = 0
        """Those without a usable reply; they count as wrong, with stage none."""

    @property
    def identity(self) -> dict[str, str]:
        """Model and hash of the judge's prompts, as recorded with the scores."""
        return {"model": self._model, "prompt_hash": prompt_hash()}

    def read(self, items: Sequence[Item], responses: Sequence[str]) -> list[Scored]:
        """Scores by the judge, in order: its verdict if it decides, else the rule on the answer it reads.

        Raises:
            StageError: it does not answer, or more than `max_failed` of its replies are unusable.
        """
        requests = [_request(item, response) for item, response in zip(items, responses, strict=True)]
        if not requests:
            return []
        answers = self._client.map(requests, f"judge {self._model}")
        failures = [answer for answer in answers if answer.error]
        self.asked += len(answers)
        self.failed += len(failures)
        if len(failures) > self._max_failed * len(answers):
            shown = "; ".join(f"{answer.key}: {answer.error}" for answer in failures[:3])
            raise StageError(
                f"the judge {self._model} gave no usable reply to {len(failures)} of {len(answers)} "
                f"questions ({shown}); repair it, or raise judge_max_failed"
            )
        for answer in failures:
            self._log.warning("judge: no usable reply for %s (%s): it is wrong", answer.key, answer.error)
        pairs = zip(items, answers, strict=True)
        return [UNREAD if answer.error else _scored(item, answer.value) for item, answer in pairs]


def prompt_hash() -> str:
    """Sixteen hex digits over the templates of the judge's questions."""
    blank: dict[str, Any] = {"question": "", "response": "", "answer_type": "", "form": "", "answers": ()}
    return sha256_hex(canonical_json([render(__file__, name, **blank)[1] for name in _TEMPLATES]))[:16]


def _request(item: Item, response: str) -> ChatRequest:
    decides = rules_of(item.kind).judge == "decides"
    prompt, _ = render(
        __file__,
        _TEMPLATES[decides],
        question=format_question(item.question, item.choices),
        response=response.strip()[-_RESPONSE_CHARS:],
        answer_type=item.answer_type,
        form=item.form,
        answers=item.answers,
    )
    return ChatRequest(f"{item.benchmark}/{item.item_id}", prompt, Verdict if decides else Read)


def _scored(item: Item, value: Any) -> Scored:
    if isinstance(value, Verdict):
        return Scored(value.answer.strip(), "judge", float(value.correct))
    if not value.answer.strip():
        return Scored("", "judge", 0.0)
    found = rules_of(item.kind).score(f"Answer: {value.answer.strip()}", item)
    return Scored(found.extracted, "judge", found.score)
