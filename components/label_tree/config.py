"""Settings of label_tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator, model_validator

from components.core.stage.settings import READ_PATH, Endpoint, Settings
from components.label_tree.edits import Edits, path_key
from components.label_tree.names import clean_name, name_key


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


class ExpertChild(ExpertTopic):
    """A second-level topic that an expert wrote."""

    children: tuple[ExpertTopic, ...] = ()
    """Third-level topics the expert insists on; the model adds to them."""

    @field_validator("children")
    @classmethod
    def _unique_children(cls, children: tuple[ExpertTopic, ...]) -> tuple[ExpertTopic, ...]:
        _refuse_duplicates(name_key(clean_name(child.name)) for child in children)
        return children


class ExpertLabel(ExpertTopic):
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


class Edit(Settings):
    """What an expert changed about a topic that the model proposed; holds in every later run."""

    path: str
    """Names from the first level down, joined by " > ". Names above the topic may be those before or after an edit."""
    name: str = ""
    """New name; empty keeps it. On the first level, where `experts` has the new name, everything below moves along."""
    description: str = ""
    """New description; empty keeps it. Of a removed topic: what belonged to it, to recognise its near-duplicates."""
    remove: bool = False
    """Take the topic and everything below it out, and let neither it nor a near-duplicate of it come back."""


class Config(Settings):
    """Settings of the label tree."""

    domain: str = ""
    """Name of the domain as the model is told it; empty leaves it out of the prompt."""
    experts: tuple[ExpertLabel, ...] = Field(min_length=1)
    """The first level. These topics and what is written below them are never merged away."""
    edits: tuple[Edit, ...] = ()
    """Experts' changes to proposed topics. What an expert wrote is changed in `experts`."""
    previous: str = Field(default="", json_schema_extra=READ_PATH)
    """Directory (or `s3://` prefix) of an earlier `label_tree` output to go on from; `#sha256=<fingerprint>` after it
    pins its content. Topics that had a place in it keep their children, and only new ones are asked for theirs.
    Empty: grow everything."""
    regrow: tuple[str, ...] = ()
    """Paths (names joined by " > ") of topics in `previous` that are asked for more children nevertheless, together
    with everything below them; what they have is kept."""
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

    @model_validator(mode="after")
    def _edits_agree_with_experts(self) -> Config:
        written = {key for expert in self.experts for key in _keys(expert)}
        edits = Edits.of(self.edits)
        for key, edit in edits.sources.items():
            if key in written:
                raise ValueError(f"edits: '{edit.path}' was written by an expert; change it under experts")
            if len(key) == 1 and edit.name and path_key(edit.name) not in written:
                raise ValueError(
                    f"edits: '{edit.path}' becomes '{edit.name}', which is not among the experts"
                )
        gone = [" > ".join(key) for key in written if edits.removes(key)]
        if gone:
            raise ValueError(f"edits: remove what experts ask for: {', '.join(sorted(gone))}")
        if self.regrow and not self.previous:
            raise ValueError(
                "regrow: there is no previous tree to regrow; set previous or leave regrow empty"
            )
        return self


def _keys(expert: ExpertLabel) -> list[tuple[str, ...]]:
    """Keys of every path that an expert wrote below and with a first-level topic."""
    root = path_key(expert.name)
    below = [(*root, *path_key(child.name)) for child in expert.children]
    leaves = [
        (*above, *path_key(leaf.name))
        for above, child in zip(below, expert.children, strict=True)
        for leaf in child.children
    ]
    return [root, *below, *leaves]


def _refuse_duplicates(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two topics are called '{name}'; rename or remove one")
        seen.add(name)
