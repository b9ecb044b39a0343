"""Two processes see the losses of one.

Weights are not compared: AdamW turns rounding in gradients near 0 into steps of the whole learning rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.core.manifest import open_checkpoint

PADDED = {"batch_samples": 4, "max_steps": 6, "save_steps": 3, "log_steps": 1, "learning_rate": 1e-3}


def metrics(argv, world, out: Path, config: dict, processes: int) -> dict[str, float]:
    """The stage's metrics; two processes take half of the batch each."""
    share = {"batch_samples": config["batch_samples"] * (2 if processes == 1 else 1), "processes": processes}
    env = os.environ | {"VLM_WORK_ROOT": str(out / "work"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "components.curriculum_sft", *argv(world, out, {**config, **share})]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "starting 2 processes" in done.stderr or processes == 1
    assert open_checkpoint(out / "checkpoint").extra["steps"] == 6
    return json.loads((out / "metrics.json").read_text())


def test_two_processes_see_the_losses_of_one(sft_world, argv, tmp_path):
    one = metrics(argv, sft_world, tmp_path / "one", PADDED, 1)
    two = metrics(argv, sft_world, tmp_path / "two", PADDED, 2)
    for name in ("loss_first", "loss_final"):
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
    assert two["tokens"] == one["tokens"] and two["steps"] == one["steps"] == 6
