"""Settings of the voting filter."""

from __future__ import annotations

from collections import Counter

from pydantic import Field, field_validator, model_validator

from components.core.stage.settings import Endpoint, Settings, nearest
from components.voting_filter.methods import method_names

MAX_ANSWERS = 1000
"""Most answers of one reply."""


class Config(Settings):
    """Settings of the stage `voting_filter`."""

    voters: list[Endpoint] = Field(min_length=1)
    """The models that vote: three or more different ones, and not the model that wrote the items."""
    blind_voters: int | list[str] = 5
    """Who also answers without the image: the first so many of `voters` (all, if there are fewer), or the
    names of their models; 0 for none."""
    method: str = "dawid_skene"
    """How votes become a decision: the name of a module in `methods/`. `dawid_skene` estimates how reliable
    each voter is for each type of answer, `majority` counts every vote the same."""
    posterior_threshold: float = Field(default=0.7, gt=0, le=1)
    """dawid_skene: an item is kept if its answer is right with at least this probability."""
    prior_reliability: float = Field(default=0.8, gt=0.5, lt=1)
    """dawid_skene: how often a voter is right before any vote is seen."""
    prior_votes: float = Field(default=10.0, gt=0)
    """dawid_skene: the weight of that, in votes of one voter about one type of answer."""
    agreement_threshold: float = Field(default=2 / 3, gt=0, le=1)
    """majority: an item is kept if at least this share of its votes agrees with the proposed answer."""
    min_votes: int = Field(default=2, ge=1)
    """Items with fewer votes are rejected: their agreement says nothing."""
    independence_threshold: float = Field(default=0.1, gt=0, le=1)
    """An item is image-independent if its answer is known without the image with at least this probability.
    It is low on purpose: a lost item costs one question, an item kept wrongly teaches to answer without
    looking."""
    questions_per_request: int = Field(default=8, ge=1, le=MAX_ANSWERS)
    """Questions about one image that a voter answers in one request."""
    answer_tokens: int = Field(default=64, ge=8)
    """Room for one answer, in tokens."""
    chunk_items: int = Field(default=512, ge=1)
    """Items whose requests are under way together; bounds memory."""
    report_items: int = Field(default=8, ge=0)
    """Kept items shown with their images in the report, and as many rejected ones."""

    @field_validator("method")
    @classmethod
    def _method_exists(cls, method: str) -> str:
        if method not in method_names():
            raise ValueError(f"unknown method '{method}'{nearest(method, method_names())}")
        return method

    @model_validator(mode="after")
    def _voters_are_different(self) -> Config:
        names = Counter(voter.model for voter in self.voters)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"voters must be different models; named more than once: {', '.join(twice)}")
        named = self.blind_voters if isinstance(self.blind_voters, list) else []
        if unknown := [name for name in named if name not in names]:
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
