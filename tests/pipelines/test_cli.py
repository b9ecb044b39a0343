"""The command line as a user meets it: what it prints and the codes it exits with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_dry_run_prints_every_setting(tmp_path):
    done = cli(
        "run", "--dry-run", "--set", "qa_synthesis.evolution_rounds=2", "--root", str(tmp_path / "run")
    )
    assert done.returncode == 0
    profile = yaml.safe_load(done.stdout)
    assert profile["qa_synthesis"]["evolution_rounds"] == 2
    assert profile["qa_synthesis"]["endpoint"]["max_retries"] == 6
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "qa_synthesis.evolution_round=1"], "did you mean 'evolution_rounds'?"),
        (["--profile", "configs/dem.yaml"], "cannot be read"),
        (["--from", "sft_1"], "unknown task; did you mean 'sft_1_domain'?"),
    ],
)
def test_wrong_settings_end_with_78_and_one_clear_line(arguments, message, tmp_path):
    done = cli("run", *arguments, "--root", str(tmp_path / "run"))
    assert done.returncode == 78
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_compile_writes_the_ir(tmp_path):
    done = cli("compile", "--output", str(tmp_path / "out" / "pipeline.yaml"))
    assert done.returncode == 0, done.stderr
    spec, _ = yaml.safe_load_all((tmp_path / "out" / "pipeline.yaml").read_text())
    assert spec["pipelineInfo"]["name"] == "vlm-post-training"


def test_compile_writes_manifests(tmp_path):
    out = tmp_path / "manifest.yaml"
    done = cli("compile", "--format", "manifest", "--namespace", "team", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert [d["kind"] for d in yaml.safe_load_all(out.read_text())] == ["Pipeline", "PipelineVersion"]
    done = cli("compile", "--namespace", "team", "--output", str(out))
    assert done.returncode == 78 and "--format manifest" in done.stderr


def test_missing_data_ends_with_66_and_the_stage_s_own_message(tmp_path):
    settings = {
        name: f"preflight.{name}={tmp_path}/none" for name in ("images", "general_data", "base_model")
    }
    arguments = [part for value in settings.values() for part in ("--set", value)]
    arguments += ["--set", "preflight.benchmarks=[]", "--set", "preflight.probe_endpoints=false"]
    done = cli("run", *arguments, "--root", str(tmp_path / "run"))
    assert done.returncode == 66, done.stdout + done.stderr
    assert f"{tmp_path}/none" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_report_of_no_run_is_an_error(tmp_path):
    done = cli("report", "--root", str(tmp_path))
    assert done.returncode == 66
    assert "no run has finished a task there" in done.stderr


def test_help_names_the_commands():
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    assert all(
        command in done.stdout for command in ("run", "compile", "report", "submit", "rerun", "schedule")
    )
