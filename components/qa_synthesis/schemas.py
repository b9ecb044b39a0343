"""What the teacher must answer: the classes' names and fields are the JSON schemas sent with each request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True, use_attribute_docstrings=True)


class QAItem(_Answer):
    """One question about the image."""

    question: str
    answer: str
    """The short answer alone: digits, yes or no, the choice's letter, or a short phrase."""
    answer_type: str
    choices: list[str]
    """Texts of the choices without letters; empty unless answer_type is choice."""
    reasoning: str
    """The steps from what is visible to the answer."""
    objects: list[str]
    skills: list[str]
    topic: int
    """Number of the listed topic the question belongs to; 0 for none."""


class QAItems(_Answer):
    """First draft: items about one image."""

    items: list[QAItem]


class EvolvedItem(_Answer):
    """A new version of the item with the same number."""

    index: int
    question: str
    answer: str
    answer_type: str
    choices: list[str]
    reasoning: str
    objects: list[str]
    skills: list[str]


class QAEvolved(_Answer):
    """One evolution of an image's items."""

    items: list[EvolvedItem]


class Judgement(_Answer):
    """Verdict on one evolved item, compared with its previous version."""

    index: int
    improved: bool
    score: int = Field(ge=1, le=10)
    answerable_without_image: bool
    reason: str


class QAJudged(_Answer):
    """Verdicts on one image's evolved items."""

    items: list[Judgement]
