"""Fine matching: a model that sees the image chooses among the candidates, or none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from components.core.data.image_store import ImageStore
from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.topic_matching.coarse import Candidate, Match
from components.topic_matching.config import Config
from components.topic_matching.topics import Topics

# Why an image is in `rejected`; the list is closed. After the first two it is certain that no topic fits the
# image, after the others nothing is known.
REASONS = ("no_topic", "no_candidate", "no_caption", "unusable_answer", "endpoint_refused")
MAX_SCORE = 10.0


@dataclass(frozen=True)
class Outcome:
    """The matches of one image, or a reason why there are none."""

    image_id: str
    caption: str
    matches: tuple[Match, ...] = ()
    reason: str = ""
    detail: str = ""


class TopicPick(BaseModel):
    """One chosen candidate, by its number in the prompt."""

    index: int = Field(ge=-9999, le=9999)
    score: float = Field(ge=0, le=MAX_SCORE)


class TopicChoice(BaseModel):
    """The model's answer: none, one or several of the candidates."""

    topics: list[TopicPick] = Field(max_length=1000)


def choose(
    config: Config,
    rows: Sequence[dict[str, Any]],
    offered: Sequence[Sequence[Candidate]],
    topics: Topics,
    images: ImageStore,
    teacher: MLLMClient,
    desc: str,
) -> list[Outcome]:
    """Let the model choose for every image that has candidates; one without any is not asked about."""
    requests = []
    for row, some in zip(rows, offered, strict=True):
        if some:
            paths = [topics.paths[candidate.topic] for candidate in some]
            prompt, _ = render(__file__, "choose.jinja", paths=paths, max_topics=config.max_topics)
            image_id, limit = row["image_id"], config.max_answer_tokens
            pictures = (images.get(image_id),)
            requests.append(ChatRequest(image_id, prompt, TopicChoice, pictures, max_tokens=limit))
    answers = {answer.key: answer for answer in teacher.map(requests, desc=desc)}
    return [
        _outcome(config, row, answers[row["image_id"]], some) if some else no_candidate(config, row)
        for row, some in zip(rows, offered, strict=True)
    ]


def no_candidate(config: Config, row: dict[str, Any]) -> Outcome:
    """The outcome of an image whose caption is near to no topic."""
    detail = f"no topic is as near to the caption as min_similarity {config.min_similarity:g}"
    return Outcome(row["image_id"], row["caption"], reason="no_candidate", detail=detail)


def _outcome(config: Config, row: dict[str, Any], answer: Answer, some: Sequence[Candidate]) -> Outcome:
    chosen: Sequence[Match] | None = ()
    if answer.value is None:
        detail = answer.error or ""
        reason = "endpoint_refused" if detail.startswith("endpoint:") else "unusable_answer"
    elif (chosen := read_choice(answer.value, some, config.max_topics)) is None:
        reason, detail = "unusable_answer", f"chose only numbers that none of the {len(some)} candidates has"
    elif not chosen:
        reason, detail = "no_topic", f"the model chose none of {len(some)} candidates"
    else:
        reason = detail = ""
    return Outcome(row["image_id"], row["caption"], tuple(chosen or ()), reason, detail)


def read_choice(choice: TopicChoice, candidates: Sequence[Candidate], max_topics: int) -> list[Match] | None:
    """The chosen topics, best first (ties: the candidates' order), at most `max_topics`.

    A number that is on no candidate is ignored, a repeated one counts with its highest score. None: numbers
    were given but none of them is a candidate's, so the answer says nothing, not even "none".
    """
    scores: dict[int, float] = {}
    for pick in choice.topics:
        if 1 <= pick.index <= len(candidates):
            scores[pick.index - 1] = max(pick.score, scores.get(pick.index - 1, 0.0))
    if choice.topics and not scores:
        return None
    best = sorted(scores, key=lambda index: (-scores[index], index))[:max_topics]
    return [Match(candidates[i].topic, candidates[i].coarse, scores[i] / MAX_SCORE) for i in best]
