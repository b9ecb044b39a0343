"""A rollout: one response of the policy to one question, as rewards see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.core.answers import Question, extract


@dataclass(frozen=True, kw_only=True)
class Rollout(Question):
    """One response. Plain data, so that it travels between processes.

    `question` holds the choices where there are some; `reference` is the voted answer.
    """

    prompt_id: str
    image_id: str
    response: str
    """The whole response, special tokens removed."""
    answer: str
    """The answer extracted from the response; "" when there is none."""
    tokens: int
    """Length of the response, the end token included."""
    truncated: bool = False
    """The response met the token limit before its end token."""
    start_tokens: float = 0.0
    """Mean length of the starting policy's responses to the question; 0 when not measured."""
    blank_answer: str | None = None
    """The starting policy's answer to the same question on a blanked image; None when not asked."""
    swapped_answer: str | None = None
    """Its answer to the same question about another picture; None when not asked."""
    quality: float | None = None
    """The judge's, in [0, 1]; None when not judged, NaN when its reply was unusable."""
    meaning: int | None = None
    """Number of the response's cluster in its group by its embedding; None when not embedded."""


def make_rollout(
    prompt: Mapping[str, Any], response: str, token_ids: Sequence[int], end_tokens: frozenset[int]
) -> Rollout:
    """A rollout from a row of the training set and a generated response."""
    choices = tuple(str(choice) for choice in (prompt["choices"] or ()))
    return Rollout(
        prompt_id=str(prompt["prompt_id"]),
        image_id=str(prompt["image_id"]),
        question=str(prompt["question"]),
        answers=(str(prompt["reference"]),),
        answer_type=prompt["answer_type"],
        choices=choices,
        response=response,
        answer=extract(response, prompt["answer_type"], choices, str(prompt["question"])),
        tokens=len(token_ids),
        truncated=not token_ids or token_ids[-1] not in end_tokens,
        start_tokens=float(prompt.get("start_tokens") or 0.0),
        blank_answer=prompt.get("blank_answer"),
        swapped_answer=prompt.get("swapped_answer"),
    )
