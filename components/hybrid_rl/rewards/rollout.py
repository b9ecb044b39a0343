"""What a reward function sees of one rollout."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.answers import AnswerType


@dataclass(frozen=True, slots=True)
class Rollout:
    """One response of the policy to one prompt. Plain data, so that it travels between processes."""

    prompt_id: str
    image_id: str
    question: str
    """The prompt's text, with the choices where there are some."""
    reference: str
    """The voted answer."""
    answer_type: AnswerType
    choices: tuple[str, ...]
    """The options' texts when `answer_type` is choice, in letter order."""
    response: str
    """The whole response, special tokens removed."""
    answer: str
    """The answer extracted from the response; "" when there is none."""
    tokens: int
    """Length of the response, the end token included."""
    truncated: bool = False
    """The response met the token limit before its end token."""
    blank_answer: str | None = None
    """What the starting policy answers to the same question on a blanked image; None when not asked."""
