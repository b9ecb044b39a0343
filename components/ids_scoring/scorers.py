"""The interface of scorers: four dimension scores of each image, or the reason why there are none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from components.core.stage.context import StageContext
from components.ids_scoring.config import Config


class Reason(StrEnum):
    """Why an image was not scored: the closed list of the `rejected` table."""

    MALFORMED_ANSWER = "malformed_answer"
    """The model's answer did not fit the schema, twice."""
    REFUSED_BY_ENDPOINT = "refused_by_endpoint"
    """The endpoint did not answer for this image."""


@dataclass(frozen=True)
class ScoredImage:
    """Scores of one image, 0 to 10, in the order of `budget.DIMENSIONS`."""

    scores: tuple[float, ...]
    rationale: str
    caption: str


@dataclass(frozen=True)
class Unscored:
    """An image that goes to `rejected`."""

    reason: Reason
    detail: str


class DensityScorer(ABC):
    """A way to score images; `stage.SCORERS` lists all of them."""

    name: str
    """Stored with every row that it scored."""

    @abstractmethod
    def __init__(self, config: Config, ctx: StageContext) -> None:
        """Prepare it from the stage's settings."""

    @abstractmethod
    def score(self, images: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, ScoredImage | Unscored]]:
        """Yield (image_id, result) of (image_id, bytes) pairs in order; reads a bounded number ahead."""

    def metrics(self) -> dict[str, float]:
        """The effort of scoring, for the stage's metrics."""
        return {}
