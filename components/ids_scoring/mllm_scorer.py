"""The `mllm` scorer: a multimodal model rates each image on the four dimensions and says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated

from pydantic import BaseModel, Field

from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.ids_scoring.budget import DIMENSIONS
from components.ids_scoring.scorers import Reason, ScoredImage, Unscored

_Score = Annotated[float, Field(ge=0, le=10)]


class ImageScore(BaseModel):
    """The model's answer. The rationale comes first, so that the scores follow from it."""

    rationale: Annotated[str, Field(max_length=2000)]
    caption: Annotated[str, Field(max_length=1000)]
    subject_diversity: _Score
    spatial_relationships: _Score
    ocr_text_richness: _Score
    world_knowledge: _Score


class MLLMScorer:
    """Asks one request an image; answers are journalled, so no image is paid for twice."""

    def __init__(self, client: MLLMClient, max_answer_tokens: int, seed: int, batch_images: int) -> None:
        self._client = client
        self._batch_images = batch_images
        self._max_answer_tokens = max_answer_tokens
        self._seed = seed
        self._prompt, prompt_hash = render(__file__, "score.jinja")
        self.name = f"mllm:{client.endpoint.model}:{prompt_hash}"

    def score(self, images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, ScoredImage | Unscored]]:
        """Score images, as many at once as the endpoint's `max_concurrency` allows, `batch_images` in memory."""
        images = iter(images)
        while batch := list(islice(images, self._batch_images)):
            answers = self._client.map([self._request(*image) for image in batch], bar=False)
            yield from ((answer.key, _result(answer)) for answer in answers)

    def metrics(self) -> dict[str, float]:
        """Requests, retries, tokens and latency."""
        return self._client.usage.metrics("scorer")

    def _request(self, image_id: str, data: bytes) -> ChatRequest:
        return ChatRequest(
            key=image_id,
            prompt=self._prompt,
            schema=ImageScore,
            images=(data,),
            seed=self._seed,
            max_tokens=self._max_answer_tokens,
        )


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
