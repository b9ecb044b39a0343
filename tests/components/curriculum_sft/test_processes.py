"""Two processes see the losses of one.

With AdamW weights are not compared: it turns rounding in gradients near 0 into steps of the whole rate.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.core.data.checkpoint import open_checkpoint
from components.core.vlm import load_model
from tests.families.tiny import write_tiny
from tests.processes.warm import Warm, cold

PADDED = {"batch_samples": 4, "max_steps": 6, "save_steps": 3, "log_steps": 1, "learning_rate": 1e-3}
PACKED = PADDED | {"batch_samples": 1, "pack_tokens": 256, "max_length_tokens": 256}
LONG = {"max_steps": 20, "learning_rate": 1e-4}
ADAPTERS = {"lora": {"rank": 4, "alpha": 8}, "learning_rate": 1e-3}


def metrics(argv, world, out: Path, config: dict, processes: int) -> dict[str, float]:
    """The stage's metrics; two processes take half of the batch each."""
    share = {"batch_samples": config["batch_samples"] * (2 if processes == 1 else 1), "processes": processes}
    compiled = out / "compiled"
    environment = os.environ | {
        "VLM_WORK_ROOT": str(out / "work"), "OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": str(compiled),
    }  # fmt: skip
    how = cold if config.get("sharding") == "zero3" else Warm  # some import everything themselves
    process = how("components.curriculum_sft", argv(world, out, {**config, **share}), environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "starting 2 processes" in errors or processes == 1
    assert not compiled.exists()
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


@pytest.mark.parametrize("more", [{}, {"router_aux_loss": 0.5}], ids=["", "router loss"])
def test_two_processes_train_a_mixture_of_experts_as_one(sft_world, argv, tmp_path, more):
    """Weights too, those of the fused experts and their routers among them: Muon evens out rounding.

    The router's loss is not linear in the batch. So one process takes the two halves one after the other.
    """
    base = write_tiny("qwen3_vl_moe", tmp_path / "moe")
    start = load_file(base / "model.safetensors")
    world, outcome = {**sft_world, "base": base}, {}
    # All 24 samples make one step, so that its halves are the same ones.
    config = {"optimizer": "muon", "learning_rate": 1e-4, "muon_learning_rate": 5e-3, "max_steps": 2,
              "epochs": 2, "batch_samples": 12, "precision": "float32", "questions_per_sample": 3,
              "domain_share": 1.0, **more}  # fmt: skip
    for processes, passes in ((1, 2), (2, 1)):
        out = tmp_path / str(processes)
        own = config | {"processes": processes, "accumulation_steps": passes}
        environment = os.environ | {"VLM_WORK_ROOT": str(out / "work"), "OMP_NUM_THREADS": "1"}
        process = Warm("components.curriculum_sft", argv(world, out, own), environment)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors[-3000:]
        outcome[processes] = load_file(out / "checkpoint" / "model.safetensors")
    moved = {name for name, value in start.items() if not torch.equal(outcome[1][name], value)}
    assert {name for name in start if ".experts." in name or "mlp.gate." in name} <= moved
    for name, value in outcome[1].items():
        torch.testing.assert_close(outcome[2][name], value, rtol=0, atol=1e-5, msg=name)


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
