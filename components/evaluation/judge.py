"""The named judge: a model that reads answers which rules cannot, and decides on open ones. Never replaced silently."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from components.core.data.hashing import canonical_json, sha256_hex
from components.core.mllm import ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.core.resume.journal import Journal
from components.core.stage.errors import StageError
from components.core.stage.settings import Endpoint
from components.core.vlm.messages import format_question
from components.evaluation.items import Item
from components.evaluation.scoring.registry import KINDS
from components.evaluation.scoring.types import UNREAD, Scored

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
    """Asks one endpoint about responses, without pictures, at temperature 0; what it said is kept in the journal.

    Args:
        endpoint: the judge's model.
        journal: where its replies are kept, so that a resumed run asks nothing twice.
        max_failed: share of questions that may stay without a usable reply.
    """

    def __init__(
        self, endpoint: Endpoint, journal: Journal, log: logging.Logger, max_failed: float = 0.01
    ) -> None:
        self._client = MLLMClient(endpoint, journal, log)
        self._log = log
        self._max_failed = max_failed
        self.asked = 0
        """Responses that the judge was asked about."""
        self.failed = 0
        """Those without a usable reply; they count as wrong, with stage none."""

    @property
    def identity(self) -> dict[str, str]:
        """Model and hash of the judge's prompts, as recorded with the scores."""
        return {"model": self._client.endpoint.model, "prompt_hash": prompt_hash()}

    @property
    def usage(self) -> Any:
        """The client's totals."""
        return self._client.usage

    def read(self, items: Sequence[Item], responses: Sequence[str]) -> list[Scored]:
        """Scores by the judge, in order: of kind `judged` by its verdict, else by the rule on the answer that it reads.

        Raises:
            StageError: it does not answer, or more than `max_failed` of its replies are unusable.
        """
        requests = [_request(item, response) for item, response in zip(items, responses, strict=True)]
        if not requests:
            return []
        answers = self._client.map(requests, f"judge {self._client.endpoint.model}")
        failures = [answer for answer in answers if answer.error]
        self.asked += len(answers)
        self.failed += len(failures)
        if len(failures) > self._max_failed * len(answers):
            shown = "; ".join(f"{answer.key}: {answer.error}" for answer in failures[:3])
            raise StageError(
                f"the judge {self._client.endpoint.model} gave no usable reply to {len(failures)} of "
                f"{len(answers)} questions ({shown}); repair it, or raise judge_max_failed"
            )
        for answer in failures:
            self._log.warning(
                "judge: no usable reply for %s (%s): it counts as wrong", answer.key, answer.error
            )
        return [
            UNREAD if answer.error else _scored(item, answer.value)
            for item, answer in zip(items, answers, strict=True)
        ]


def prompt_hash() -> str:
    """Sixteen hex digits over the templates of the judge's questions."""
    blank: dict[str, Any] = {"question": "", "response": "", "answer_type": "", "form": "", "answers": ()}
    return sha256_hex(canonical_json([render(__file__, name, **blank)[1] for name in _TEMPLATES]))[:16]


def _request(item: Item, response: str) -> ChatRequest:
    question = format_question(item.question, item.choices)
    key = f"{item.benchmark}/{item.item_id}"
    said = response.strip()[-_RESPONSE_CHARS:]
    if item.kind == "judged":
        prompt, _ = render(
            __file__, "judge_verdict.jinja", question=question, answers=item.answers, response=said
        )
        return ChatRequest(key, prompt, Verdict)
    prompt, _ = render(
        __file__,
        "judge_read.jinja",
        question=question,
        response=said,
        answer_type=item.answer_type,
        form=item.form,
    )
    return ChatRequest(key, prompt, Read)


def _scored(item: Item, value: Any) -> Scored:
    if isinstance(value, Verdict):
        return Scored(value.answer.strip(), "judge", float(value.correct))
    if not value.answer.strip():
        return Scored("", "judge", 0.0)
    found = KINDS[item.kind].score(f"Answer: {value.answer.strip()}", item)
    return Scored(found.extracted, "judge", found.score)
