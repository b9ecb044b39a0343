"""Reasoning of a simulated model: the abilities and the form that it names, the steps that it writes."""

from __future__ import annotations

from collections.abc import Sequence

from demo.teachers.replies.noise import uniform
from demo.world.questions import TruthQA

_SKILLS = {
    "ocr": ("ocr", "I read what is written."),
    "gauge reading": ("referencing", "I look at the bar."),
    "colour": ("referencing", "I look at the colour."),
    "brightness": ("referencing", "I look at the brightness."),
    "detail": ("referencing", "I look for edges."),
    "counting": ("calculating", "I go through them one by one."),
    "comparison": ("calculating", "I compare the two."),
    "existence": ("existence", "I look for it."),
    "spatial relationship": ("relationship", "I look where things are."),
    "layout": ("context", "I look at the whole."),
    "knowledge": ("knowledge", "I recall what that means."),
}
"""Skill of a question -> the atomic ability that it is an instance of, and the step that uses it."""

FIRST_STEP_SHARE = 0.8
"""Share of paths that also write down the first, obvious step."""
RECHECK_SHARE = 0.5
"""Share of paths that check their conclusion."""


def abilities(skills: Sequence[str]) -> list[str]:
    """Atomic abilities of a question, each once, in the order of its skills."""
    return list(dict.fromkeys(_SKILLS[skill][0] for skill in skills))


def task_form(qa: TruthQA) -> str:
    """The name that a model gives to a question's form."""
    if qa.answer_type == "choice":
        return "multi_choice"
    forms = {
        "comparison": "relative_distance",
        "spatial relationship": "region_selection",
        "ocr": "text_detection",
        "existence": "missing_object_selection",
        "knowledge": "rationales_generation",
    }
    return next((form for skill, form in forms.items() if skill in qa.skills), "fill_in_the_blank")


def steps(qa: TruthQA, believed: str, *key: object) -> list[str]:
    """Steps to the believed answer, one for each skill after the first; `key` decides the padding."""
    looks = [_SKILLS[skill][1] for skill in qa.skills]
    conclusion = qa.reasoning if believed == qa.answer else f"It looks like {believed}."
    path = [*(looks[:1] if uniform("first step", *key) < FIRST_STEP_SHARE else []), *looks[1:], conclusion]
    return [*path, "I check it again.", conclusion] if uniform("recheck", *key) < RECHECK_SHARE else path
