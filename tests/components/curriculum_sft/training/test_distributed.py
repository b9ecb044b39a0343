from __future__ import annotations

import json
import os
import socket

import pytest
import torch

from components.core.data.checkpoint import commit_checkpoint
from components.core.stage.errors import ConfigError
from components.core.training.sharding import deepspeed_config
from components.curriculum_sft.config import Config
from components.curriculum_sft.training.fit import SAMPLES_PER_STEP, check_same_run
from tests.processes.warm import Warm

# Four steps of MuonAdamW on a small network, the batch split over the ranks; prints nothing, writes weights
# and states.
PROGRAM = """
import sys, torch
from torch import distributed, nn
from components.core.training.launch import rank, world_size
from components.curriculum_sft.training.optimizer import MuonAdamW

out, load_from = sys.argv[1], sys.argv[2]
if world_size() > 1:
    distributed.init_process_group("gloo")
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 4))
data = torch.randn(8, 16, 8)
optimizer = MuonAdamW(model, 1e-2, 2e-2, 0.1)
optimizer.load_state_dict(optimizer.state_dict())  # as accelerate does with a new optimizer
first = 0
if load_from != "-":
    saved = torch.load(load_from)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    first = 4
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + first + step))
for step in range(first, first + 4):
    model(data[step].chunk(world_size())[rank()]).square().mean().backward()
    for parameter in model.parameters():
        if world_size() > 1:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= world_size()
    optimizer.step()
    scheduler.step()
    optimizer.zero_grad()
held = sum(p.numel() for part in optimizer._parts for p in getattr(part, "optim", part).state)
optimizer.gather_states()
torch.save({"model": model.state_dict(), "held": held,
            "optimizer": optimizer.state_dict() if rank() == 0 else None}, f"{out}.{rank()}")
"""


def train(out, processes: int, load_from="-") -> list[dict]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    (out.parent / "muon_of_a_rank.py").write_text(PROGRAM)
    environment = {**os.environ, **shared, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(out.parent)}
    arguments = [str(out), str(load_from)]
    ranks = [Warm("muon_of_a_rank", arguments, {**environment, "RANK": str(n)}) for n in range(processes)]
    assert [process.wait(120) for process in ranks] == [0] * processes
    return [torch.load(f"{out}.{n}") for n in range(processes)]


def assert_same_weights(a: dict, b: dict) -> None:
    for name, weights in a["model"].items():
        torch.testing.assert_close(b["model"][name], weights, rtol=0, atol=1e-5, msg=name)


def test_sharded_muon_equals_a_single_process_and_goes_on_with_another_number(tmp_path):
    [one] = train(tmp_path / "one", 1)
    two = train(tmp_path / "two", 2)
    for rank in two:
        assert_same_weights(one, rank)
    assert two[0]["held"] + two[1]["held"] == one["held"]  # nobody holds a state that another does
    assert max(rank["held"] for rank in two) < 0.7 * one["held"]
    [straight] = train(tmp_path / "straight", 1, tmp_path / "one.0")
    for name, processes, source in (("from_two", 1, "two.0"), ("from_one", 2, "one.0")):
        for rank in train(tmp_path / name, processes, tmp_path / source):
            assert_same_weights(straight, rank)


def test_another_runs_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint-2"
    path.mkdir()
    (path / "weights").write_text("w")
    run = {"stage": "curriculum_sft", "config_hash": "a"}
    commit_checkpoint(path, provenance=run, extra={SAMPLES_PER_STEP: 8})
    check_same_run(path, run, 8)
    with pytest.raises(ConfigError, match=r"another run \(config_hash differ\)"):
        check_same_run(path, run | {"config_hash": "b"}, 8)
    with pytest.raises(ConfigError, match="trained with 8 samples a step, this run has 16"):
        check_same_run(path, run, 16)


def test_zero_stages():
    assert deepspeed_config("none", "stage") is None
    pytest.importorskip("deepspeed")
    stages = [deepspeed_config(name, "stage")["zero_optimization"]["stage"] for name in ("zero2", "zero3")]
    assert stages == [2, 3]


@pytest.mark.parametrize(
    "more",
    [{"optimizer": "muon"}, {"lora": {"four_bit": True}}],
    ids=["muon", "4-bit weights"],
)
def test_what_does_not_go_with_sharding_is_said(more):
    with pytest.raises(ValueError, match="sharding"):
        Config(sharding="zero2", **json.loads(json.dumps(more)))
