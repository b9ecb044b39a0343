"""The judge: a served model that sees the picture and grades open answers by a rubric."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from pydantic import BaseModel, Field

from components.core.mllm import ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.core.resume.journal import Journal
from components.core.stage.errors import StageError
from components.hybrid_rl.rewards import Rollout
from components.hybrid_rl.rewards.asked.gaming import gamed
from components.hybrid_rl.rollouts.guards import guard
from components.hybrid_rl.settings import Guards
from components.hybrid_rl.settings import Judge as Settings

_MAX_TOKENS = 512
_ALL_UNUSABLE = 8
"""So many replies of one batch that are all unusable: the judge is at fault, not an answer."""


# The docstring, names and fields are part of the JSON schema that is sent with each request.
class AnswerGraded(BaseModel):
    """Grades of one answer, each from 0 to 10."""

    correct: int = Field(ge=0, le=10)
    complete: int = Field(ge=0, le=10)
    clear: int = Field(ge=0, le=10)
    reason: str = Field(default="", max_length=400)


def quality(graded: AnswerGraded) -> float:
    """One number in [0, 1]: the mean of the grades, but never above `correct`.

    So nothing is won by being complete and clear about what is not there.
    """
    mean = (graded.correct + graded.complete + graded.clear) / 3
    return min(float(graded.correct), mean) / 10


class Judge:
    """Grades rollouts whose type of answer is to be judged, at temperature 0.

    Args:
        settings: the stage's.
        guards: the stage's limits of repetition; None checks what games a judge alone.
        journal: where replies are kept.
        picture: the bytes of a picture by its id.
    """

    def __init__(
        self,
        settings: Settings,
        guards: Guards | None,
        journal: Journal,
        picture: Callable[[str], bytes],
        log: logging.Logger,
    ) -> None:
        self._settings, self._guards, self._picture = settings, guards, picture
        self.client = MLLMClient(settings.endpoint, journal, log)

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float | None]:
        """Quality of each in [0, 1]; None where none is to be judged, NaN where no usable reply came.

        A response that trips a guard has quality 0, and an empty one too; neither is asked about.

        Raises:
            EndpointError, BudgetError, StageError: the judge cannot be used, or no reply of many is usable.
        """
        found: list[float | None] = [
            (0.0 if r.answer_type in self._settings.answer_types else None) for r in rollouts
        ]
        asked: dict[tuple[str, str], list[int]] = {}
        for place, rollout in enumerate(rollouts):
            if found[place] is not None and rollout.response.strip() and not self._tripped(rollout):
                asked.setdefault((rollout.prompt_id, rollout.response), []).append(place)
        requests = [self._request(rollouts[places[0]]) for places in asked.values()]
        if not requests:
            return found
        answers = self.client.map(requests, "judge", bar=False)
        failed = [answer for answer in answers if answer.error]
        if len(failed) == len(answers) >= _ALL_UNUSABLE:
            raise StageError(
                f"hybrid_rl.judge: none of {len(answers)} replies is usable, e.g. {failed[0].error}; "
                "progress is kept; name another model, or repair it and run the stage again"
            )
        for answer, places in zip(answers, asked.values(), strict=True):
            value = math.nan if answer.error else quality(answer.value)
            for place in places:
                found[place] = value
        return found

    def _tripped(self, rollout: Rollout) -> bool:
        if self._guards is not None and guard(rollout, self._guards):
            return True
        return bool(gamed(rollout, self._settings.max_words))

    def _request(self, rollout: Rollout) -> ChatRequest:
        prompt, _ = render(
            __file__,
            "judge.jinja",
            question=rollout.question,
            reference=rollout.reference,
            response=rollout.response.strip(),
            rubric=self._settings.rubric.strip(),
        )
        picture = self._picture(rollout.image_id)
        return ChatRequest(rollout.prompt_id, prompt, AnswerGraded, (picture,), max_tokens=_MAX_TOKENS)
