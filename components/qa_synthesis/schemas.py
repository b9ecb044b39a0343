"""Replies of the teacher: JSON schemas, and the names of abilities and task forms that prompts ask it to use.

Classes, fields and their docstrings are the schemas sent with each request. Every text and list is bounded,
so an answer stays small whatever an image makes a model write. The bounds are far above the sizes asked for.
An answer that breaks one is asked for again once, and then counts as none.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

MAX_ITEMS = 128
"""Most items of one image."""
MAX_CHOICES = 26
"""Choices have letters."""

Text = Annotated[str, Field(max_length=2000)]
LongText = Annotated[str, Field(max_length=4000)]
ShortText = Annotated[str, Field(max_length=1000)]
Name = Annotated[str, Field(max_length=120)]
Number = Annotated[int, Field(ge=-9999, le=9999)]


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

    topic: Number
    """Number of the listed topic the question belongs to; 0 for none."""


class QAItems(_Answer):
    """First draft: items about one image."""

    items: list[QAItem] = Field(max_length=MAX_ITEMS)


class EvolvedItem(_Version):
    """A new version of the item with the same number."""

    index: Number
    form: Name
    """The task form of the new question, where its direction is interaction."""

    def version(self) -> dict[str, Any]:
        """The version as it was written, as the history keeps it."""
        return self.model_dump(exclude={"index"})


class QAEvolved(_Answer):
    """One evolution of an image's items."""

    items: list[EvolvedItem] = Field(max_length=MAX_ITEMS)


class Judgement(_Answer):
    """Verdict on one evolved item, compared with its previous version."""

    index: Number
    improved: bool
    score: int = Field(ge=1, le=10)
    answerable_without_image: bool
    reason: ShortText


class QAJudged(_Answer):
    """Verdicts on one image's evolved items."""

    items: list[Judgement] = Field(max_length=MAX_ITEMS)


class QAPath(_Answer):
    """One way to the answer of the question with the same number."""

    index: Number
    steps: list[ShortText] = Field(max_length=40)
    answer: ShortText
    """The final answer alone."""


class QAPaths(_Answer):
    """A path to each of an image's questions."""

    paths: list[QAPath] = Field(max_length=MAX_ITEMS)


ABILITIES = {
    # centred on vision
    "grounding": "find where a described thing is",
    "referencing": "describe what is at a given place",
    "calculating": "count, measure, compare sizes",
    "ocr": "read text, numbers, codes, tables",
    "existence": "tell whether a described thing is there",
    # centred on language
    "relationship": "relations between things: in space, in time, in logic",
    "context": "understand the scene or situation",
    "behaviour prediction": "what will happen next",
    "knowledge": "what is known about the things from outside the image",
}
"""The nine atomic abilities of MMEvol (arXiv 2409.05840, section 2.2)."""

TASK_FORMS = (
    "region_selection",
    "missing_object_selection",
    "text_image_matching",
    "object_region_matching",
    "completeness_of_response",
    "fill_in_the_blank",
    "image_style_classification",
    "art_type",
    "rationales_generation",
    "text_detection",
    "text_translation",
    "coreference_resolution",
    "instruction_following",
    "depth_order",
    "relative_distance",
    "creative_content_generation",
    "multi_choice",
)
"""MMEvol's seventeen task forms of an interaction evolution; the last serves where no other fits."""

_WORD = re.compile(r"[a-z]+")
_SYNONYMS = {
    "behavior": "behaviour prediction",
    "behaviour": "behaviour prediction",
    "calculation": "calculating",
    "counting": "calculating",
    "localization": "grounding",
    "reference": "referencing",
    "referring": "referencing",
    "relation": "relationship",
    "spatial": "relationship",
}


def ability(text: str) -> str:
    """The atomic ability that a wording names ("OCR Ability" -> "ocr"); other wordings in lower case."""
    for word in _WORD.findall(text.lower()):
        if word in ABILITIES:
            return word
        if word in _SYNONYMS:
            return _SYNONYMS[word]
    return " ".join(text.lower().split())


def task_form(text: str) -> str:
    """A form's name in lower case with underscores; models may name forms beyond the seventeen."""
    return "_".join(_WORD.findall(text.lower()))
