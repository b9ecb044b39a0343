"""Settings of question-answer synthesis."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from components.core.answers import AnswerType
from components.core.stage.settings import Endpoint, Settings


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


class ReasoningPaths(Settings):
    """Rejection sampling of reasoning for items whose answer can be verified (Kimi-VL, arXiv 2504.07491)."""

    samples: int = Field(default=0, ge=0, le=64)
    """Reasoning paths sampled for each choice, number, yes/no and span item; 0 samples none."""
    temperature: float = Field(default=1.0, gt=0, le=2)
    """Sampling temperature; above 0, or all paths would be the same."""
    path_tokens: int = Field(default=512, ge=32)
    """Room for one path in an answer, in tokens."""
    max_path_chars: int = Field(default=4000, ge=20, le=16000)
    """Longest path that is accepted, in characters."""


class Config(Settings):
    """Settings of the stage `qa_synthesis`."""

    endpoint: Endpoint
    """The teacher: writes, evolves and judges items, and reasons about them."""
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
    answer_mix: dict[AnswerType, float] = {}
    """Shares in which first drafts are asked for by answer type, e.g. `{number: 2, choice: 1}`; only the
    ratios matter. Empty leaves the mix to the teacher."""
    absent_share: float = Field(default=0.0, ge=0, le=1)
    """Share of an image's first drafts about something that could well be there and is not: the answer is no
    (negative instructions, arXiv 2306.14565). They are not evolved. Without them a teacher asks about what it
    sees, and a model trained on that learns to say yes."""
    steered_share: float = Field(default=0.5, ge=0, le=1)
    """Share of an image's first drafts that are asked for by aspect, in proportion to its four dimension
    scores: much text, many questions about text. The rest are about anything."""
    max_topics: int = Field(default=4, ge=0)
    """Topics shown to the teacher for one image, best match first."""
    heldout: bool = True
    """Also write items about held-out images: voted, they become the domain's evaluation set."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Sampling temperature for writing and evolving; the judge answers at 0."""
    reasoning_paths: ReasoningPaths = ReasoningPaths()
    """Optional reasoning by rejection sampling, after the last round."""
    item_tokens: int = Field(default=320, ge=32)
    """Room for one item in a model answer, in tokens."""
    max_question_chars: int = Field(default=600, ge=20, le=2000)
    """Longest question or single choice that is accepted, in characters."""
    max_answer_chars: int = Field(default=600, ge=1, le=1000)
    """Longest answer that is accepted, in characters."""
    chunk_images: int = Field(default=256, ge=1)
    """Images whose requests are under way together: bounds memory, and does not change the output. Several
    times the endpoint's `max_concurrency` keeps a fast endpoint busy."""
    report_images: int = Field(default=8, ge=0)
    """Images shown with their items in the report."""

    @field_validator("answer_mix")
    @classmethod
    def _no_negative_shares(cls, mix: dict[AnswerType, float]) -> dict[AnswerType, float]:
        if mix and (min(mix.values()) < 0 or not sum(mix.values())):
            raise ValueError("shares must not be negative, and not all 0")
        return mix

    @model_validator(mode="after")
    def _mix_is_of_accepted_types(self) -> Config:
        if unwanted := sorted(set(self.answer_mix) - set(self.answer_types)):
            raise ValueError(f"answer_mix names types that answer_types leaves out: {', '.join(unwanted)}")
        if self.absent_share and "yes_no" not in self.answer_types:
            raise ValueError("absent_share asks for yes/no items, which answer_types leaves out")
        return self
