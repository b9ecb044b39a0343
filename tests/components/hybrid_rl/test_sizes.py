"""Adapters, bfloat16 weights, recomputed activations and sharding of the policy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from components.core.data.dataset import Dataset
from tests.processes.warm import Warm

LORA = {"rank": 4, "alpha": 8}


def reward(module: str) -> list[dict]:
    """A user's reward with all the time it needs, so that every group teaches something."""
    return [{"name": "checksum", "function": f"{module}:checksum", "weight": 1.0, "timeout_s": 300.0}]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def changed(world, out: str) -> set[str]:
    before, after = weights(world.root / "init"), weights(world.root / out / "checkpoint")
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("kl", [0.0, 0.1], ids=["without a reference", "the base is the reference"])
def test_adapters_train_and_are_merged(world, my_rewards, kl):
    config = {"lora": LORA, "max_steps": 2, "learning_rate": 3e-2, "kl_coefficient": kl}
    assert world.run("out", extra_rewards=reward(my_rewards), **config) == 0
    moved = changed(world, "out")
    assert moved and all("proj" in name and "visual" not in name for name in moved)
    path = world.root / "out" / "checkpoint"
    plain, info = AutoModelForImageTextToText.from_pretrained(path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    merged = weights(path)
    for name, value in plain.state_dict().items():
        assert name not in merged or torch.equal(value, merged[name])


def test_only_adapters_have_gradients_and_states(make_trainer, my_rewards):
    trainer = make_trainer(lora=LORA, max_steps=1, kl_coefficient=0.1, extra_rewards=reward(my_rewards))
    assert trainer.ref_model is None
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = {n for n, p in trainer.model.named_parameters() if not torch.equal(before[n], p)}
    assert moved and all("lora_" in name for name in moved)
    inner = trainer.optimizer.optimizer
    held = sum(len(group["params"]) for group in inner.param_groups)
    assert held == sum("lora_" in name for name in before)


def test_shared_prompts_with_adapters_give_trls_loss_and_gradients(make_trainer, my_rewards):
    from tests.components.hybrid_rl.test_trainer import generation, gradients

    trainer = make_trainer(lora=LORA, prompts_per_step=2, extra_rewards=reward(my_rewards))
    for name, parameter in trainer.model.named_parameters():
        if "lora_B" in name:  # 0 at the start, which would leave A without a gradient
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    batch = generation(trainer)
    assert trainer._shares_prompts
    ours, our_grads = gradients(trainer, batch)
    trainer._shares_prompts = False
    theirs, their_grads = gradients(trainer, batch)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    assert our_grads.keys() == their_grads.keys() and all("lora_" in name for name in our_grads)
    for name, grad in their_grads.items():
        torch.testing.assert_close(our_grads[name], grad, atol=1e-6, rtol=1e-3, msg=name)


@pytest.mark.parametrize("more", [{}, {"lora": LORA}], ids=["full", "adapters"])
def test_recomputed_activations_change_nothing(world, my_rewards, more, capsys):
    """The shortcut of the update steps aside, and says so; rollouts and weights are the same."""
    config = {"max_steps": 2, "extra_rewards": reward(my_rewards), **more}
    assert world.run("plain", **config) == 0
    capsys.readouterr()
    assert world.run("recomputed", gradient_checkpointing=True, **config) == 0
    assert "a prompt of its own: activations are recomputed" in capsys.readouterr().err
    plain, other = (weights(world.root / out / "checkpoint") for out in ("plain", "recomputed"))
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=1e-4, msg=name)
    assert responses(world, "plain") == responses(world, "recomputed")


def responses(world, out: str) -> list:
    rows = Dataset.open(world.root / out / "rollouts", "predictions").rows_iter()
    return [(row["model"], row["item_id"], row["sample_no"], row["response"]) for row in rows]


def test_frozen_base_in_bfloat16(make_trainer, my_rewards):
    trainer = make_trainer(
        lora=LORA, weight_type="bfloat16", attention="eager", max_steps=2, extra_rewards=reward(my_rewards)
    )
    kinds = {("lora_" in name, p.dtype) for name, p in trainer.model.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    assert trainer.model.config._attn_implementation == "eager"
    trainer.train()
    assert trainer.state.global_step == 2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"weight_type": "bfloat16"}, "weight_type bfloat16 loses small updates"),
        ({"weight_type": "bfloat16", "lora": {}, "dtype": "float32"}, "passes in bfloat16"),
        ({"lora": {"target_modules": ["query"]}}, "no trained module of the model is called query"),
        ({"sharding": "zero2", "processes": 1}, "needs several processes"),
    ],
)
def test_what_cannot_be_is_said(world, capsys, config, said):
    assert world.run("out", **config) == 78
    error = capsys.readouterr().err
    assert said in error


def run(world, out: str, tmp_path, **config) -> str:
    """The stage as a process of its own; returns what it logged."""
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{tmp_path}", "OMP_NUM_THREADS": "1"}
    process = Warm("components.hybrid_rl", world.argv(out, **config), environment)
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-3000:]
    return errors


@pytest.mark.parametrize(
    "config",
    [{"sharding": "zero2"}, {"sharding": "zero3"}, {"sharding": "zero3", "lora": LORA}],
    ids=["ZeRO-2", "ZeRO-3", "ZeRO-3 with adapters"],
)
def test_sharded_processes_make_the_update_of_one(world, my_rewards, tmp_path, config):
    """The same rollouts, and weights within 1e-5 after three steps."""
    pytest.importorskip("deepspeed")
    common = {"extra_rewards": reward(my_rewards), "max_grad_norm": 1e9, "lora": config.get("lora")}
    common |= {"prompts": {"max_candidates": 4, "pass_rate_samples": 2, "refresh_every_steps": 2}}
    run(world, "one", tmp_path, **common, processes=1)
    said = run(world, "two", tmp_path, **common | config, processes=2)
    assert "a prompt of its own: the model is sharded" in said
    one, two = (weights(world.root / out / "checkpoint") for out in ("one", "two"))
    assert changed(world, "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)
    assert responses(world, "one") == responses(world, "two")
    metrics = [json.loads((world.root / out / "metrics.json").read_text()) for out in ("one", "two")]
    assert metrics[0]["pass_at_1_last"] == pytest.approx(metrics[1]["pass_at_1_last"])
