"""The built world: complete, found again, repaired, and with benchmarks that training never sees."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from components.core.data.checkpoint import open_checkpoint
from components.core.data.dataset import Dataset
from components.core.vlm.messages import format_question
from demo.base import settings as base_settings
from demo.build import build_world
from demo.world.forms import FORMS
from demo.world.index import WorldIndex
from demo.world_settings import MINI


def _rows(path: Path, table: str) -> list[dict]:
    return list(Dataset.open(path, table).rows_iter())


def test_everything_is_there(mini_world: Path) -> None:
    pictures = sorted((mini_world / "images").iterdir())
    assert len(pictures) == MINI.images
    index = WorldIndex.load(mini_world / "index.jsonl")
    assert all(index.lookup(picture.read_bytes()) is not None for picture in pictures)
    for name, items in (("domain", 1), ("general", 1), ("hallucination", 2)):
        rows = Dataset.open(mini_world / "benchmarks" / name, "benchmark").rows
        assert rows == items * MINI.benchmark_items
    assert open_checkpoint(mini_world / "base_model").digest


def test_benchmarks_are_disjoint_from_training_pictures(mini_world: Path) -> None:
    training = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (mini_world / "images").iterdir()}
    training |= {row["image_id"] for row in _rows(mini_world / "general" / "images", "images")}
    groups: set[str] = set()
    for name in ("domain", "general", "hallucination"):
        held_out = {row["image_group"] for row in _rows(mini_world / "benchmarks" / name, "benchmark")}
        assert not held_out & training
        assert not held_out & groups
        groups |= held_out


def test_hallucination_probes_ask_for_an_absent_and_a_present_light_of_each_picture(mini_world: Path) -> None:
    answers: dict[str, list[str]] = {}
    for row in _rows(mini_world / "benchmarks" / "hallucination", "benchmark"):
        assert row["answer_type"] == "yes_no"
        answers.setdefault(row["image_group"], []).append(row["answer"])
    assert len(answers) == MINI.benchmark_items
    assert all(sorted(group) == ["no", "yes"] for group in answers.values())


def test_domain_benchmark_spans_the_kinds(mini_world: Path) -> None:
    rows = _rows(mini_world / "benchmarks" / "domain", "benchmark")
    assert {row["category"] for row in rows} <= {form.kind for form in FORMS}
    assert len({row["category"] for row in rows}) > len(FORMS) // 3


def test_general_samples_hold_one_picture_and_all_their_questions(mini_world: Path) -> None:
    known = {row["image_id"] for row in _rows(mini_world / "general" / "images", "images")}
    for row in _rows(mini_world / "general" / "samples", "samples"):
        messages = json.loads(row["messages"])
        assert [message["role"] for message in messages] == ["user", "assistant"] * (len(messages) // 2)
        parts = [part["type"] for message in messages for part in message["content"]]
        assert parts.count("image") == len(row["image_ids"]) == 1
        assert set(row["image_ids"]) <= known


def test_second_build_has_nothing_to_do(mini_world: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in mini_world.rglob("*")}
    assert not build_world(mini_world, MINI, base_settings.MINI)
    assert before == {path: path.stat().st_mtime_ns for path in mini_world.rglob("*")}


@pytest.mark.parametrize("damaged", ["index.jsonl", "images/cluster_00003.png"])
def test_damage_is_repaired(mini_world: Path, tmp_path: Path, damaged: str) -> None:
    copy = tmp_path / "world"
    shutil.copytree(mini_world, copy)
    (copy / damaged).write_bytes(b"")
    assert build_world(copy, MINI, base_settings.MINI)
    assert (copy / damaged).read_bytes() == (mini_world / damaged).read_bytes()


def test_choices_are_part_of_the_question_text() -> None:
    form = next(form for form in FORMS if form.choices)
    assert format_question(form.wordings[0], form.choices).count("\n") == len(form.choices)
