from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.world.open_questions import MIN_LIGHTS, QUESTIONS, example, kind_of, read
from demo.world.questions import answer
from demo.world.scene import Light, Scene, sample_scene

SCENE = Scene(
    speed=45,
    gear="D",
    fuel="half",
    temperature="hot",
    lights=(Light("oil", "red", "top", 0), Light("door", "blue", "bottom", 2)),
)
NAME, DESCRIBE, EXPLAIN, LIST = (QUESTIONS[kind][0] for kind in ("name", "describe", "explain", "list"))


@pytest.mark.parametrize(
    ("question", "response", "true", "right"),
    [
        (NAME, "oil", {"light oil"}, True),
        (NAME, "The door light is blue.", {"light door"}, True),
        (NAME, "The oil light is blue.", set(), False),
        (NAME, "oil and brake", {"light oil"}, False),
        (NAME, "The speed is 45.", set(), False),
        (DESCRIBE, "The speed is 45.", {"speed"}, True),
        (DESCRIBE, "The speed is 46.", set(), False),
        (DESCRIBE, "The gear is D and the temperature is hot.", {"gear", "temperature"}, True),
        (DESCRIBE, "The belt light is off.", {"no belt"}, True),
        (DESCRIBE, "The oil light is off.", set(), False),
        (EXPLAIN, "low oil pressure", {"meaning oil"}, True),
        (EXPLAIN, "engine fault", set(), False),
        (EXPLAIN, "oil", set(), False),
        (LIST, "oil and door", {"light oil", "light door"}, True),
        (LIST, "oil", {"light oil"}, False),
        (LIST, "oil and door and lamp", {"light oil", "light door"}, False),
        (NAME, "", set(), False),
    ],
)
def test_answers_are_read_by_their_statements(question, response, true, right):
    found = read(SCENE, question, response)
    assert (set(found.true), found.right) == (true, right)


@given(st.integers(0, 2**32), st.sampled_from(sorted(QUESTIONS)))
def test_examples_are_right_and_of_several_meanings(seed, kind):
    scenes = (sample_scene(np.random.default_rng((seed, n))) for n in range(100))
    scene = next(scene for scene in scenes if len(scene.lights) >= MIN_LIGHTS)
    rng = random.Random(seed)
    for question in QUESTIONS[kind]:
        readings = [read(scene, question, example(scene, kind, rng)) for _ in range(30)]
        assert all(reading.right for reading in readings)
        assert len({reading.true for reading in readings}) > (kind != "list")


def test_they_are_no_questions_of_the_demo_s_own_run():
    for kind, wordings in QUESTIONS.items():
        for text in wordings:
            assert kind_of(text) == kind and answer(SCENE, text) is None
    assert kind_of("What is the speed?") == ""
