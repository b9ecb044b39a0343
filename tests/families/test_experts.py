"""A mixture of experts: LoRA and Muon reach the experts, the router's loss is logged, MFU counts the used."""

from __future__ import annotations

import pytest
import torch

from components.core.plan.memory import adapter_parameters
from components.core.plan.sizes import sizes_of
from components.core.stage.errors import ConfigError
from components.core.training.muon import Muon, orthogonalised
from components.core.vlm import load_model
from components.core.vlm.families import read_config
from components.curriculum_sft.config import Config
from components.curriculum_sft.objectives.sft import sft_trainer
from components.curriculum_sft.training.model import adapter_config
from components.curriculum_sft.training.throughput import flops_per_token
from components.hybrid_rl.config import Config as RlConfig
from components.hybrid_rl.stage import by_family
from tests.families.cells import World, save

EXPERTS = ("gate_up_proj", "down_proj")


@pytest.fixture
def world(tiny, tmp_path) -> World:
    return World("qwen3_vl_moe", tiny("qwen3_vl_moe"), tmp_path)


def changed(world: World, model: torch.nn.Module) -> set[str]:
    """Names of the parameters that are not as they were."""
    begun = dict(load_model(world.path, "float32").named_parameters())
    return {name for name, p in model.named_parameters() if not torch.equal(p, begun[name])}


def experts(names: set[str]) -> set[str]:
    return {name for name in names if ".experts." in name}


def test_muon_moves_every_expert_weight(world):
    trainer = sft_trainer(world.setup(optimizer="muon", router_aux_loss=0.1))
    inner = trainer.create_optimizer()._parts[0]
    assert any(p.ndim == 3 for group in inner.param_groups for p in group["params"])
    trainer.train()
    assert len(experts(changed(world, trainer.model))) == 4  # two layers, two fused weights
    logged = [entry["aux_loss"] for entry in trainer.state.log_history if "aux_loss" in entry]
    # Two of four experts: even use gives their number, num_experts_per_tok = 2.
    assert logged and all(1.9 < value < 4.1 for value in logged)


def test_lora_reaches_the_experts_and_is_merged_into_them(world):
    setup = world.setup(lora={"rank": 4, "alpha": 8.0}, freeze={"vision": True, "projector": True})
    trainer = sft_trainer(setup)
    trainer.train()
    save(trainer, setup, world.out / "saved")
    moved = changed(world, load_model(world.out / "saved", "float32"))
    assert len(experts(moved)) == 4
    assert any("q_proj" in name for name in moved) and not any("visual" in name for name in moved)


def test_adapters_of_frozen_parts_are_left_out(tiny):
    """Vision towers may have modules of the language model's names; frozen ones get no adapters."""
    from peft import get_peft_model

    for frozen, wanted in ((True, {"language"}), (False, {"language", "vision"})):
        model = load_model(tiny("gemma3"), "float32")
        config = Config(lora={"rank": 2}, freeze={"vision": frozen})
        adapted = get_peft_model(model, adapter_config(model, config))
        names = [name for name, p in adapted.named_parameters() if p.requires_grad]
        assert {"vision" if "vision_tower" in name else "language" for name in names} == wanted


def test_the_plan_counts_the_adapters_that_experts_get(world):
    from peft import get_peft_model

    model = load_model(world.path, "float32")
    config = Config(lora={"rank": 4}, freeze={"vision": True, "projector": True})
    adapted = get_peft_model(model, adapter_config(model, config))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    sizes = sizes_of(read_config(world.path))
    assert adapter_parameters(sizes, 4, tuple(config.lora.target_modules)) == trained


def test_dropout_on_fused_experts_is_refused(world):
    model = load_model(world.path, "float32")
    with pytest.raises(ConfigError, match="dropout"):
        adapter_config(model, Config(lora={"rank": 2, "dropout": 0.1}))
    attention = Config(lora={"rank": 2, "dropout": 0.1, "target_modules": ["q_proj"]})
    assert adapter_config(model, attention).target_parameters is None


def test_a_stack_is_orthogonalised_matrix_by_matrix():
    torch.manual_seed(0)
    stack = torch.randn(3, 8, 5)
    settings = ((3.4445, -4.7750, 2.0315), 5, 1e-7)
    together = orthogonalised(stack, *settings)
    one_by_one = torch.stack([orthogonalised(one, *settings) for one in stack])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-5)  # products of stacks round otherwise
    # Singular values are near 1: torch.optim.Muon's coefficients leave them in about (0.7, 1.2).
    assert float(torch.linalg.svdvals(together).min()) > 0.5


def test_muon_on_a_stack_equals_muon_on_its_matrices():
    torch.manual_seed(0)
    stack = torch.nn.Parameter(torch.randn(3, 6, 4))
    alone = [torch.nn.Parameter(one.clone()) for one in stack.detach()]
    together = Muon([stack], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    each = Muon(alone, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(3, 6, 4)
        stack.grad = gradient.clone()
        for parameter, own in zip(alone, gradient, strict=True):
            parameter.grad = own.clone()
        together.step()
        each.step()
    torch.testing.assert_close(stack.detach(), torch.stack([p.detach() for p in alone]))


def test_mfu_counts_the_experts_that_a_token_passes(world):
    """Two of four experts are used: half of their parameters count, at 6 FLOPs each."""
    model = load_model(world.path, "float32")
    dense = flops_per_token(model, 0.0)
    fused = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    model.config.get_text_config().num_experts_per_tok = 4
    assert flops_per_token(model, 0.0) - dense == pytest.approx(6 * fused / 2)


def test_the_default_loss_of_reinforcement_learning_follows_the_family(world, tiny):
    assert by_family(RlConfig(), world.path).loss == "gspo"
    assert by_family(RlConfig(), tiny("qwen3_vl")).loss == "dapo"
    assert by_family(RlConfig(loss="grpo"), world.path).loss == "grpo"


def test_router_loss_is_not_for_distillation():
    with pytest.raises(ValueError, match="router_aux_loss"):
        Config(objective="distill", router_aux_loss=0.1)
