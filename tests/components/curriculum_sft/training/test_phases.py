"""Training in phases with contexts and learning rates of their own."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from components.curriculum_sft.config import Config
from components.curriculum_sft.training.fit import Fitted, joined
from tests.faults.checkpoints import sealed_checkpoints
from tests.processes.warm import OtherWarm, Process, Warm

# One question a sample: short answers fit into 50 tokens, those with their reasoning do not.
CONFIG = {
    "batch_samples": 4,
    "questions_per_sample": 1,
    "reasoning_share": 0.5,
    "optimizer": "muon",
    "learning_rate": 2e-3,
    "save_steps": 2,
    "log_steps": 1,
    "phases": [
        {"max_length_tokens": 50, "max_steps": 8, "final_rate_share": 0.1},
        {"max_length_tokens": 200, "max_steps": 8, "learning_rate": 1e-3, "final_rate_share": 0.1},
    ],
}


def start(argv, world, out: Path, config: dict, how: Callable[..., Process] = Warm) -> Process:
    environment = os.environ | {"VLM_WORK_ROOT": str(out / "work"), "OMP_NUM_THREADS": "1"}
    return how("components.curriculum_sft", argv(world, out, config), environment)


def test_a_phase_changes_what_it_names():
    config = Config(learning_rate=3e-5, batch_samples=8, phases=[
        {"max_length_tokens": 100, "pack_tokens": 128},
        {"max_length_tokens": 400, "pack_tokens": 512, "learning_rate": 1e-5, "batch_samples": 2},
    ])  # fmt: skip
    first, second = config.by_phase()
    assert (first.learning_rate, first.batch_samples, first.pack_tokens) == (3e-5, 8, 128)
    assert (second.learning_rate, second.batch_samples, second.max_length_tokens) == (1e-5, 2, 400)
    assert first.phases == second.phases == [] and Config().by_phase() == [Config()]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"phases": [{"max_length_tokens": 100}], "objective": "dpo"}, "phases are for the sft objective"),
        ({"phases": [{"max_length_tokens": 100, "pack_tokens": 50}]}, "must hold the longest sample"),
        ({"final_rate_share": 0.1, "schedule": "linear"}, "cosine"),
    ],
)
def test_phases_that_do_not_fit_are_told(wrong, said):
    with pytest.raises(ValidationError, match=said):
        Config.model_validate(wrong)


def test_steps_go_on_counting():
    whole = joined([Fitted([{"step": 1, "loss": 2.0}, {"step": 3, "loss": 1.0}], 3, 5.0, 30),
                    Fitted([{"step": 1, "loss": 0.5}], 2, 7.0, 20)])  # fmt: skip
    assert [entry["step"] for entry in whole.history] == [1, 3, 4]
    assert (whole.steps, whole.tokens_per_s, whole.tokens) == (5, 7.0, 50)


@pytest.fixture(scope="module")
def trained(sft_world, argv, tmp_path_factory) -> tuple[Path, str]:
    """Output directory and log of an uninterrupted run."""
    out = tmp_path_factory.mktemp("phases")
    process = start(argv, sft_world, out, CONFIG, OtherWarm)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out, errors


def test_every_phase_has_its_samples_and_its_rates(trained):
    out, log = trained
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["steps"] == 16
    samples = [int(line.split("samples=")[1].split(")")[0]) for line in log.splitlines() if "phase (" in line]
    assert len(samples) == 2 and 0 < samples[0] < samples[1] == metrics["samples"]
    assert metrics["loss_final"] < metrics["loss_first"]
    assert not list((out / "work").rglob("phases")) and not list((out / "work").rglob("checkpoints*"))


def killed_in(phase: int, process: Process, out: Path) -> None:
    """Kill a run as soon as this phase has a checkpoint."""
    while not any(path.parent.name == f"checkpoints-{phase - 1:02d}" for path in sealed_checkpoints(out)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("phase", [1, 2])
def test_killed_in_a_phase_it_ends_with_the_same_weights(sft_world, argv, tmp_path, trained, phase):
    killed_in(phase, start(argv, sft_world, tmp_path, CONFIG), tmp_path)
    process = start(argv, sft_world, tmp_path, CONFIG)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    expected, got = (load_file(path / "checkpoint" / "model.safetensors") for path in (trained[0], tmp_path))
    assert all(torch.equal(expected[name], value) for name, value in got.items())


def test_what_a_killed_attempt_left_of_a_phase_is_not_sealed_with_it(sft_world, argv, tmp_path):
    killed_in(1, start(argv, sft_world, tmp_path, CONFIG), tmp_path)
    (phases,) = (tmp_path / "work").rglob("phases")
    (phases / "00").mkdir()
    (phases / "00" / "left.bin").write_bytes(b"half a file")
    killed_in(2, start(argv, sft_world, tmp_path, CONFIG), tmp_path)
    assert (phases / "00" / "model.safetensors").is_file()
    assert not (phases / "00" / "left.bin").exists()
