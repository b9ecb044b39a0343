"""Settings of question-answer synthesis."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from components.core.config import Endpoint, Settings

AnswerType = Literal["choice", "number", "yes_no", "span", "open"]


class Directions(Settings):
    """How often an evolution takes each of MMEvol's three directions; the shares sum to 1."""

    interaction: float = Field(default=0.25, ge=0, le=1)
    """The same content asked in another task form."""
    reasoning: float = Field(default=0.25, ge=0, le=1)
    """One or two more objects or skills, more steps to the answer."""
    perception: float = Field(default=0.5, ge=0, le=1)
    """A less obvious detail at the same difficulty."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Directions:
        total = self.interaction + self.reasoning + self.perception
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the three shares must sum to 1, they sum to {total:g}")
        return self


class Config(Settings):
    """Settings of the stage `qa_synthesis`."""

    endpoint: Endpoint
    """The teacher: writes, evolves and judges items."""
    evolution_rounds: int = Field(default=3, ge=0, le=10)
    """Rounds of evolution after the first draft; 0 keeps the draft."""
    directions: Directions = Directions()
    """Shares of the evolution directions."""
    min_score: int = Field(default=6, ge=1, le=10)
    """An evolved item replaces its parent only if the judge's score reaches this."""
    answer_types: list[AnswerType] = Field(
        default=["number", "yes_no", "choice", "span", "open"], min_length=1
    )
    """Answer types the teacher may use; items of another type are rejected."""
    max_topics: int = Field(default=4, ge=0)
    """Topics shown to the teacher for one image, best match first."""
    heldout: bool = True
    """Also write items about held-out images: voted, they become the domain's evaluation set."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Sampling temperature for writing and evolving; the judge answers at 0."""
    item_tokens: int = Field(default=320, ge=32)
    """Room for one item in a model answer, in tokens."""
    max_question_chars: int = Field(default=600, ge=20)
    """Longest question or single choice that is accepted, in characters."""
    max_answer_chars: int = Field(default=600, ge=1)
    """Longest answer that is accepted, in characters."""
    chunk_images: int = Field(default=64, ge=1)
    """Images whose requests are under way together; bounds memory."""
    report_images: int = Field(default=8, ge=0)
    """Images shown with their items in the report."""
