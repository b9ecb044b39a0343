"""Fine matching: reading which of the candidates the model chose. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from components.topic_matching.topics import Candidate, Match

MAX_SCORE = 10.0


class TopicPick(BaseModel):
    """One chosen candidate, by its number in the prompt."""

    index: int
    score: float = Field(ge=0, le=MAX_SCORE)


class TopicChoice(BaseModel):
    """The model's answer: none, one or several of the candidates."""

    topics: list[TopicPick]


def read_choice(choice: TopicChoice, candidates: Sequence[Candidate], max_topics: int) -> list[Match] | None:
    """The chosen topics, best first (ties: the candidates' order), at most `max_topics`.

    A number that is on no candidate is ignored, a repeated one counts with its highest score. None is returned when
    numbers were given but none of them is a candidate's: such an answer says nothing, not even "none".
    """
    scores: dict[int, float] = {}
    for pick in choice.topics:
        if 1 <= pick.index <= len(candidates):
            scores[pick.index - 1] = max(pick.score, scores.get(pick.index - 1, 0.0))
    if choice.topics and not scores:
        return None
    best = sorted(scores, key=lambda index: (-scores[index], index))[:max_topics]
    return [Match(candidates[i].topic, candidates[i].coarse, scores[i] / MAX_SCORE) for i in best]
