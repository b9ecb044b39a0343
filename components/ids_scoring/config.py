"""Settings of the ids_scoring stage."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from components.core.data.mapping import EngineSettings
from components.core.stage.settings import OPERATIONAL, Endpoint, Settings


class Weights(Settings):
    """Weight of each dimension in the score; only the ratios matter."""

    subject_diversity: float = Field(default=0.25, ge=0)
    """How many different subjects the image shows."""
    spatial_relationships: float = Field(default=0.25, ge=0)
    """How much there is to say about where things are."""
    ocr_text_richness: float = Field(default=0.25, ge=0)
    """How much there is to read."""
    world_knowledge: float = Field(default=0.25, ge=0)
    """How much knowledge from outside the image it calls for."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not any(self.as_tuple()):
            raise ValueError("every weight is 0; give at least one dimension a weight")
        return self

    def as_tuple(self) -> tuple[float, ...]:
        """The weights in the order of `DIMENSIONS`."""
        return tuple(self.model_dump().values())


class Budget(Settings):
    """How many questions an image gets."""

    mode: Literal["bands", "total"] = "bands"
    """`bands`: by the score alone. `total`: a given number over all images, in proportion to their scores."""
    band_edges: tuple[float, ...] = (3.0, 6.0, 8.0)
    """Lower edges of the second and later bands, rising."""
    band_questions: tuple[NonNegativeInt, ...] = (1, 3, 5, 8)
    """Questions of an image in each band; one more entry than edges."""
    total: int = Field(default=0, ge=0)
    """With `total`: the exact number of questions over all images."""
    n_min: int = Field(default=1, ge=0)
    """With `total`: fewest questions of an image."""
    n_max: int = Field(default=8, ge=1)
    """With `total`: most questions of an image."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        edges = len(self.band_edges)
        if len(self.band_questions) != edges + 1:
            raise ValueError(f"{edges} band_edges need {edges + 1} band_questions")
        if any(low >= high for low, high in pairwise(self.band_edges)):
            raise ValueError("band_edges must rise")
        if self.n_min > self.n_max:
            raise ValueError(f"n_min {self.n_min} is above n_max {self.n_max}")
        if self.mode == "total" and not self.total:
            raise ValueError("mode 'total' needs total, the number of questions over all images")
        return self


class Config(Settings):
    """How information density is measured, and how many questions it allots."""

    scorer: Literal["mllm", "proxy"] = "mllm"
    """`mllm`: a model rates the image, as in the paper. `proxy`: text recognition and image statistics,
    without a model; every row names it."""
    endpoint: Endpoint | None = None
    """The model of the `mllm` scorer."""
    weights: Weights = Weights()
    """Weights of the four dimensions."""
    budget: Budget = Budget()
    """From scores to numbers of questions."""
    max_answer_tokens: int = Field(default=512, ge=64)
    """Limit for one answer of the model."""
    seed: int = Field(default=0, ge=0)
    """Seed sent with every request."""
    batch_images: int = Field(default=256, ge=1, json_schema_extra=OPERATIONAL)
    """Images held in memory at once with the `mllm` scorer. Does not change the output."""
    engine: EngineSettings = Field(default=EngineSettings(), json_schema_extra=OPERATIONAL)
    """Where the `proxy` scorer's work runs. Does not change the output."""

    def unread(self) -> tuple[str, ...]:
        """The endpoint, where no model rates."""
        return () if self.scorer == "mllm" else ("endpoint",)

    @model_validator(mode="after")
    def _has_endpoint(self) -> Self:
        if self.scorer == "mllm" and self.endpoint is None:
            raise ValueError("scorer 'mllm' needs an endpoint; without one, use scorer 'proxy'")
        return self
