"""Every question that the demo asks about an instrument cluster, with its true answer.

One `Form` holds the wordings that the simulated teachers write, the pattern that recognises them in a prompt,
and the rule that answers them. So a question can be answered for any scene, also one about a light that is
off.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from demo.world.forms import FORMS, Form, Slots
from demo.world.scene import Scene


@dataclass(frozen=True)
class TruthQA:
    """A question, its true answer, and the way to it; kind, level and skills are those of its `Form`."""

    question: str
    answer: str
    answer_type: str
    choices: tuple[str, ...]
    reasoning: str
    kind: str
    skills: tuple[str, ...]
    objects: tuple[str, ...]
    level: int
    present: bool = True
    """False for a question about a light that is off."""


def _pattern(form: Form, wording: str) -> re.Pattern[str]:
    text = re.escape(wording)
    for name, values in form.slots.items():
        text = text.replace(re.escape("{" + name + "}"), f"(?P<{name}>{'|'.join(values)})")
    return re.compile(text, re.IGNORECASE)


_PARSERS = tuple((_pattern(form, wording), form) for form in FORMS for wording in form.wordings)


def _solve(form: Form, scene: Scene, slots: Slots, question: str) -> TruthQA:
    result, reasoning = form.solve(scene, slots)
    named = tuple(slots[name] for name in ("light", "other") if name in slots)
    present = all(scene.light(name) is not None for name in named) and (
        "end" not in slots or bool(scene.lights)
    )
    return TruthQA(
        question=question,
        answer=result,
        answer_type=form.answer_type,
        choices=form.choices,
        reasoning=reasoning,
        kind=form.kind,
        skills=form.skills,
        objects=named or (form.kind,),
        level=form.level,
        present=present,
    )


def _all(scene: Scene, rng: random.Random | None) -> Iterator[TruthQA]:
    for form in FORMS:
        for slots in form.values():
            wording = rng.choice(form.wordings) if rng else form.wordings[0]
            yield _solve(form, scene, slots, wording.format(**slots))


def catalogue(scene: Scene, rng: random.Random | None = None) -> list[TruthQA]:
    """Every question about the lights and gauges shown, plus the existence questions about all lights.

    With `rng` each question is asked in one of its wordings, drawn at random; without, in the first.
    """
    return [qa for qa in _all(scene, rng) if qa.present or qa.kind == "existence"]


def absent_questions(scene: Scene, rng: random.Random | None = None) -> list[TruthQA]:
    """The questions that suppose something absent, as a hallucinating teacher asks them."""
    return [qa for qa in _all(scene, rng) if not qa.present]


def answer(scene: Scene, question: str, choices: tuple[str, ...] | list[str] = ()) -> TruthQA | None:
    """The true answer to any catalogue question, or None for a question that is not of the catalogue.

    `choices` are the options as they were offered, in any order; the answer is the letter of the true one
    there. Other words around the question do not matter. The first question found is answered.
    """
    found = [
        (match.start(), -match.end(), index)
        for index, (pattern, _) in enumerate(_PARSERS)
        if (match := pattern.search(question))
    ]
    if not found:
        return None
    pattern, form = _PARSERS[min(found)[2]]
    match = pattern.search(question)
    assert match is not None
    slots = {name: value.lower() for name, value in match.groupdict().items()}
    qa = _solve(form, scene, slots, question)
    return offered(qa, choices) if form.answer_type == "choice" and choices else qa


def offered(qa: TruthQA, choices: tuple[str, ...] | list[str]) -> TruthQA | None:
    """A choice question with other options; None if the true one is not among them."""
    truth = qa.choices["ABCD".index(qa.answer)]
    options = [choice.strip().lower() for choice in choices]
    if truth not in options:
        return None
    return replace(qa, answer="ABCDEFGH"[options.index(truth)], choices=tuple(choices))
