"""Questions that changed: what is counted is what is listed, for every step, benchmark and direction."""

from __future__ import annotations

import io
import random
import re

import pytest
from PIL import Image

from components.stages import EVALUATED
from pipelines.report import changes
from pipelines.report.changes import changed_questions, outcomes
from tests.pipelines.report.test_page import evaluate

LINK = re.compile(r'data-from="(\d)" data-to="(\d)" data-change="(\w+)" data-benchmark="(\w+)">(\d+)</a>')
ITEM = re.compile(r'<figure data-outcomes="(\d+)" data-benchmark="(\w+)"')
WANTED = {"right": "01", "wrong": "10"}


@pytest.fixture
def run(tmp_path):
    draw = random.Random(7)
    items = [f"{kind} {number}" for kind in ("speed", "clock") for number in range(30)]
    for label in EVALUATED:
        evaluate(tmp_path, label, {item: draw.randint(0, 1) for item in items})
    (tmp_path / "outputs" / "preflight").mkdir(parents=True)
    (tmp_path / "outputs" / "preflight" / "benchmarks").write_text("[]")
    return tmp_path


def test_behind_every_number_lie_as_many_questions(run):
    text = changed_questions(run).fragment()
    listed = ITEM.findall(text)
    links = LINK.findall(text)
    assert len(links) == 2 * len(EVALUATED)  # each step, and the whole: right and wrong
    for before, after, change, benchmark, count in links:
        behind = [
            digits
            for digits, of in listed
            if of == benchmark and digits[int(before)] + digits[int(after)] == WANTED[change]
        ]
        assert len(behind) == int(count)


def test_questions_that_never_changed_are_not_listed(run):
    text = changed_questions(run).fragment()
    assert all(len(set(digits)) == 2 for digits, _ in ITEM.findall(text))


def test_more_than_can_be_listed_are_drawn_evenly_and_said(run, monkeypatch):
    monkeypatch.setattr(changes, "LISTED", 10)
    text = changed_questions(run).fragment()
    assert len(ITEM.findall(text)) == 10
    assert text.count('data-kind="speed"') == text.count('data-kind="clock"') == 5
    assert "10 of the" in text


def test_only_common_questions_are_compared():
    said = {"a": {("b", "1"): {"score": 1.0}, ("b", "2"): {"score": 0.0}}, "c": {("b", "1"): {"score": 0.4}}}
    assert outcomes(said) == {("b", "1"): "10"}


def test_one_model_has_no_changes(tmp_path):
    evaluate(tmp_path, "base", {"a": 1})
    assert changed_questions(tmp_path) is None


def test_answers_are_escaped(tmp_path):
    evaluate(tmp_path, "base", {"<b>x": 1})
    evaluate(tmp_path, "hybrid_rl", {"<b>x": 0})
    (tmp_path / "outputs" / "preflight").mkdir(parents=True)
    (tmp_path / "outputs" / "preflight" / "benchmarks").write_text("[]")
    assert "<b>x" not in changed_questions(tmp_path).fragment().replace("<b>&lt;b&gt;x", "")


def test_large_pictures_are_made_small_and_unreadable_ones_said():
    buffer = io.BytesIO()
    noise = Image.effect_noise((900, 600), 80).convert("RGB")
    noise.save(buffer, "PNG")
    assert len(changes._thumbnail(buffer.getvalue())) < len(buffer.getvalue()) / 5
    assert "not readable" in changes._thumbnail(b"x" * 10_000)
