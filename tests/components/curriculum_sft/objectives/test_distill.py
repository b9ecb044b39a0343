"""On-policy distillation: from the questions to the trained weights."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from components.core.data.checkpoint import commit_checkpoint
from components.core.vlm import load_model, load_processor
from components.core.vlm.messages import build_conversation, prompt_text
from components.curriculum_sft.objectives.distill import Supervised, questions_of
from components.curriculum_sft.training.order import GenerationOrder
from tests.faults.checkpoints import sealed_checkpoints
from tests.processes.warm import OtherWarm, Process, Warm, cold

CONFIG = {
    "objective": "distill",
    "batch_samples": 4,
    "learning_rate": 1e-3,
    "max_steps": 8,
    "save_steps": 2,
    "log_steps": 1,
    "distillation": {"max_new_tokens": 6},
}
BOTH = CONFIG | {
    "domain_share": 0.5,
    "optimizer": "muon",
    "distillation": {"max_new_tokens": 6, "supervised_samples": 2},
}


def sample(name: str, turns: int, images: int = 1) -> dict:
    messages = build_conversation([(f"Question {i}?", f"answer {i}") for i in range(turns)], images)
    return {
        "sample_id": name,
        "messages": json.dumps(messages),
        "image_ids": [f"{name}{i}" for i in range(images)],
        "source": "general",
        "length": 9,
    }


def test_every_answer_becomes_a_question_after_the_turns_before_it():
    found = {row["sample_id"]: row for row in questions_of([sample("a", 3, images=2)], 0, seed=0)}
    assert sorted(found) == ["a/0", "a/1", "a/2"]
    last = found["a/2"]
    turns = json.loads(last["messages"])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert turns[-1]["content"] == [{"type": "text", "text": "Question 2?"}]
    assert last["reference"] == "answer 2" and last["image_ids"] == ["a0", "a1"] and last["length"] == 9


def test_a_limit_takes_questions_of_every_sample_in_turn():
    rows = [sample(name, 4) for name in "abc"]
    found = questions_of(rows, 6, seed=1)
    assert sorted(row["sample_id"][0] for row in found) == list("aabbcc")
    assert found == questions_of(rows, 6, seed=1) != questions_of(rows, 6, seed=2)


def test_a_later_picture_is_not_shown_before_its_turn():
    turns = build_conversation([("First?", "one")], 1) + build_conversation([("Second?", "two")], 1)
    row = {**sample("a", 1), "messages": json.dumps(turns), "image_ids": ["x", "y"]}
    assert {r["sample_id"]: r["image_ids"] for r in questions_of([row], 0, 0)} == {
        "a/0": ["x"],
        "a/1": ["x", "y"],
    }


def test_a_conversation_is_a_prompt(tiny_checkpoint):
    processor = load_processor(tiny_checkpoint)
    turns = build_conversation([("First?", "one"), ("Second?", None)])
    assert prompt_text(processor, turns[:1]) == prompt_text(processor, "First?")
    text = prompt_text(processor, turns)
    assert text.startswith(prompt_text(processor, "First?") + "one") and text.endswith(
        "<|im_start|>assistant\n"
    )


def test_every_pass_of_a_step_gets_the_step_s_questions():
    order = GenerationOrder([5, 3, 8, 1, 9, 2, 7], generation=3, passes=2, seed=0)
    drawn = list(order)
    assert len(drawn) == len(order) == 12
    assert drawn[:3] == drawn[3:6] and drawn[6:9] == drawn[9:] and len(set(drawn)) == 6
    later = []
    for epoch in range(1, 6):
        order.epoch = epoch
        later.append(list(order))
    assert any(other != drawn for other in later)


def test_supervised_batches_go_through_all_samples_before_one_comes_again():
    rows = [{"sample_id": str(i), "length": i, "image_ids": []} for i in range(7)]
    given = Supervised(rows, lambda batch: [row["sample_id"] for row in batch], count=2, seed=0)
    epoch = [given.batch(number) for number in range(3)]
    assert len({name for batch in epoch for name in batch}) == 6
    assert given.batch(1) == epoch[1] and [given.batch(n) for n in range(3, 6)] != epoch
    few = Supervised(rows[:1], lambda batch: [row["sample_id"] for row in batch], count=4, seed=0)
    assert list(islice((few.batch(n) for n in range(2)), 2)) == [["0"], ["0"]]


def start(
    argv, world, out: Path, config: dict, processes: int = 1, how: Callable[..., Process] = Warm, **more: Path
) -> Process:
    environment = os.environ | {"VLM_WORK_ROOT": str(out / "work"), "OMP_NUM_THREADS": "1"}
    command = argv(world, out, config | {"processes": processes}, **more)
    if config.get("sharding") == "zero3":
        how = cold  # some import everything themselves
    return how("components.curriculum_sft", command, environment)


def run(*args, **more) -> dict[str, float]:
    process = start(*args, **more)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads((args[2] / "metrics.json").read_text())


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "checkpoint" / "model.safetensors")


@pytest.fixture(scope="module")
def moved(sft_world, tmp_path_factory) -> Path:
    """A checkpoint that has gone astray from the base model."""
    model, out = load_model(sft_world["base"], "float32"), tmp_path_factory.mktemp("moved") / "checkpoint"
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "visual" not in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(out)
    load_processor(sft_world["base"]).save_pretrained(out)
    commit_checkpoint(out)
    return out


@pytest.fixture(scope="module")
def distilled(sft_world, argv, tmp_path_factory, moved):
    """Output directory and metrics of an uninterrupted run with supervised samples."""
    out = tmp_path_factory.mktemp("distilled")
    return out, run(argv, sft_world, out, BOTH, how=OtherWarm, init_checkpoint=moved)


def test_a_model_that_is_its_teacher_stays_where_it_is(sft_world, argv, tmp_path):
    """The divergence and its gradient are 0; AdamW turns rounding into steps of up to its rate, which is
    small here."""
    metrics = run(
        argv, sft_world, tmp_path, CONFIG | {"learning_rate": 1e-7, "weight_decay": 0.0, "max_steps": 2}
    )
    assert metrics["loss_first"] == pytest.approx(0, abs=1e-6)
    before, after = load_file(sft_world["base"] / "model.safetensors"), weights(tmp_path)
    assert max((after[name] - value).abs().max() for name, value in before.items()) < 1e-6


def test_distillation_comes_back_to_the_teacher(sft_world, argv, tmp_path, moved):
    metrics = run(argv, sft_world, tmp_path, CONFIG | {"max_steps": 24}, init_checkpoint=moved)
    assert metrics["loss_first"] > 0.1
    assert metrics["loss_final"] < 0.5 * metrics["loss_first"]


@pytest.mark.parametrize("config", [CONFIG, BOTH], ids=["alone", "beside supervised samples"])
def test_passes_and_processes_share_a_step(sft_world, argv, tmp_path, moved, config):
    """Two passes, or two processes, of two questions each: loss and gradient of one pass with four.

    Supervised samples are drawn by pass, so there it is two passes against two processes.
    """
    settings = config | {"max_steps": 1, "learning_rate": 1e-3}
    half = settings | {"batch_samples": 2}
    runs = {"two": (half, 2), "passes": (half | {"accumulation_steps": 2}, 1)}
    if config is CONFIG:
        runs["one"] = (settings, 1)
    seen = {}
    for name, (own, processes) in runs.items():
        metrics = run(argv, sft_world, tmp_path / name, own, processes, init_checkpoint=moved)
        seen[name] = (metrics["loss_first"], metrics["grad_norm_first"])
    for figures in seen.values():
        assert figures == pytest.approx(seen["two"], rel=1e-4)


def test_sharded_ranks_see_the_losses_of_others(sft_world, argv, tmp_path, moved):
    """Two ranks under ZeRO-2 lose as two that share nothing. With texts in the data ZeRO-2 and 3 run too.

    Texts are not asked, but trained on by likelihood: one rank then has a picture and the other has none.
    Under ZeRO-3 TRL samples: the answers differ, with the same distribution.
    """
    pytest.importorskip("deepspeed")
    mixed = tmp_path / "general"
    mixed.mkdir()
    with open(mixed / "mixed.jsonl", "w") as file:
        for n in range(40):
            Image.new("RGB", (64, 48), (6 * n, 0, 0)).save(mixed / f"{n}.png")
            mark, images = ("<image>", [f"{n}.png"]) if n % 3 == 0 else ("", [])
            turns = [
                {"role": "user", "content": f"{mark}How many circles are there in {n}?"},
                {"role": "assistant", "content": "There are three of them. Answer: 3"},
            ]
            file.write(json.dumps({"messages": turns, "images": images}) + "\n")
    own = {"max_new_tokens": 6, "supervised_samples": 1}
    config = CONFIG | {"batch_samples": 1, "domain_share": 0.3, "learning_rate": 1e-4, "distillation": own}

    def losses(name: str, general: Path, **more: str) -> tuple[float, float]:
        world = {**sft_world, "general": general}
        metrics = run(argv, world, tmp_path / name, config | more, 2, init_checkpoint=moved)
        return metrics["loss_first"], metrics["loss_final"]

    plain = losses("plain", sft_world["general"])
    assert losses("zero2", sft_world["general"], sharding="zero2") == pytest.approx(plain, rel=1e-4)
    mixed_2 = losses("mixed 2", mixed, sharding="zero2")
    assert losses("mixed 3", mixed, sharding="zero3") == pytest.approx(mixed_2, rel=0.02)


def test_killed_and_continued_it_ends_with_the_same_weights(sft_world, argv, tmp_path, moved, distilled):
    out, expected = distilled
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start(argv, sft_world, tmp_path, BOTH, init_checkpoint=moved)
        seen = sealed_checkpoints(tmp_path)
        while not sealed_checkpoints(tmp_path) - seen:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(120) != 0
    metrics = run(argv, sft_world, tmp_path, BOTH, init_checkpoint=moved)
    assert all(torch.equal(weights(tmp_path)[name], value) for name, value in weights(out).items())
    assert metrics["loss_final"] == pytest.approx(expected["loss_final"], rel=1e-6)


def test_too_few_questions_are_told(sft_world, argv, tmp_path):
    process = start(argv, sft_world, tmp_path, CONFIG | {"batch_samples": 64})
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 65 and "12 general questions are fewer than one step takes (64)" in errors
