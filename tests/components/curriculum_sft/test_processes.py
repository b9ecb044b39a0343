"""Two processes see the losses of one.

Weights are not compared: AdamW turns rounding in gradients near 0 into steps of the whole learning rate.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from components.core.data.checkpoint import open_checkpoint
from components.core.vlm import load_model
from tests.processes.warm import Warm, cold

PADDED = {"batch_samples": 4, "max_steps": 6, "save_steps": 3, "log_steps": 1, "learning_rate": 1e-3}
PACKED = PADDED | {"batch_samples": 1, "pack_tokens": 256, "max_length_tokens": 256}
LONG = {"max_steps": 20, "learning_rate": 1e-4}
ADAPTERS = {"lora": {"rank": 4, "alpha": 8}, "learning_rate": 1e-3}


def metrics(argv, world, out: Path, config: dict, processes: int) -> dict[str, float]:
    """The stage's metrics; two processes take half of the batch each."""
    share = {"batch_samples": config["batch_samples"] * (2 if processes == 1 else 1), "processes": processes}
    environment = os.environ | {"VLM_WORK_ROOT": str(out / "work"), "OMP_NUM_THREADS": "1"}
    how = cold if "sharding" in config else Warm  # DeepSpeed reads the environment when it is imported
    process = how("components.curriculum_sft", argv(world, out, {**config, **share}), environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "starting 2 processes" in errors or processes == 1
    assert open_checkpoint(out / "checkpoint").extra["steps"] == config["max_steps"]
    load_model(out / "checkpoint")
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("config", "only_two"),
    [
        (PADDED, {}),
        (PACKED | {"optimizer": "muon", "learning_rates": {"vision": 5e-4}}, {}),
        (PADDED | LONG, {"sharding": "zero2"}),
        (PACKED | LONG, {"sharding": "zero2"}),
        (PADDED | LONG, {"sharding": "zero3"}),
        (PADDED | ADAPTERS, {"sharding": "zero2"}),
        (PADDED | ADAPTERS, {"sharding": "zero3"}),
        (PADDED | LONG | {"learning_rates": {"vision": 5e-5}}, {"sharding": "zero2"}),
    ],
    ids=[
        "padded",
        "packed, sharded Muon",
        "ZeRO-2",
        "ZeRO-2, packed",
        "ZeRO-3",
        "ZeRO-2 with adapters",
        "ZeRO-3 with adapters",
        "ZeRO-2 with rates by part",
    ],
)
def test_two_processes_see_the_losses_of_one(sft_world, argv, tmp_path, config, only_two):
    if only_two:
        pytest.importorskip("deepspeed")
    one = metrics(argv, sft_world, tmp_path / "one", config, 1)
    two = metrics(argv, sft_world, tmp_path / "two", config | only_two, 2)
    for name in ("loss_first", "loss_final"):
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
    assert two["tokens"] == one["tokens"] and two["steps"] == one["steps"] == config["max_steps"]


@pytest.mark.parametrize("config", [PADDED, PACKED], ids=["padded", "packed"])
@pytest.mark.parametrize("sharding", ["zero2", "zero3"])
def test_sharded_ranks_may_have_texts_and_pictures(sft_world, argv, tmp_path, config, sharding):
    """Texts as long as the samples with pictures: in some steps one rank has pictures and the other has
    none."""
    pytest.importorskip("deepspeed")
    general = tmp_path / "general"
    general.mkdir()
    with open(general / "text.jsonl", "w") as file:
        for n in range(40):
            turns = [
                {"role": "user", "content": "How many circles are there? " * (n % 12) + str(n)},
                {"role": "assistant", "content": "There are three of them. Answer: 3"},
            ]
            file.write(json.dumps({"messages": turns}) + "\n")
    mixed = {"domain_share": 0.5, "mixture": {"by": "samples"}, "questions_per_sample": 2, "batch_samples": 1}
    config = config | LONG | mixed
    world = {**sft_world, "general": general}
    one = metrics(argv, world, tmp_path / "one", config, 1)
    two = metrics(argv, world, tmp_path / "two", config | {"sharding": sharding}, 2)
    for name in ("loss_first", "loss_final"):
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
