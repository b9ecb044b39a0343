"""Runs single stages through their own command line, on the outputs of `make demo` in `build/demo`.

A finished run is found again, by any benchmark: one that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.pins import fingerprint
from components.core.stage.container_image import code_version
from components.core.stage.io import stage_io
from components.stages import section_of
from pipelines.local.process import torch_defaults
from pipelines.profile.run_profile import Profile, load_profile

DEMO = Path("build/demo")


@dataclass(frozen=True)
class Finished:
    """A stage's outputs and metrics."""

    path: Path
    metrics: Mapping[str, float]

    def output(self, name: str) -> Path:
        """Directory of one output."""
        return self.path / name


def demo_world(seed: int, arithmetic: str = "native") -> Path:
    """Root of the run of `make bench-demo` in the world of a seed."""
    return RESULTS / "demo" / arithmetic / str(seed)


def demo_profile() -> Profile:
    """The demo's settings."""
    return load_profile(Path("configs/demo.yaml"))


def demo_output(task: str, name: str, root: Path = DEMO) -> Path:
    """An output of the finished demo, or of the world at `root`.

    Raises:
        SystemExit: there is none.
    """
    path = root / "outputs" / task / stage_io(section_of(task).stage).joined.get(name, name)
    if not path.exists():
        raise SystemExit(f"{path} is missing: run `make {'demo' if root == DEMO else 'bench-demo'}` first")
    return path.resolve()


def demo_param(name: str, root: Path = DEMO) -> str:
    """An output parameter of the demo's preflight: a pinned reference, or the list of benchmarks."""
    return demo_output("preflight", name, root).read_text(encoding="utf-8")


def laid_over(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's settings with changes; a group of settings keeps what its change does not name."""
    config = dict(settings)
    for name, value in changes.items():
        config[name] = {**config.get(name, {}), **value} if isinstance(value, Mapping) else value
    return config


def sft_inputs(start: Path | None, root: Path = DEMO) -> dict[str, Path | str]:
    """Inputs of `curriculum_sft` from the demo, to train on from a checkpoint, or from the base model."""
    kept = ("qa_kept", "qa_rejected", "votes")
    return {
        **({"init_checkpoint": start} if start else {}),
        "images": demo_output("image_ingest", "images", root),
        **{name: demo_output("voting_filter", name, root) for name in kept},
        **{name: demo_param(name, root) for name in ("base_model", "general_data")},
    }


def run_key(what: Sequence[Any], inputs: Mapping[str, Path | str]) -> str:
    """Stands for a run: what is run, and the content of its inputs (paths) and parameters (strings)."""
    digests = {
        name: fingerprint(value) if isinstance(value, Path) else value for name, value in inputs.items()
    }
    return sha256_hex(canonical_json([*what, digests]))[:16]


def run_stage(
    stage: str, config: Mapping[str, Any], inputs: Mapping[str, Path | str], *, group: str, note: str
) -> Finished:
    """Run a stage, or find what the same settings, code and inputs gave before.

    Args:
        stage: name of the component.
        config: its settings.
        inputs: its inputs (paths) and parameters (strings).
        group: directory below `build/bench`.
        note: what this run is, for whoever watches.
    """
    io = stage_io(stage)
    key = run_key([stage, code_version(stage), config], inputs)
    path = RESULTS / group / f"{stage}-{key}"
    metrics = path / "metrics.json"
    if not (path / "done").is_file():
        argv = [sys.executable, "-m", f"components.{stage}", "--config", json.dumps(config)]
        for name, value in inputs.items():
            argv += [_flag(name), str(value)]
        for name in (*io.outputs, *io.output_params):
            argv += [_flag(name), str(path / name)]
        argv += ["--metrics", str(metrics), "--report", str(path / "report.html")]
        print(f"{note}: {stage} ...", file=sys.stderr, flush=True)
        env = {**torch_defaults(), **os.environ, "VLM_WORK_ROOT": str(path / "work")}
        path.mkdir(parents=True, exist_ok=True)
        with open(path / "log.txt", "ab") as log:
            ended = subprocess.run(argv, check=False, env=env, stdout=log, stderr=log)
        if ended.returncode:
            raise SystemExit(f"{note}: {stage} ended with exit code {ended.returncode}; see {path}/log.txt")
        (path / "done").touch()
    return Finished(path, json.loads(metrics.read_text(encoding="utf-8")))


def forget_work(finished: Finished) -> None:
    """Delete a finished stage's work directory."""
    shutil.rmtree(finished.path / "work", ignore_errors=True)


def evaluate(
    checkpoint: Path | None,
    *,
    group: str,
    note: str,
    root: Path = DEMO,
    roles: Collection[str] = (),
    **settings: Any,
) -> Finished:
    """The demo's evaluation of a checkpoint, or of the base model; `settings` over the demo's.

    Args:
        roles: of the benchmarks that are asked; none means all.
    """
    benchmarks = demo_param("benchmarks", root)
    if roles:
        benchmarks = json.dumps([one for one in json.loads(benchmarks) if one["role"] in roles])
    inputs: dict[str, Path | str] = {
        "base_model": demo_param("base_model", root),
        "benchmarks": benchmarks,
        "label": "model",
        "images": demo_output("image_ingest", "images", root),
        "qa_kept": demo_output("voting_filter", "qa_kept", root),
    }
    if checkpoint is not None:
        inputs["checkpoint"] = checkpoint
    config = {**demo_profile().sections["evaluation"], **settings}
    return run_stage("evaluation", config, inputs, group=group, note=note)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
