"""The command `plan`, and that every profile which states its GPUs fits them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.core.plan.gpus import parse_gpu
from components.core.plan.stages import Assumed, plan_run
from pipelines.cli import app
from pipelines.commands.plan import gpus_of, sizes_at
from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]
PROFILE = str(ROOT / "configs" / "qwen3-vl-8b.yaml")
STATED = [
    path
    for path in sorted((ROOT / "configs").glob("*.yaml"))
    if getattr(load_profile(path).settings["preflight"], "gpu", "")
]


def run(*arguments: str):
    return CliRunner().invoke(app, ["plan", *arguments])


def test_as_a_table():
    done = run(PROFILE, "--gpu", "H100-80GB")
    assert done.exit_code == 0, done.output
    assert "8.77 B parameters" in done.output and "GPU-hours at an MFU of 0.3" in done.output
    tasks = {line.split()[0] for line in done.output.splitlines() if line}
    assert {"qa_synthesis", "voting_filter", "sft_1_domain", "hybrid_rl", "evaluation"} <= tasks


def test_as_json_parts_add_up():
    done = run(PROFILE, "--gpu", "H100-80GB", "--json", "--images", "500")
    document = json.loads(done.output)
    assert document["assumed"]["images"] == 500 and document["model"]["parameters"] == 8_767_123_696
    for stage in document["stages"]:
        if memory := stage["memory"]:
            assert memory.pop("total") == pytest.approx(sum(memory.values()))


def test_without_a_gpu_it_says_that_it_does_not_know():
    output = run(PROFILE, "--set", "preflight.gpu=''").output
    assert "no GPU is named: fits is unknown" in output


def test_what_cannot_be_planned_ends_with_a_clear_line():
    done = run(PROFILE, "--set", "preflight.base_model=/nowhere/else")
    assert done.exit_code == 66 and "has no config.json; known without files: " in done.output
    assert run(PROFILE, "--gpu", "TPU").exit_code == 78


@pytest.mark.parametrize("path", STATED, ids=lambda path: path.stem)
def test_every_profile_fits_the_gpus_that_it_states(path):
    profile = load_profile(path)
    kind = parse_gpu(profile.sections["preflight"]["gpu"])
    gpus = gpus_of(profile)
    for task in ("sft_1_domain", "sft_2_restore", "sft_3_align", "hybrid_rl"):
        assert gpus[task] == (kind.count or 1)
    sizes, _ = sizes_at(profile.sections["preflight"]["base_model"])
    plans = plan_run(profile.settings, sizes, kind, gpus, Assumed())
    assert {plan.task: plan.advice for plan in plans if plan.fits is False} == {}
