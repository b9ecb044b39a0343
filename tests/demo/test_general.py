"""The general task's labels are scikit-learn's, and its answers agree with the scene."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from demo import general


def test_splits_are_disjoint_and_complete() -> None:
    train, test = set(general.scan_split("train")), set(general.scan_split("test"))
    assert not train & test
    assert train | test == set(range(len(load_digits().target)))
    assert 0.2 < len(test) / len(train | test) < 0.3


def test_number_is_made_of_the_labels_of_its_scans() -> None:
    labels = load_digits().target
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        pool = set(general.scan_split(split))
        for _ in range(50):
            scene = general.sample_scene(rng, split)
            assert set(scene.digits) <= pool
            read = next(qa for qa in general.questions(scene, rng) if qa.kind == "number")
            assert read.answer == "".join(str(labels[i]) for i in scene.digits)


def test_rendering_is_deterministic_and_shows_the_scan() -> None:
    rng = np.random.default_rng(1)
    scene = next(scene for _ in range(20) if (scene := general.sample_scene(rng, "train")).digits)
    pixels = np.asarray(general.render(scene))
    assert (pixels == np.asarray(general.render(scene))).all()
    box = next(box for box in general.boxes(scene) if general.LABELS[box.label].isdigit())
    window = pixels[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
    assert window.max() > 200  # the scan's ink


def test_answers_agree_with_the_scene() -> None:
    rng = np.random.default_rng(2)
    for _ in range(100):
        scene = general.sample_scene(rng, "train")
        colours = {shape.name: shape.colour for shape in scene.shapes}
        order = [shape.name for shape in sorted(scene.shapes, key=lambda shape: shape.column)]
        for qa in general.questions(scene, rng):
            words = qa.question.rstrip("?.").split()
            if qa.kind == "colour":
                assert qa.answer == colours[words[-1]]
            elif qa.kind == "shape":
                assert colours[qa.answer] == words[-1]
            elif qa.kind == "count":
                assert qa.answer == str(len(order))
            elif qa.kind == "existence":
                assert (qa.answer == "yes") == (words[-1] in colours)
            elif words[-1] in ("leftmost", "rightmost"):
                assert qa.answer == order[0 if words[-1] == "leftmost" else -1]


def test_yes_and_no_are_balanced() -> None:
    rng = np.random.default_rng(3)
    answers = [
        qa.answer
        for _ in range(300)
        for qa in general.questions(general.sample_scene(rng, "train"), rng)
        if qa.kind == "existence"
    ]
    assert 0.45 < answers.count("yes") / len(answers) < 0.55
