"""Needles: the same from the same seed, at their depth, and their table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.core.stage.errors import ConfigError
from components.evaluation.config import BenchmarkRef
from components.evaluation.items import Questions
from components.evaluation.results.summary import needle_table
from components.evaluation.scoring import Scored, score


def _questions(path: Path, **settings) -> Questions:
    file = path / "hay.needle.json"
    file.write_text(json.dumps(settings))
    questions = Questions()
    questions.add_benchmark(BenchmarkRef(name="hay", role="general", ref=str(file)), None)
    return questions


def test_a_text_needle_lies_at_its_depth_among_other_numbers(tmp_path):
    settings = {"lengths": [200, 400], "depths": [0, 0.5, 1], "per_cell": 2, "distractors": 3}
    items = _questions(tmp_path, **settings).items
    assert len(items) == 12
    for item in items:
        length, depth = item.grid
        text, question = item.question.rsplit("\n\n", 1)
        assert length <= len(text.split()) <= length + 60
        name = question.removeprefix("What is the access code of the ").removesuffix("?")
        sentence = f"The access code of the {name} is {item.reference}."
        assert text.count(sentence) == 1 and text.count("The access code of the") == 4
        place = text.index(sentence) / (len(text) - len(sentence))
        assert place == pytest.approx(depth, abs=0.08)
        assert score(item.reference, item).score == 1
    assert items == _questions(tmp_path, **settings).items
    assert items != _questions(tmp_path, **settings, seed=1).items


def test_an_image_needle_is_drawn_on_the_picture_at_its_depth(tmp_path):
    settings = {"kind": "needle_images", "lengths": [4], "depths": [0, 1], "per_cell": 1, "picture_px": 96}
    questions = _questions(tmp_path, **settings)
    plain = _questions(tmp_path, **settings, distractors=0)
    for item, alone in zip(questions.items, plain.items, strict=True):
        pictures = questions.pictures(item)
        assert len(pictures) == 4 and item.pixels == 4 * 96 * 96
        assert pictures == questions.pictures(item)
        assert len(set(plain.pictures(alone))) == 4
        # Both haystacks have the needle at the same place; elsewhere only the other plates differ.
        same = [a == b for a, b in zip(pictures, plain.pictures(alone), strict=True)]
        assert same.count(True) == 1
    assert [item.grid for item in questions.items] == [(4, 0.0), (4, 1.0)]


def test_bad_settings_are_named(tmp_path):
    with pytest.raises(ConfigError, match="lengths"):
        _questions(tmp_path, lengths=[])


def test_table_by_length_and_depth(any_item):
    cells = [(100, 0.0, 1.0), (100, 0.0, 0.0), (100, 1.0, 1.0), (200, 0.0, 0.0)]
    items = [any_item(item_id=str(n), grid=(length, depth)) for n, (length, depth, _) in enumerate(cells)]
    scored = [Scored("", "rules", value) for _, _, value in cells]
    table = needle_table([*items, any_item(item_id="other")], [*scored, Scored("", "none", 0.0)], "b")
    assert table["lengths"] == [100, 200] and table["depths"] == [0.0, 1.0]
    assert table["accuracy"] == [[0.5, 1.0], [0.0, None]]
    assert table["counts"] == [[2, 1], [1, 0]]
    assert json.loads(json.dumps(table))["accuracy"] == [[0.5, 1.0], [0.0, None]]
