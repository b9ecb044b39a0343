"""Asking: one encoding a picture, chunks."""

from __future__ import annotations

import pytest
import torch

from components.core.resume.journal import Journal
from components.core.vlm import generate, load_model, load_processor
from components.evaluation.benchmarks import Questions
from components.evaluation.config import Benchmark, Config
from components.evaluation.engines.transformers import TransformersEngine
from components.evaluation.inference import ask
from components.evaluation.prompting import prompt_for
from components.evaluation.shared_vision import SharedVision


@pytest.fixture
def questions(write_benchmark) -> Questions:
    read = Questions()
    read.add_benchmark(Benchmark(**write_benchmark("domain", 24)), None)
    return read


@pytest.mark.parametrize("budget_bytes", [0, 10_000, 2**30])
def test_shared_vision_gives_the_answers_of_the_plain_model(tiny_checkpoint, coloured_pictures, budget_bytes):
    processor = load_processor(tiny_checkpoint)
    items = [(coloured_pictures[i % 6], f"Question {i % 5}?") for i in range(30)]
    plain = generate(load_model(tiny_checkpoint), processor, items, max_new_tokens=6, batch_size=8)
    model = load_model(tiny_checkpoint)
    SharedVision(model, budget_bytes)
    assert generate(model, processor, items, max_new_tokens=6, batch_size=8) == plain


def test_shared_vision_encodes_a_picture_once(tiny_checkpoint, coloured_pictures):
    model, processor = load_model(tiny_checkpoint), load_processor(tiny_checkpoint)
    shared = SharedVision(model)
    items = [(coloured_pictures[i % 6], f"Question {i}?") for i in range(30)]
    generate(model, processor, items, max_new_tokens=1, batch_size=8)
    assert shared.encoded == 6
    shared.clear()
    generate(model, processor, items[:6], max_new_tokens=1)
    assert shared.encoded == 12


def test_shared_features_equal_those_of_the_tower(tiny_checkpoint, coloured_pictures):
    model, processor = load_model(tiny_checkpoint), load_processor(tiny_checkpoint)
    from components.core.vlm import open_image, prompt_text

    pictures = [open_image(coloured_pictures[i]) for i in (0, 3, 0, 5, 3)]
    inputs = processor(
        text=[prompt_text(processor, "q")] * 5, images=pictures, return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        plain = model.model.visual(
            inputs["pixel_values"], grid_thw=inputs["image_grid_thw"], return_dict=True
        )
        SharedVision(model)
        shared = model.model.visual(
            inputs["pixel_values"], grid_thw=inputs["image_grid_thw"], return_dict=True
        )
    torch.testing.assert_close(shared.pooler_output, plain.pooler_output)
    assert len(shared.deepstack_features) == len(plain.deepstack_features) == 1
    torch.testing.assert_close(shared.deepstack_features[0], plain.deepstack_features[0])


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
        Watching, questions, prompts, range(24), samples=1, temperature=0.0, seed=0, chunk_items=4,
        journal=Journal(tmp_path / "journal.jsonl"), name="greedy",
    )  # fmt: skip
    assert sorted(answers) == list(range(24))
    assert [len(set(chunk)) for chunk in asked] == [1] * 6  # 24 items over six pictures: four each
