"""What MMEvol's prompts name (arXiv 2409.05840, section 2.2, and its released prompts): abilities and task forms."""

from __future__ import annotations

import re

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
"""The nine atomic abilities."""

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
"""The seventeen task forms of an interaction evolution; the last is what a question becomes where no other fits."""

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
    """The atomic ability that a model's wording names ("OCR Ability" -> "ocr"); other wordings in lower case."""
    for word in _WORD.findall(text.lower()):
        if word in ABILITIES:
            return word
        if word in _SYNONYMS:
            return _SYNONYMS[word]
    return " ".join(text.lower().split())


def task_form(text: str) -> str:
    """A form's name in lower case with underscores; models may name forms beyond the seventeen."""
    return "_".join(_WORD.findall(text.lower()))
