"""Prompts by kind and style, where pictures stand in them, chunks."""

from __future__ import annotations

import pytest

from components.core.benchmarks.kinds import KINDS
from components.core.resume.journal import Journal
from components.evaluation.asking import ask, content_parts, prompt_for, template_hashes
from components.evaluation.config import BenchmarkRef, Config
from components.evaluation.engines import Decoding
from components.evaluation.engines.transformers import TransformersEngine
from components.evaluation.items import Questions


@pytest.fixture
def questions(write_benchmark) -> Questions:
    read = Questions()
    read.add_benchmark(BenchmarkRef(**write_benchmark("domain", 24)), None)
    return read


def test_pictures_stand_where_they_are_named():
    prompt = "Compare <image 2> with <image 1>, then <image 2> again."
    assert content_parts(prompt, 3) == [
        2, "Compare ", 1, " with ", 0, ", then <image 2> again.",
    ]  # fmt: skip
    assert content_parts("What is it?", 2) == [0, 1, "What is it?"]
    assert content_parts("What is it?", 0) == ["What is it?"]


def test_a_plain_prompt_is_the_training_format(any_item):
    item = any_item(question="Which?", choices=("x", "y"), hint="Look.", answer_type="choice", answer="A")
    assert prompt_for(item, "plain") == "Hint: Look.\nWhich?\nA. x\nB. y"


def test_every_kind_has_a_template_and_a_hash(any_item):
    items = [any_item(kind=kind, form="float", precision=2) for kind in KINDS]
    for item in items:
        assert prompt_for(item, "instructed").startswith("q")
    hashes = template_hashes(items)
    assert len(hashes) == len({*hashes}) and all(len(value) == 16 for value in hashes.values())
    number = any_item(kind="mathvista", form="float", precision=2, answer_type="number", unit="m")
    assert prompt_for(number, "instructed").splitlines()[1:] == [
        "(Unit: m)",
        'Answer the question with a number with 2 decimal places and give it at the end, as "Answer: 1.23".',
    ]


def test_chunks_keep_a_pictures_items_together(questions, tiny_checkpoint, tmp_path):
    config = Config(max_new_tokens=2, chunk_items=4, samples_per_item=0)
    engine = TransformersEngine(tiny_checkpoint, config)
    prompts = [prompt_for(item, "plain") for item in questions.items]
    asked: list[list[bytes]] = []

    class Watching:
        def describe(self):
            return engine.describe()

        def answer(self, items, **how):
            assert all(isinstance(text, str) for _, text in items)
            asked.append([picture for picture, _ in items])
            return engine.answer(items, **how)

    answers = ask(
        Watching, questions, prompts, range(24), Decoding(1, 0.0, 0), chunk_items=4,
        journal=Journal(tmp_path / "journal.jsonl"), name="greedy",
    )  # fmt: skip
    assert sorted(answers) == list(range(24))
    assert [len(set(chunk)) for chunk in asked] == [1] * 6  # 24 items over six pictures: four each
