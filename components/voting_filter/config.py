"""Settings of the voting filter."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from components.core.config import Endpoint, Settings


class Config(Settings):
    """Settings of the stage `voting_filter`."""

    voters: list[Endpoint] = Field(min_length=1)
    """The models that vote; three or more different ones, and not the model that wrote the items, make the vote mean
    something."""
    blind_voters: int | list[str] = 3
    """Who also answers without the image: the first so many of `voters`, or the names of their models; 0 turns blind
    votes off."""
    method: Literal["majority"] = "majority"
    """How votes become a decision."""
    agreement_threshold: float = Field(default=2 / 3, gt=0, le=1)
    """An item is kept if at least this share of its votes agrees with the proposed answer."""
    min_votes: int = Field(default=2, ge=1)
    """Items with fewer votes are rejected: their agreement says nothing."""
    blind_threshold: float = Field(default=2 / 3, gt=0, le=1)
    """An item can be image-independent only if at least this share of its blind votes gives the proposed answer."""
    blind_significance: float = Field(default=0.05, gt=0, lt=1)
    """... and only if guessing would give so many right blind votes with at most this probability."""
    questions_per_request: int = Field(default=8, ge=1)
    """Questions about one image that a voter answers in one request."""
    answer_tokens: int = Field(default=64, ge=8)
    """Room for one answer, in tokens."""
    chunk_items: int = Field(default=512, ge=1)
    """Items whose requests are under way together; bounds memory."""
    report_items: int = Field(default=8, ge=0)
    """Kept and rejected items shown with their images in the report, of each so many."""

    @model_validator(mode="after")
    def _voters_are_different(self) -> Config:
        names = Counter(voter.model for voter in self.voters)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"voters must be different models; named more than once: {', '.join(twice)}")
        if isinstance(self.blind_voters, list) and (
            unknown := [n for n in self.blind_voters if n not in names]
        ):
            raise ValueError(f"blind_voters names models that are not among the voters: {', '.join(unknown)}")
        if isinstance(self.blind_voters, int) and self.blind_voters < 0:
            raise ValueError("blind_voters must not be negative")
        if self.min_votes > len(self.voters):
            raise ValueError(f"min_votes is {self.min_votes}, but there are only {len(self.voters)} voters")
        return self

    def blind_models(self) -> list[str]:
        """Models that also vote without the image, in the order of `voters`."""
        names = [voter.model for voter in self.voters]
        chosen = names[: self.blind_voters] if isinstance(self.blind_voters, int) else self.blind_voters
        return [name for name in names if name in chosen]
