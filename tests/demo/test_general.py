"""The general task's labels are scikit-learn's, and its answers agree with the scene."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from demo import general
from demo.general.scene import BANDS, BULBS, DIRECTIONS
from demo.world.scene import ACTIONS, LIGHTS, MEANINGS


def test_splits_are_disjoint_and_complete() -> None:
    train, test = set(general.scan_split("train")), set(general.scan_split("test"))
    assert not train & test
    assert train | test == set(range(len(load_digits().target)))
    assert 0.2 < len(test) / len(train | test) < 0.3


@pytest.mark.parametrize("split", ["train", "test"])
def test_number_is_made_of_the_labels_of_its_scans(split) -> None:
    labels = load_digits().target
    rng = np.random.default_rng(0)
    pool = set(general.scan_split(split))
    scanned = 0
    for _ in range(100):
        scene = general.sample_scene(rng, split)
        if scene.written and scene.written.scans:
            scanned += 1
            assert set(scene.written.scans) <= pool
            assert scene.written.text == "".join(str(labels[i]) for i in scene.written.scans)
    assert scanned > 20


def test_rendering_is_deterministic_and_shows_the_writing() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        scene = general.sample_scene(rng, "train")
        pixels = np.asarray(general.render(scene))
        assert (pixels == np.asarray(general.render(scene))).all()
        for box in general.boxes(scene):
            if len(general.LABELS[box.label]) == 1:
                window = pixels[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
                assert window.max() > 180  # ink


def test_objects_do_not_cover_each_other() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        found = general.boxes(general.sample_scene(rng, "train"))
        assert all(0 <= box.left < box.right <= general.SIZE_PX for box in found)
        assert all(0 <= box.top < box.bottom <= general.SIZE_PX for box in found)
        for i, one in enumerate(found):
            for other in found[i + 1 :]:
                apart = one.right <= other.left or other.right <= one.left
                assert apart or one.bottom <= other.top or other.bottom <= one.top


def _expected(scene: general.GeneralScene, qa: general.GeneralQA) -> str | None:
    """The answer by a second way: from the question's last word and the scene; None for other kinds."""
    colours = {shape.name: shape.colour for shape in scene.shapes}
    words = qa.question.rstrip("?.").split()
    known = {
        "colour": lambda: colours[words[-1]],
        "shape": lambda: next(name for name, colour in colours.items() if colour == words[-1]),
        "count": lambda: str(len(scene.shapes)),
        "count colour": lambda: str(list(colours.values()).count(words[2])),
        "existence": lambda: "yes" if words[-1] in colours else "no",
        "attribute": lambda: "yes" if colours[words[2]] == words[-1] else "no",
        "row": lambda: BANDS[next(shape.band for shape in scene.shapes if shape.name == words[-2])],
        "choice": lambda: "ABCD"[qa.choices.index(colours[words[-1]])],
        "absent": lambda: "none",
        "dial": lambda: DIRECTIONS[scene.dial[2]] if scene.dial else "none",
        "bulbs": lambda: str(sum(scene.bulbs[2])) if scene.bulbs else None,
        "bulb": lambda: "yes" if scene.bulbs and scene.bulbs[2][BULBS.index(words[2])] else "no",
        "above": lambda: "yes" if scene.written and int(scene.written.text) > int(words[-1]) else "no",
    }  # fmt: skip
    return known[qa.kind]() if qa.kind in known else None


def test_answers_agree_with_the_scene() -> None:
    rng = np.random.default_rng(2)
    checked: Counter[str] = Counter()
    for _ in range(150):
        scene = general.sample_scene(rng, "train")
        for qa in general.questions(scene, rng):
            expected = _expected(scene, qa)
            if expected is not None:
                checked[qa.kind] += 1
                assert qa.answer == expected, qa
    assert len(checked) == 13


def test_relations_and_ends_agree_with_the_places() -> None:
    rng = np.random.default_rng(4)
    for _ in range(150):
        scene = general.sample_scene(rng, "train")
        for qa in general.questions(scene, rng):
            words = qa.question.rstrip("?.").split()
            if qa.kind == "relation":
                first, second = scene.shape(words[2]), scene.shape(words[-1])
                assert first and second
                holds = first.column < second.column if "left" in words else first.band < second.band
                assert qa.answer == ("yes" if holds else "no")
            if qa.kind == "end" and ("leftmost" in words or "rightmost" in words):
                columns = [shape.column for shape in scene.shapes]
                end = min(columns) if "leftmost" in words else max(columns)
                assert [shape.name for shape in scene.shapes if shape.column == end] == [qa.answer]


@pytest.mark.parametrize("kind", ["existence", "attribute", "above", "relation", "bulb"])
def test_yes_and_no_are_balanced(kind) -> None:
    rng = np.random.default_rng(3)
    answers = [
        qa.answer
        for _ in range(400)
        for qa in general.questions(general.sample_scene(rng, "train"), rng)
        if qa.kind == kind
    ]
    assert 0.4 < answers.count("yes") / len(answers) < 0.6


def test_nothing_of_the_domain_is_in_the_general_task() -> None:
    rng = np.random.default_rng(6)
    texts = []
    for _ in range(200):
        scene = general.sample_scene(rng, "train")
        texts += [f"{qa.question} {qa.answer} {qa.reasoning}" for qa in general.questions(scene, rng)]
    said = {word.strip(".,?:") for text in texts for word in text.split()}
    assert not said & {"light", "km", "amber", "fuel", "gear", "speed", *LIGHTS}
    joined = " ".join(texts).lower()
    assert not any(phrase in joined for phrase in (*MEANINGS.values(), *ACTIONS.values()))
