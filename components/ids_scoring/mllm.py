"""The `mllm` scorer: a multimodal model rates each image on the four dimensions and says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BaseModel, Field

from components.core.data.mapping import in_batches
from components.core.mllm import Answer, ChatRequest, MLLMClient
from components.core.mllm.prompts import render
from components.core.stage.context import StageContext
from components.ids_scoring.budget import DIMENSIONS
from components.ids_scoring.config import Config
from components.ids_scoring.scorers import DensityScorer, Reason, ScoredImage, Unscored

_Score = Annotated[float, Field(ge=0, le=10)]


class ImageScore(BaseModel):
    """The model's answer. The rationale comes first, so that the scores follow from it."""

    rationale: Annotated[str, Field(max_length=2000)]
    caption: Annotated[str, Field(max_length=1000)]
    subject_diversity: _Score
    spatial_relationships: _Score
    ocr_text_richness: _Score
    world_knowledge: _Score


class MLLMScorer(DensityScorer):
    """Sends one request an image, `max_concurrency` at once; with a journal, no image is paid for twice."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        assert config.endpoint is not None  # the settings refuse `mllm` without an endpoint
        self._config = config
        self._client = MLLMClient(config.endpoint, ctx.work.journal("replies"), ctx.log)
        self._prompt, prompt_hash = render(__file__, "score.jinja")
        self.name = f"mllm:{config.endpoint.model}:{prompt_hash}"

    def score(self, images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, ScoredImage | Unscored]]:
        for batch in in_batches(images, self._config.batch_images):
            answers = self._client.map([self._request(*image) for image in batch], bar=False)
            yield from ((answer.key, _result(answer)) for answer in answers)

    def metrics(self) -> dict[str, float]:
        return self._client.usage.metrics("scorer")

    def _request(self, image_id: str, data: bytes) -> ChatRequest:
        seed, limit = self._config.seed, self._config.max_answer_tokens
        return ChatRequest(image_id, self._prompt, ImageScore, (data,), seed=seed, max_tokens=limit)


def _result(answer: Answer) -> ScoredImage | Unscored:
    value: ImageScore | None = answer.value
    if value is None:
        error = answer.error or ""
        reason = Reason.MALFORMED_ANSWER if error.startswith("malformed") else Reason.REFUSED_BY_ENDPOINT
        return Unscored(reason, error)
    scores = tuple(float(getattr(value, name)) for name in DIMENSIONS)
    return ScoredImage(scores, value.rationale.strip(), value.caption.strip())
