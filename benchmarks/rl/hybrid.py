"""Hybrid rewards against accuracy-only GRPO, and one thing changed at a time: same start, same rollouts.

    python -m benchmarks.rl.hybrid [--seeds 0,1,2] [--arms plain,hybrid,...] [--scale 1.0]

From the demo's `sft_3_align` checkpoint (`make demo` first). `plain` is TRL's own `GRPOTrainer` with its
defaults and one reward, whether the answer is right, on the stage's candidates in random order. Every other
arm is the `hybrid_rl` stage with the demo's settings and one thing changed. All have the same candidates,
number of rollouts, group size, steps and learning rate. Measured by the demo's evaluation: greedy and sampled
answers on held-out pictures.

Targets: pass@1 and pass@8 of the hybrid no lower than plain's, 20 % fewer tokens, hallucination no higher.
Plain's final accuracy is reached with at most 60 % of its rollouts (`checkpoint at 60 %`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, arguments, result
from benchmarks.scores import (
    MEASURES,
    Row,
    by_arm,
    difference,
    markdown,
    over_seeds,
    predictions,
    recorded,
    shown,
)
from benchmarks.stages import demo_output, demo_profile, evaluate, laid_over, run_key, run_stage
from components.core.data.checkpoint import commit_checkpoint
from components.core.data.manifest import MANIFEST_NAME
from pipelines.local.process import torch_defaults

GROUP = "rl"
EARLY = 0.6
ABLATIONS: dict[str, dict[str, Any]] = {
    "hybrid": {},
    "pass@k first": {"advantage": "pass_at_k_then_1", "switch_at": 0.2},
    "blend": {"advantage": "blend"},
    "no diversity": {"weights": {"diversity": 0.0}},
    "no length": {"weights": {"length": 0.0}},
    "no overlong": {"weights": {"overlong": 0.0}},
    "no format": {"weights": {"format": 0.0}},
    "no curriculum": {"prompts": {"curriculum_start": 1.0, "prioritised": False}},
    "no batch norm": {"batch_normalise": False},
}
ARMS = ("plain", *ABLATIONS)
_PERCENT = frozenset(MEASURES) - {"distinct", "tokens"}


def settings(arm: str, seed: int, scale: float) -> dict[str, Any]:
    """The demo's settings of `hybrid_rl` with one thing changed."""
    base = laid_over(demo_profile().sections["hybrid_rl"], {"seed": seed, **ABLATIONS[arm]})
    steps = max(5, round(base["max_steps"] * scale))
    # A checkpoint at 60 % of the steps, to be evaluated as well.
    return {**base, "max_steps": steps, "save_steps": max(1, round(EARLY * steps)), "keep_checkpoints": 3}


def train(arm: str, seed: int, scale: float) -> tuple[Path, Path | None]:
    """An arm's final checkpoint, and the hybrid's at 60 % of the steps."""
    config = settings("hybrid" if arm == "plain" else arm, seed, scale)
    inputs = {
        "init_checkpoint": demo_output("sft_3_align", "checkpoint"),
        "images": demo_output("image_ingest", "images"),
        "qa_kept": demo_output("voting_filter", "qa_kept"),
    }
    if arm == "plain":
        return train_plain(config, inputs), None
    done = run_stage("hybrid_rl", config, inputs, group=GROUP, note=f"{arm}, seed {seed}")
    saved = sorted(done.path.glob(f"work/hybrid_rl/*/checkpoints/checkpoint-{config['save_steps']}"))
    return done.output("checkpoint"), sealed(saved[-1], done.path / "early") if saved else None


def sealed(saved: Path, out: Path) -> Path:
    """The model of a trainer's checkpoint as a checkpoint of its own."""
    if not (out / MANIFEST_NAME).is_file():
        shutil.copytree(
            saved, out, ignore=shutil.ignore_patterns("*.pt", "*.pth", "*.bin"), dirs_exist_ok=True
        )
        commit_checkpoint(out)
    return out


def train_plain(config: Mapping[str, Any], inputs: Mapping[str, Path]) -> Path:
    """TRL's trainer in a process of its own, unless it has been trained."""
    out = RESULTS / GROUP / f"plain-{run_key([dict(config)], inputs)}"
    if not (out / "done").is_file():
        print(f"plain, seed {config['seed']}: TRL's GRPOTrainer ...", file=sys.stderr, flush=True)
        request = json.dumps(
            {"config": dict(config), "inputs": {n: str(p) for n, p in inputs.items()}, "out": str(out)}
        )
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "log.txt", "wb") as log:
            ended = subprocess.run(
                [sys.executable, "-m", "benchmarks.rl.plain_grpo", request],
                check=False,
                env={**torch_defaults(), **os.environ},
                stdout=log,
                stderr=log,
            )
        if ended.returncode:
            raise SystemExit(f"plain GRPO ended with exit code {ended.returncode}; see {out}/log.txt")
        (out / "done").touch()
    return out / "checkpoint"


def main(seeds: list[int], arms: list[str], scale: float) -> None:
    """Train and evaluate every arm with every seed; print the table."""
    start = demo_output("sft_3_align", "checkpoint")
    runs: dict[str, list[list[Row]]] = {
        "start": [predictions(evaluate(start, group=GROUP, note="start", seed=seed)) for seed in seeds]
    }
    for seed in seeds:  # a seed at a time: a benchmark that is stopped has whole seeds
        for arm in arms:
            final, early = train(arm, seed, scale)
            for name, checkpoint in ((arm, final), (f"{arm} at {EARLY:.0%}", early)):
                if checkpoint is not None and (name == arm or arm == "hybrid"):
                    done = evaluate(checkpoint, group=GROUP, note=f"{name}, seed {seed}", seed=seed)
                    runs.setdefault(name, []).append(predictions(done))
    estimates = {arm: {m: over_seeds(own, m) for m in MEASURES} for arm, own in runs.items()}
    figures: dict[str, Any] = dict(recorded(estimates))
    print(by_arm(estimates, plain=MEASURES.keys() - _PERCENT))
    if {"plain", "hybrid"} <= set(arms):
        against = {m: difference(runs["plain"], runs["hybrid"], m) for m in _PERCENT}
        lines = [[m, shown(against[m])] for m in MEASURES if m in against]
        print("\n" + markdown(["hybrid - plain", "points, paired"], lines))
        figures["hybrid - plain"] = {m: estimate.to_json() for m, estimate in against.items()}
        plain, hybrid = estimates["plain"], estimates["hybrid"]
        saved = 1 - hybrid["tokens"].value / plain["tokens"].value
        soon = estimates[f"hybrid at {EARLY:.0%}"]["pass@1"].value
        print(
            f"\ntokens saved: {saved:.0%}; pass@1 at {EARLY:.0%} of the rollouts {soon:.1%}, "
            f"plain's {plain['pass@1'].value:.1%}"
        )
        figures |= {"tokens_saved": round(saved, 4), "pass_1_early": round(soon, 4)}
    result("rl_hybrid", seeds=seeds, scale=scale, arms=figures)


if __name__ == "__main__":
    parser = arguments(__doc__, list(ARMS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    given = parser.parse_args()
    main(given.seeds, given.arms, given.scale)
