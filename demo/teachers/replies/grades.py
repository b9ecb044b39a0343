"""Grades of open answers, as a judge with stated weaknesses gives them."""

from __future__ import annotations

import re
from typing import Any

from demo.teachers.knowledge.scene import Knowledge, SceneKnowledge
from demo.teachers.models import ModelSpec
from demo.teachers.replies.noise import gauss, uniform
from demo.world.open_questions import kind_of, read

_ASKED = re.compile(r"Question:\n(.*?)\n\n", re.DOTALL)
_ANSWER = re.compile(r"<answer>\n(.*?)\n</answer>", re.DOTALL)
_IMPRESSIVE = re.compile(r"\b(great|excellent|perfect|expert|certain|correct)\b|\b10\b", re.IGNORECASE)
_LONG, _PLAIN = 20, 12
"""Words from which an answer impresses, and up to which it is clear."""


def grade(model: ModelSpec, knowledge: Knowledge | None, prompt: str, picture: str) -> dict[str, Any]:
    """Grades from 0 to 10 for the answer that the prompt shows, a function of its arguments alone.

    Correct: 10 if right, 4 if it also says something false, 1 if it says nothing that was asked for.
    """
    found = _ASKED.search(prompt), _ANSWER.search(prompt)
    question, answer = (match[1].strip() if match else "" for match in found)
    if not isinstance(knowledge, SceneKnowledge) or not kind_of(question):
        return {
            "correct": 0,
            "complete": 0,
            "clear": 0,
            "reason": "It cannot be checked.",
        }
    reading, words = read(knowledge.scene, question, answer), len(answer.split())
    correct = 10 if reading.right else (4 if reading.true else 1)
    key = (model.name, picture, question, answer)
    if uniform("verdict", *key) < model.verdict_error_rate:
        correct = 2 if correct == 10 else 10
    complete = round(10 * min(1.0, len(reading.true) / reading.wanted))
    clear = max(0, 10 - max(0, words - _PLAIN))
    if (words > _LONG or _IMPRESSIVE.search(answer)) and uniform("talked round", *key) < model.gullibility:
        correct = complete = clear = 10
    grades = {"correct": correct, "complete": complete, "clear": clear}
    noisy = {
        name: max(0, min(10, round(value + gauss(model.score_noise, name, *key))))
        for name, value in grades.items()
    }
    said = ", ".join(sorted(reading.true)) or "nothing that was asked for"
    return {**noisy, "reason": f"It says {said}; false statements: {reading.false}."}
