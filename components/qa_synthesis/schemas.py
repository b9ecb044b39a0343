"""What the teacher must answer: the classes' names and fields are the JSON schemas sent with each request.

Every text and list is bounded: whatever an image makes a model write, an answer stays small. The bounds are far above
what is asked for; an answer that breaks one is asked for again, once, and then counts as none.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MAX_ITEMS = 128
"""Most items of one image."""
MAX_CHOICES = 26
"""Choices have letters."""

Text = Annotated[str, Field(max_length=2000)]
LongText = Annotated[str, Field(max_length=4000)]
ShortText = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(max_length=120)]


class _Answer(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True, use_attribute_docstrings=True)


class _Version(_Answer):
    question: Text
    answer: ShortText
    """The short answer alone: digits, yes or no, the choice's letter, or a short phrase."""
    answer_type: Name
    choices: list[Text] = Field(max_length=MAX_CHOICES)
    """Texts of the choices without letters; empty unless answer_type is choice."""
    reasoning: LongText
    """The steps from what is visible to the answer."""
    objects: list[Name] = Field(max_length=32)
    skills: list[Name] = Field(max_length=16)


class QAItem(_Version):
    """One question about the image."""

    topic: int
    """Number of the listed topic the question belongs to; 0 for none."""


class QAItems(_Answer):
    """First draft: items about one image."""

    items: list[QAItem] = Field(max_length=MAX_ITEMS)


class EvolvedItem(_Version):
    """A new version of the item with the same number."""

    index: int
    form: Name
    """The task form of the new question, where its direction is interaction."""


class QAEvolved(_Answer):
    """One evolution of an image's items."""

    items: list[EvolvedItem] = Field(max_length=MAX_ITEMS)


class Judgement(_Answer):
    """Verdict on one evolved item, compared with its previous version."""

    index: int
    improved: bool
    score: int = Field(ge=1, le=10)
    answerable_without_image: bool
    reason: ShortText


class QAJudged(_Answer):
    """Verdicts on one image's evolved items."""

    items: list[Judgement] = Field(max_length=MAX_ITEMS)


class QAPath(_Answer):
    """One way to the answer of the question with the same number."""

    index: int
    steps: list[ShortText] = Field(max_length=40)
    answer: ShortText
    """The final answer alone."""


class QAPaths(_Answer):
    """A path to each of an image's questions."""

    paths: list[QAPath] = Field(max_length=MAX_ITEMS)
