from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from components.core.stage.errors import DataError
from components.core.training.muon import Muon
from components.curriculum_sft.config import Config
from components.curriculum_sft.training.optimizer import MuonAdamW, optimizer_for, takes_muon
from components.curriculum_sft.training.trainer import LossGuard


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(7, 6)
        self.linear = nn.Linear(6, 4)
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.linear(self.embed_tokens(tokens)).square().mean() + self.conv.weight.square().sum()


@pytest.fixture
def model() -> Toy:
    torch.manual_seed(0)
    return Toy()


TOKENS = torch.arange(7)


def train(model: nn.Module, optimizer: MuonAdamW, steps: int) -> None:
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for _ in range(steps):
        model(TOKENS).backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


def test_only_weight_matrices_go_to_muon(model):
    chosen = {name for name, p in model.named_parameters() if takes_muon(name, p)}
    assert chosen == {"linear.weight"}


def test_it_equals_muon_and_torchs_adamw_side_by_side(model):
    other = copy.deepcopy(model)
    train(model, MuonAdamW(model, 1e-2, 3e-2, 0.1), 3)
    muon = Muon([other.linear.weight], lr=3e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    decayed, plain = [other.embed_tokens.weight, other.conv.weight], [other.linear.bias, other.conv.bias]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    for step in range(3):
        for optimizer, peak in ((muon, 3e-2), (adamw, 1e-2)):
            for group in optimizer.param_groups:
                group["lr"] = peak / (1 + step)
        other(TOKENS).backward()
        muon.step()
        adamw.step()
        other.zero_grad()
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)


def test_a_resumed_optimizer_goes_on_as_if_nothing_had_happened(model):
    straight = copy.deepcopy(model)
    optimizer = MuonAdamW(straight, 1e-2, 0.0, 0.1)
    for _ in range(4):
        straight(TOKENS).backward()
        optimizer.step()
        optimizer.zero_grad()
    first = MuonAdamW(model, 1e-2, 0.0, 0.1)
    for _ in range(2):
        model(TOKENS).backward()
        first.step()
        first.zero_grad()
    state = copy.deepcopy(first.state_dict())
    second = MuonAdamW(model, 1e-2, 0.0, 0.1)
    second.load_state_dict(state)
    for group in second.param_groups:
        group["lr"] = 1e-2
    for _ in range(2):
        model(TOKENS).backward()
        second.step()
        second.zero_grad()
    for a, b in zip(model.parameters(), straight.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_frozen_parameters_stay(model):
    model.linear.weight.requires_grad_(False)
    before = model.linear.weight.clone()
    train(model, MuonAdamW(model, 1e-2, 0.0, 0.1), 2)
    torch.testing.assert_close(model.linear.weight, before, rtol=0, atol=0)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type="qwen3_vl")  # its family names the parts
        self.visual = nn.ModuleDict({"block": nn.Linear(3, 3), "merger": nn.Linear(3, 3)})
        self.language_model = nn.Linear(3, 3)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_parts_have_rates_of_their_own(kind):
    model = Parts()
    config = Config(optimizer=kind, learning_rate=1e-3, learning_rates={"vision": 1e-4, "projector": 2e-3})
    optimizer = optimizer_for(model, config)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rates = {name: rate_of[id(p)] for name, p in model.named_parameters()}
    assert rates == {
        "visual.block.weight": 1e-4,
        "visual.block.bias": 1e-4,
        "visual.merger.weight": 2e-3,
        "visual.merger.bias": 2e-3,
        "language_model.weight": 1e-3,
        "language_model.bias": 1e-3,
    }
    assert optimizer_for(model, Config()) is None


def test_a_loss_far_above_the_median_stops_and_names_its_samples():
    guard = LossGuard(4.0)
    for _ in range(10):
        guard.check(2.0, ["a"])
    guard.check(7.9, ["b"])
    with pytest.raises(DataError, match=r"more than max_loss_ratio \(4\) .* median of 2; .*'bad-1'"):
        guard.check(8.1, ["bad-1"])
    for loss in (1.0, 1.0, 100.0):
        LossGuard(0.0).check(loss, ["c"])
    with pytest.raises(DataError, match="the loss is nan"):
        LossGuard(0.0).check(float("nan"), ["d"])
