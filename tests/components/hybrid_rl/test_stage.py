from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from components.core.manifest import Dataset, open_checkpoint


def weights(world, out: str) -> dict[str, torch.Tensor]:
    return load_file(world.root / out / "checkpoint" / "model.safetensors")


def test_stage_writes_checkpoint_rollouts_metrics_and_report(world):
    assert world.run("out") == 0
    out = world.root / "out"
    trained = open_checkpoint(out / "checkpoint")
    assert trained.extra["trained_from"] == open_checkpoint(world.root / "init").digest
    rows = list(Dataset.open(out / "rollouts", "predictions").rows_iter())
    assert {row["model"] for row in rows} == {"step-0", "step-1", "step-2"} and len(rows) == 24
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["candidates"] == 4 and metrics["prompts"] >= 2 and metrics["unscored_rollouts"] == 0
    page = (out / "report.html").read_text()
    assert "Mean raw reward by component" in page and page.count("data:image/png") > 6
    from components.core.vlm import generate, load_model, load_processor

    picture = next(Dataset.open(world.root / "images", "images").rows_iter())["bytes"]
    path = out / "checkpoint"
    assert (
        generate(load_model(path), load_processor(path), [(picture, "How many?")], max_new_tokens=2)[0][
            0
        ].tokens
        >= 1
    )


def test_training_moves_the_weights_with_a_users_reward(world, my_rewards):
    extra = [{"name": "checksum", "function": f"{my_rewards}:checksum", "weight": 1.0}]
    assert world.run("out", extra_rewards=extra, max_steps=1) == 0
    before, after = load_file(world.root / "init" / "model.safetensors"), weights(world, "out")
    assert any(not torch.equal(before[name], after[name]) for name in after)


def test_killed_and_resumed_ends_with_the_same_weights(world, my_rewards, tmp_path):
    """A run killed hard after a checkpoint, and one stopped by SIGTERM, both end where the uninterrupted run ends."""
    config = {
        "extra_rewards": [{"name": "checksum", "function": f"{my_rewards}:checksum", "weight": 1.0}],
        "max_steps": 5, "save_steps": 2, "keep_checkpoints": 5,
    }  # fmt: skip
    assert world.run("whole", **config) == 0
    work = world.root / "work"
    work.rename(world.root / "work_whole")
    kept = sorted(p.name for p in (world.root / "work_whole").glob("hybrid_rl/*/checkpoints/checkpoint-*"))
    assert kept == ["checkpoint-2", "checkpoint-4", "checkpoint-5"]
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}{os.pathsep}{tmp_path}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "components.hybrid_rl", *world.argv("killed", **config)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(work.glob("hybrid_rl/*/checkpoints/checkpoint-2/COMMITTED.json")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint appeared"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for leftover in work.glob(
        "hybrid_rl/*/checkpoints/checkpoint-[45]"
    ):  # in case it was quicker than the signal
        (leftover / "COMMITTED.json").unlink(missing_ok=True)
    assert world.run("killed", **config) == 0
    expected, got = weights(world, "whole"), weights(world, "killed")
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-6, msg=name)
    rollouts = [
        list(Dataset.open(world.root / out / "rollouts", "predictions").rows_iter())
        for out in ("whole", "killed")
    ]
    assert rollouts[0] == rollouts[1]


def test_finished_training_is_not_repeated(world):
    assert world.run("first") == 0
    started = time.monotonic()
    assert world.run("second") == 0
    assert weights(world, "first").keys() == weights(world, "second").keys()
    for name, value in weights(world, "first").items():
        assert torch.equal(weights(world, "second")[name], value)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("config", "code"),
    [({"k": 9}, 78), ({"group_sise": 8}, 78), ({"extra_rewards": [{"name": "x", "function": "nowhere:f"}]}, 78),
     ({"prompts": {"on_too_few": "fail", "max_candidates": 1, "pass_rate_samples": 0}}, 65)],
)  # fmt: skip
def test_bad_settings_and_data_end_with_their_exit_code(world, config, code):
    assert world.run("out", **config) == code
