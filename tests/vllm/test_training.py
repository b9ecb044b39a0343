"""Rollouts by a colocated vLLM: it sees what the trainer sees, and a stage that finds otherwise ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.vllm_server import in_vllm
from tests.components.curriculum_sft.conftest import stage_argv

# A stage as it is, but vLLM is given the trainer's ids: pictures expanded already.
WITHOUT_THE_COLLAPSE = """
import components.core.vllm.rollouts as rollouts
rollouts.collapse = lambda ids, image_token, pictures: list(ids)
from components.core.stage.entry import main
main("{stage}")
"""
RL: dict[str, Any] = {"rollout": "vllm", "max_steps": 2, "max_completion_tokens": 8, "learning_rate": 1e-5}
DISTIL: dict[str, Any] = {
    "objective": "distill", "batch_samples": 4, "learning_rate": 1e-5, "max_steps": 2, "save_steps": 2,
    "log_steps": 1, "distillation": {"max_new_tokens": 8, "rollout": "vllm"},
}  # fmt: skip


@pytest.fixture(params=["hybrid_rl", "curriculum_sft"])
def stage(request, world, sft_world, tmp_path) -> tuple[str, list[str], Path]:
    """A stage with rollouts by vLLM: its name, its arguments, the folder of its outputs."""
    if request.param == "hybrid_rl":
        return request.param, world.argv("out", **RL), world.root / "out"
    return request.param, stage_argv(sft_world, tmp_path / "out", DISTIL), tmp_path / "out"


def finished(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What a stage said; it ended with this code."""
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr


def test_the_first_rollouts_see_the_trainer_s_prompt(stage):
    name, argv, out = stage
    said = finished(in_vllm(["-m", f"components.{name}", *argv]), 0)
    metrics = json.loads((out / "metrics.json").read_text())
    assert 0 <= metrics["rollout_logprob_difference"] < 0.05
    assert "float32" in said and "'device': 'cpu'" in said  # resolved, and logged
    assert (out / "checkpoint" / "_MANIFEST.json").is_file()


def test_a_run_whose_rollouts_see_another_prompt_ends_and_names_both(stage):
    name, argv, out = stage
    said = finished(in_vllm(["-c", WITHOUT_THE_COLLAPSE.format(stage=name), *argv]), 78)
    assert "vLLM (colocate, 0.31.0, float32, cpu) gives its answers a log-probability of" in said
    assert "transformers (" in said and "max_logprob_difference (0.1)" in said
    assert not (out / "checkpoint" / "_MANIFEST.json").exists()
