"""Knowledge of a simulated model: the truth about a picture, and the usual answers without one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from demo.teachers.knowledge import photo_questions
from demo.teachers.replies.noise import gauss, pick, words_of
from demo.world.forms import OFF
from demo.world.questions import TruthQA, absent_questions, answer, catalogue
from demo.world.scene import Scene

NOTHING = frozenset({OFF, "none", "no", "0"})
"""Answers that deny a thing."""


class Knowledge(Protocol):
    """The truth about one picture."""

    def questions(self, rng: random.Random) -> list[TruthQA]:
        """True questions and answers about everything shown, and about the existence of the rest."""

    def absent(self, rng: random.Random) -> list[TruthQA]:
        """Questions that suppose something absent, with true answers."""

    def truth(self, question: str, choices: tuple[str, ...]) -> TruthQA | None:
        """The true answer, or None for a question beyond this knowledge."""

    def scores(self) -> dict[str, float]:
        """Information density by dimension, 0 to 10."""

    def caption(self) -> str:
        """One sentence about the picture."""

    def words(self) -> frozenset[str]:
        """Lower-case words that fit the picture."""


class SceneKnowledge:
    """An instrument cluster of the demo world."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._truth: dict[tuple[str, tuple[str, ...]], TruthQA | None] = {}

    def questions(self, rng: random.Random) -> list[TruthQA]:
        """See `Knowledge`."""
        return catalogue(self.scene, rng)

    def absent(self, rng: random.Random) -> list[TruthQA]:
        """See `Knowledge`."""
        return absent_questions(self.scene, rng)

    def truth(self, question: str, choices: tuple[str, ...]) -> TruthQA | None:
        """See `Knowledge`."""
        key = (question, choices)
        if key not in self._truth:
            self._truth[key] = answer(self.scene, question, choices)
        return self._truth[key]

    def scores(self) -> dict[str, float]:
        """More lights: more subjects, relations and meanings. More digits: more text."""
        lights, digits = len(self.scene.lights), len(str(self.scene.speed))
        rows = len({light.row for light in self.scene.lights})
        return {
            "subject_diversity": 2 + 1.2 * lights,
            "spatial_relationships": 1 + 1.1 * lights + rows,
            "ocr_text_richness": 1 + 1.2 * digits + (4 if self.scene.odometer is not None else 0),
            "world_knowledge": 1.5 + 1.3 * len({(light.name, light.colour) for light in self.scene.lights}),
        }

    def caption(self) -> str:
        """Everything the cluster shows, in words."""
        lights = ", ".join(f"{light.colour} {light.name}" for light in self.scene.lights) or "none"
        odometer = f", odometer {self.scene.odometer} km" if self.scene.odometer is not None else ""
        return (
            f"Instrument cluster: speed {self.scene.speed}, gear {self.scene.gear}, fuel {self.scene.fuel}, "
            f"temperature {self.scene.temperature}{odometer}; warning lights: {lights}."
        )

    def words(self) -> frozenset[str]:
        """Words of the instruments and of the lights that are on."""
        words = words_of(
            "car vehicle instrument cluster dashboard display digit number speed read gear letter"
        )
        words |= words_of("fuel gauge bar level tank temperature engine heat")
        if self.scene.odometer is not None:
            words |= {"odometer", "distance", "text"}
        if self.scene.lights:
            words |= words_of(
                "warning light indicator lamp symbol icon colour color meaning action urgency fault state"
            )
            words |= {word for light in self.scene.lights for word in (light.name, light.colour, light.row)}
        if len(self.scene.lights) >= 2:
            words |= words_of(
                "count position left right row order relation compare comparison spatial layout"
            )
        return frozenset(words)


class Priors:
    """Expectations without the picture: the answers to a question over a sample of scenes."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._scenes = tuple(scenes)
        self._cached = lru_cache(maxsize=50_000)(self._look_up)

    def answers(self, question: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        """The answer for each sampled scene, or () for an unknown question."""
        return self._cached(question, choices)

    def _look_up(self, question: str, choices: tuple[str, ...]) -> tuple[str, ...]:
        found = [qa for scene in self._scenes if (qa := answer(scene, question, choices)) is not None]
        return tuple(qa.answer for qa in found) or photo_questions.usual_answers(question, choices)

    def guess(self, question: str, choices: tuple[str, ...], *parts: object) -> str:
        """An answer without the picture, drawn from the usual ones, else from those that the form allows."""
        usual = self.answers(question, choices)
        if usual:
            return pick(usual, "guess", *parts)
        return pick(_shape_answers(question, choices), "guess", *parts)

    def constant(self, question: str) -> bool:
        """Whether the answer is the same everywhere, so that the picture is not needed."""
        usual = self.answers(question, ())
        return len(usual) > 1 and len(set(usual)) == 1


def _shape_answers(question: str, choices: tuple[str, ...]) -> Sequence[str]:
    if choices:
        return [chr(ord("A") + i) for i in range(len(choices))]
    lowered = question.lower()
    if lowered.startswith(("is ", "are ", "do ", "does ", "has ", "can ", "was ")):
        return ("yes", "no")
    return ("0", "1", "2", "3", "4") if lowered.startswith(("how many", "count")) else ("unknown",)


def noisy_scores(knowledge: Knowledge, deviation: float, *parts: object) -> dict[str, float]:
    """The picture's scores as a model with this noise sees them, one decimal, within 0 to 10."""
    return {
        name: round(min(10.0, max(0.0, value + gauss(deviation, name, *parts))), 1)
        for name, value in knowledge.scores().items()
    }
