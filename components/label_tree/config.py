"""Settings of label_tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, field_validator, model_validator

from components.core.stage.settings import READ_PATH, Embedder, Settings, TextEndpoint
from components.label_tree.edits import Edit, Edits, Key, path_key
from components.label_tree.names import clean_name, name_key

T = TypeVar("T", bound="ExpertTopic")


class ExpertTopic(Settings):
    """A topic that an expert wrote."""

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


def _unique(topics: tuple[T, ...]) -> tuple[T, ...]:
    _refuse_duplicates(name_key(clean_name(topic.name)) for topic in topics)
    return topics


def _refuse_duplicates(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"two topics are called '{name}'; rename or remove one")


class ExpertChild(ExpertTopic):
    """A second-level topic that an expert wrote."""

    children: Annotated[tuple[ExpertTopic, ...], AfterValidator(_unique)] = ()
    """Third-level topics the expert insists on; the model adds to them."""


class ExpertLabel(ExpertTopic):
    """A first-level topic, always written by an expert."""

    dimension: Literal["domain", "capability"]
    """`domain`: what the pictures are about. `capability`: the model's task (reading, counting, ...)."""
    children: Annotated[tuple[ExpertChild, ...], AfterValidator(_unique)] = ()
    """Second-level topics the expert insists on; the model adds to them."""


class Config(Settings):
    """Settings of the label tree."""

    domain: str = ""
    """Name of the domain as the model is told it; empty leaves it out of the prompt."""
    experts: tuple[ExpertLabel, ...] = Field(min_length=1)
    """The first level. These topics and what is written below them are never merged away."""
    edits: tuple[Edit, ...] = ()
    """Experts' changes to proposed topics. What an expert wrote is changed in `experts`."""
    previous: str = Field(default="", json_schema_extra=READ_PATH)
    """Directory or `s3://` prefix of an earlier `label_tree` output, pinned (`#sha256=<fingerprint>`) or not.
    Its topics keep their children, and only new ones are asked for theirs. Empty: grow everything."""
    regrow: tuple[str, ...] = ()
    """Paths (names joined by " > ") of topics in `previous` that are asked for more children nevertheless,
    together with everything below them; what they have is kept."""
    model: TextEndpoint
    """The model that proposes the second and third level."""
    embedder: Embedder
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

    @model_validator(mode="after")
    def _edits_agree_with_experts(self) -> Config:
        written = {key for expert in self.experts for key in _keys(expert)}
        edits = Edits.of(self.edits)
        for key, edit in edits.sources.items():
            if key in written:
                raise ValueError(f"edits: '{edit.path}' was written by an expert; change it under experts")
            if len(key) == 1 and edit.name and path_key(edit.name) not in written:
                change = f"'{edit.path}' becomes '{edit.name}'"
                raise ValueError(f"edits: {change}, which is not among the experts")
        gone = [" > ".join(key) for key in written if edits.removes(key)]
        if gone:
            raise ValueError(f"edits: remove what experts ask for: {', '.join(sorted(gone))}")
        if self.regrow and not self.previous:
            raise ValueError("regrow: no previous tree to regrow; set previous or leave regrow empty")
        return self


def _keys(topic: ExpertTopic, above: Key = ()) -> Iterator[Key]:
    """Keys of every path that an expert wrote, from a topic down."""
    key = (*above, *path_key(topic.name))
    yield key
    if isinstance(topic, (ExpertLabel, ExpertChild)):
        for child in topic.children:
            yield from _keys(child, key)
