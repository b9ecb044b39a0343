"""The command `plan`, and that every profile which states its GPUs fits them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.core.data.dataset import DatasetWriter
from components.core.plan.figures import Assumed
from components.core.plan.gpus import parse_gpu
from components.core.plan.stages import plan_run
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


def test_the_profile_is_an_option_as_in_other_commands():
    assert run("--profile", PROFILE, "--gpu", "H100-80GB").output == run(PROFILE, "--gpu", "H100-80GB").output


def test_two_different_profiles_are_refused():
    done = run(PROFILE, "--profile", str(ROOT / "configs" / "qwen3-vl-2b.yaml"))
    assert done.exit_code == 78 and "two profiles are given" in done.output


def test_as_json_parts_add_up():
    done = run(PROFILE, "--gpu", "H100-80GB", "--json", "--images", "500")
    document = json.loads(done.output)
    assert document["assumed"]["images"] == 500 and document["model"]["parameters"] == 8_767_123_696
    for stage in document["stages"]:
        if memory := stage["memory"]:
            assert memory.pop("total") == pytest.approx(sum(memory.values()))


def test_without_a_gpu_it_says_that_it_does_not_know():
    output = run(PROFILE, "--set", "preflight.gpu=''").output
    assert "no GPU is named: whether it fits and GPU-hours are not known" in output
    assert "GPU-hours not known: name the GPU" in run(PROFILE, "--gpu", "80GB").output


def row(output: str, task: str) -> list[str]:
    """The cells of a task's first row."""
    return next(line.split() for line in output.splitlines() if line.split()[:1] == [task])


def test_totals_are_the_sums_of_the_rows():
    document = json.loads(run(PROFILE, "--json").output)
    for name in ("requests", "request_tokens", "answer_tokens", "gpu_hours", "disk"):
        assert document["totals"][name] == pytest.approx(sum(stage[name] for stage in document["stages"]))
    requests = f"{document['totals']['requests']:,}"
    assert row(run(PROFILE).output, "total")[1] == requests


def test_small_figures_are_no_zeros():
    """The demo's model has 3.5 million parameters; pictures are made small for it, not for its teachers.

    16,384 of 1280 x 960 pixels are 147.8 x 110.9, and its tokens 16 pixels wide: 9 x 6.
    """
    output = run(str(ROOT / "configs" / "demo.yaml")).output
    assert output.startswith("demo: 3.5") and " M parameters" in output
    assert "54 tokens each for the model, 1,200 for the models that are asked" in output
    assert "<0.1" in output and " 0.0" not in output


def test_a_catalogue_says_pictures_size_and_split(tmp_path):
    picture = {"bytes": b"", "format": "PNG", "phash": 0, "source_uri": "a", "width": 640, "height": 320}
    rows = [
        {**picture, "image_id": f"{n:064x}", "split": "heldout" if n == 0 else "train"}
        for n in range(4)
    ]  # fmt: skip
    with DatasetWriter(tmp_path / "images", "images") as writer:
        writer.write(rows)
    given = (PROFILE, "--catalogue", str(tmp_path / "images"))
    document = json.loads(run(*given, "--json").output)
    told = {name: document["assumed"][name] for name in ("images", "width", "height", "heldout")}
    assert told == {"images": 4, "width": 640, "height": 320, "heldout": 0.25}
    assert next(s for s in document["stages"] if s["task"] == "ids_scoring")["requests"] == 4
    assert (
        f"{tmp_path / 'images'}: 4 pictures of 640 x 320"
        in run(PROFILE, "--catalogue", str(tmp_path / "images")).output
    )


TAUGHT = (
    "--set",
    "hybrid_rl.objective=distill",
    "--set",
    "hybrid_rl.teacher.checkpoint=hub/Qwen3-VL-32B-Instruct",
)


def test_a_teacher_is_named_and_counted():
    alone, taught = run(PROFILE).output, run(PROFILE, *TAUGHT).output
    assert (
        "teacher: 33.36 B parameters" in taught and "from the known sizes of Qwen3-VL-32B-Instruct" in taught
    )
    assert " teacher " in taught and "teacher" not in alone
    assert "hybrid_rl does not fit. Each of these needs less:" in taught
    assert "  teacher.server in place of teacher.checkpoint" in taught
    document = json.loads(run(PROFILE, *TAUGHT, "--json").output)
    assert document["teacher"]["parameters"] == 33_357_390_064
    memory = next(stage["memory"] for stage in document["stages"] if stage["task"] == "hybrid_rl")
    assert memory["teacher"] == 2 * 33_357_390_064
    assert json.loads(run(PROFILE, "--json").output)["teacher"] is None


def test_a_teacher_that_is_not_here_ends_with_a_clear_line():
    done = run(PROFILE, TAUGHT[0], TAUGHT[1], "--set", "hybrid_rl.teacher.checkpoint=/nowhere/else")
    assert done.exit_code == 66 and "/nowhere/else: has no config.json" in done.output


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
