"""The `mllm` scorer: a multimodal model rates each image on the four dimensions and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.prompts import render
from components.ids_scoring.budget import DIMENSIONS
from components.ids_scoring.scorers import Reason, ScoredImage, Unscored

_Score = Annotated[float, Field(ge=0, le=10)]


class ImageScore(BaseModel):
    """The model's answer. The rationale comes first, so that the scores follow from it."""

    rationale: str
    caption: str
    subject_diversity: _Score
    spatial_relationships: _Score
    ocr_text_richness: _Score
    world_knowledge: _Score


class MLLMScorer:
    """Asks one request an image; answers are journalled, so no image is paid for twice."""

    def __init__(self, client: MLLMClient, max_answer_tokens: int, seed: int) -> None:
        self._client = client
        self._max_answer_tokens = max_answer_tokens
        self._seed = seed
        self._prompt, prompt_hash = render(__file__, "score.jinja")
        self.name = f"mllm:{client.endpoint.model}:{prompt_hash}"

    def score(self, images: Sequence[tuple[str, bytes]], desc: str) -> list[ScoredImage | Unscored]:
        """Score images, as many at once as the endpoint's `max_concurrency` allows."""
        requests = [
            ChatRequest(
                key=image_id,
                prompt=self._prompt,
                schema=ImageScore,
                images=(data,),
                seed=self._seed,
                max_tokens=self._max_answer_tokens,
            )
            for image_id, data in images
        ]
        return [_result(answer) for answer in self._client.map(requests, desc=desc)]


def _result(answer: Answer) -> ScoredImage | Unscored:
    value: ImageScore | None = answer.value
    if value is None:
        error = answer.error or ""
        reason = Reason.MALFORMED_ANSWER if error.startswith("malformed") else Reason.REFUSED_BY_ENDPOINT
        return Unscored(reason, error)
    scores = tuple(float(getattr(value, name)) for name in DIMENSIONS)
    return ScoredImage(
        (scores[0], scores[1], scores[2], scores[3]), value.rationale.strip(), value.caption.strip()
    )
