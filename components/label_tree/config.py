"""Settings of label_tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator

from components.core.config import Endpoint, Settings
from components.label_tree.names import clean_name, name_key


class ExpertChild(Settings):
    """A second-level topic that an expert wrote."""

    name: str
    """Name of the topic."""
    description: str = ""
    """What belongs to it, in a sentence."""

    @field_validator("name")
    @classmethod
    def _has_words(cls, name: str) -> str:
        if not name_key(clean_name(name)):
            raise ValueError("a topic's name needs at least one letter or digit")
        return name


class ExpertLabel(ExpertChild):
    """A first-level topic, always written by an expert."""

    dimension: Literal["domain", "capability"]
    """`domain`: what the pictures are about. `capability`: what is asked of the model (reading, counting, ...)."""
    children: tuple[ExpertChild, ...] = ()
    """Second-level topics the expert insists on; the model adds to them."""

    @field_validator("children")
    @classmethod
    def _unique_children(cls, children: tuple[ExpertChild, ...]) -> tuple[ExpertChild, ...]:
        _refuse_duplicates(name_key(clean_name(child.name)) for child in children)
        return children


class Config(Settings):
    """Settings of the label tree."""

    domain: str = ""
    """Name of the domain as the model is told it; empty leaves it out of the prompt."""
    experts: tuple[ExpertLabel, ...] = Field(min_length=1)
    """The first level. These topics and their children are never merged away."""
    model: Endpoint
    """The model that proposes the second and third level."""
    embedder: Endpoint
    """The model that embeds topics, to find near-duplicates and, later, to match images."""
    max_children_l2: int = Field(default=8, ge=0)
    """Budget of second-level topics under one first-level topic, experts' included."""
    max_children_l3: int = Field(default=8, ge=1)
    """Budget of third-level topics under one second-level topic."""
    rounds: int = Field(default=2, ge=1)
    """Times a parent is asked, at most."""
    min_new_share: float = Field(default=0.10, ge=0, le=1)
    """A branch stops when a smaller share of a round's proposals was new."""
    merge_similarity: float = Field(default=0.92, gt=0, le=1)
    """Cosine similarity from which two topics count as the same."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature of the proposals."""
    max_answer_tokens: int = Field(default=1024, ge=16)
    """Limit of one answer, in tokens."""

    @field_validator("experts")
    @classmethod
    def _unique_experts(cls, experts: tuple[ExpertLabel, ...]) -> tuple[ExpertLabel, ...]:
        _refuse_duplicates(f"{expert.dimension}: {name_key(clean_name(expert.name))}" for expert in experts)
        return experts


def _refuse_duplicates(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two topics are called '{name}'; rename or remove one")
        seen.add(name)
