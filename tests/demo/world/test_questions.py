"""Answers agree with the scene, read a second time by plain code; every question fits any scene."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from demo.world.forms import FORMS
from demo.world.questions import TruthQA, absent_questions, answer, catalogue
from demo.world.scene import ACTIONS, FUEL_LEVELS, LIGHTS, MEANINGS, Light, Scene, sample_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(11)
    return [sample_scene(rng) for _ in range(60)]


@pytest.fixture
def known() -> Scene:
    lights = (
        Light("oil", "red", "top", 0),
        Light("door", "blue", "bottom", 2),
        Light("brake", "red", "top", 4),
    )
    return Scene(speed=42, gear="D", fuel="quarter", temperature="hot", lights=lights)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the speed?", "42"),
        ("Which gear is selected?", "D"),
        ("What is the fuel level?", "B"),  # empty, quarter, half, full
        ("How warm is the engine?", "hot"),
        ("Count the lights.", "3"),
        ("Is the oil light on?", "yes"),
        ("Is there any tyre light?", "no"),
        ("What colour is the door light?", "blue"),
        ("What colour is the lamp light?", "off"),
        ("Which light is leftmost?", "oil"),
        ("Name the rightmost light.", "brake"),
        ("Which row is the door light in?", "bottom"),
        ("What does the oil light ask for?", "stop now"),
        ("What does the leftmost light mean?", "low oil pressure"),
        ("Is it time to refuel?", "yes"),
        ("How many red lights are on?", "2"),
        ("How many lights are in the top row?", "2"),
        ("Is the brake light left of the door light?", "no"),
        ("Is the oil light left of the lamp light?", "no"),
        ("Is the speed above 30?", "yes"),
        ("Which light is next after the oil light?", "door"),
        ("Which light is next after the brake light?", "none"),
    ],
)
def test_answers_of_a_known_scene(known: Scene, question: str, expected: str) -> None:
    found = answer(known, question)
    assert found is not None
    assert found.answer == expected


def test_catalogue_questions_come_back_through_answer(scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes):
        for qa in [*catalogue(scene, random.Random(number)), *absent_questions(scene, random.Random(number))]:
            assert answer(scene, qa.question, qa.choices) == qa


def test_every_question_has_an_answer_in_every_scene(scenes: list[Scene]) -> None:
    asked = {qa.question for scene in scenes for qa in catalogue(scene)}
    assert all(answer(scene, question) is not None for scene in scenes for question in asked)


def test_every_wording_is_recognised_as_its_own_form(known: Scene) -> None:
    for form in FORMS:
        slots = next(form.values())
        for wording in form.wordings:
            found = answer(known, f"Look at the picture. {wording.format(**slots)} Answer briefly.")
            assert found is not None
            assert found.kind == form.kind


def test_other_texts_have_no_answer(known: Scene) -> None:
    assert answer(known, "Who painted this?") is None
    assert answer(known, "What is the fuel level?", ["red", "blue"]) is None


def test_choice_letter_follows_the_order_offered(known: Scene) -> None:
    found = answer(known, "How much fuel is left?", [*reversed(FUEL_LEVELS)])
    assert found is not None
    assert found.answer == "C"


def _read_again(scene: Scene, qa: TruthQA) -> str:
    """The answer by looking at the scene's fields only."""
    lights = list(scene.lights)
    names = [light.name for light in lights]
    light = lights[names.index(qa.objects[0])] if qa.objects[0] in LIGHTS and qa.objects[0] in names else None
    end = lights[0 if "leftmost" in qa.question else -1] if lights else None
    words = qa.question.replace("?", "").replace(".", "").split()
    if qa.kind == "speed":
        return str(scene.speed)
    if qa.kind == "gear":
        return scene.gear
    if qa.kind == "fuel":
        return "ABCD"[FUEL_LEVELS.index(scene.fuel)]
    if qa.kind == "temperature":
        return scene.temperature
    if qa.kind == "refuel":
        return "yes" if FUEL_LEVELS.index(scene.fuel) < 2 else "no"
    if qa.kind == "above":
        return "yes" if scene.speed > int(words[-1]) else "no"
    if qa.kind == "count":
        return str(len(lights))
    if qa.kind == "count_colour":
        return str(Counter(one.colour for one in lights)[next(word for word in words if word in ACTIONS)])
    if qa.kind == "count_row":
        return str(Counter(one.row for one in lights)["top" if "top" in words else "bottom"])
    if qa.kind == "existence":
        return "yes" if light else "no"
    if qa.kind.startswith("end") or qa.kind == "meaning":
        assert end is not None
        return {"end": end.name, "end_colour": end.colour, "meaning": MEANINGS[end.name],
                "end_action": ACTIONS[end.colour]}[qa.kind]  # fmt: skip
    assert light is not None
    if qa.kind == "left_of":
        return "yes" if names.index(qa.objects[0]) < names.index(qa.objects[1]) else "no"
    if qa.kind == "next_right":
        return [*names[1:], "none"][names.index(light.name)]
    return {"colour": light.colour, "row": light.row, "action": ACTIONS[light.colour]}[qa.kind]


def test_answers_agree_with_a_second_reading(scenes: list[Scene]) -> None:
    for scene in scenes:
        for qa in catalogue(scene):
            assert qa.answer == _read_again(scene, qa), (scene, qa)


def test_absent_questions_are_about_lights_that_are_off(scenes: list[Scene]) -> None:
    for scene in scenes:
        names = {light.name for light in scene.lights}
        for qa in absent_questions(scene):
            assert qa.answer in ("no", "off", "none")
            assert not scene.lights or any(name in LIGHTS and name not in names for name in qa.objects)


def test_levels_and_reasoning(scenes: list[Scene]) -> None:
    items = [qa for scene in scenes for qa in catalogue(scene)]
    assert {qa.level for qa in items} == {0, 1, 2, 3}
    assert all(qa.reasoning and len(qa.reasoning.split()) <= 12 for qa in items)
