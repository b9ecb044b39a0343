"""Every stage's effect in the demo against its target, over several worlds.

    python -m benchmarks.demo.targets [--seeds 0,1,2] [--arithmetic native,default] [--set KEY=VALUE ...]
    python -m benchmarks.demo.targets --tune [--set KEY=VALUE ...]

A seed is a world of its own: other pictures, questions and benchmarks, and the seed of every training.
`--tune` takes the seeds 100 to 102, on which settings are chosen; figures to report come from the others.
`--arithmetic default` runs torch's own kernels without vector extensions (ATEN_CPU_CAPABILITY). `avx2` keeps
torch, oneDNN and MKL from AVX-512 and AMX, as on an older processor.

Each world's run lies in build/bench/demo/<arithmetic>/<seed>, and continues there with the same command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import result
from benchmarks.scores import Row, answers, difference, markdown, over_seeds, shown
from benchmarks.stages import demo_world
from components.stages import EVALUATED, SECTIONS
from demo.run import PORT
from pipelines.local.process import torch_defaults

ARITHMETICS: Mapping[str, Mapping[str, str]] = {
    "native": {},
    "default": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}
"""Environment of each."""
MEASURES = ("domain", "general", "hallucination", "pass@1", "pass@8", "tokens")
TUNING_SEEDS = (100, 101, 102)
SEEDED = tuple(name for name, use in SECTIONS.items() if use.stage in ("curriculum_sft", "hybrid_rl"))
BASE, DOMAIN, RESTORED, ALIGNED, FINAL = EVALUATED


@dataclass(frozen=True)
class Outcome:
    """Of all seeds: rows of answers by stage, and whether each seed's gate promoted."""

    runs: Mapping[str, Sequence[list[Row]]]
    promoted: Sequence[bool]

    def mean(self, stage: str, measure: str) -> float:
        """A measure over all items of all seeds."""
        return over_seeds(self.runs[stage], measure).value

    def change(self, before: str, after: str, measure: str) -> Any:
        """Paired difference with its interval."""
        return difference(self.runs[before], self.runs[after], measure)


@dataclass(frozen=True)
class Target:
    """A stated target: what it says, and how it is judged: (shown, reached)."""

    name: str
    judge: Callable[[Outcome], tuple[str, bool]]


def _gain(outcome: Outcome) -> tuple[str, bool]:
    change = outcome.change(BASE, DOMAIN, "domain")
    return shown(change), change.value >= 0.40


def _forgotten(outcome: Outcome) -> tuple[str, bool]:
    change = outcome.change(BASE, DOMAIN, "general")
    return shown(change), change.value <= -0.15


def _restored(outcome: Outcome) -> tuple[str, bool]:
    share = outcome.mean(RESTORED, "general") / outcome.mean(BASE, "general")
    return f"{share:.1%}", share >= 0.98


def _gain_kept(outcome: Outcome) -> tuple[str, bool]:
    start = outcome.mean(BASE, "domain")
    share = (outcome.mean(RESTORED, "domain") - start) / (outcome.mean(DOMAIN, "domain") - start)
    return f"{share:.1%}", share >= 0.95


def _aligned(outcome: Outcome) -> tuple[str, bool]:
    change = outcome.change(RESTORED, ALIGNED, "hallucination")
    share = -change.value / max(1e-9, outcome.mean(RESTORED, "hallucination"))
    return f"{share:.0%} fewer; {shown(change)}", share >= 1 / 3 and change.high < 0


def _not_lower(measure: str) -> Callable[[Outcome], tuple[str, bool]]:
    def judge(outcome: Outcome) -> tuple[str, bool]:
        change = outcome.change(RESTORED, ALIGNED, measure)
        return shown(change), change.high >= 0

    return judge


def _pass_1(outcome: Outcome) -> tuple[str, bool]:
    change = outcome.change(ALIGNED, FINAL, "pass@1")
    return shown(change), change.value >= 0.03 and change.low > 0


def _pass_8(outcome: Outcome) -> tuple[str, bool]:
    change = outcome.change(ALIGNED, FINAL, "pass@8")
    return shown(change), change.value >= -0.01


def _tokens(outcome: Outcome) -> tuple[str, bool]:
    share = 1 - outcome.mean(FINAL, "tokens") / outcome.mean(ALIGNED, "tokens")
    return f"{share:.1%} fewer", share >= 0.20


def _no_new_claims(outcome: Outcome) -> tuple[str, bool]:
    change = outcome.change(ALIGNED, FINAL, "hallucination")
    return shown(change), change.low <= 0


def _gate(outcome: Outcome) -> tuple[str, bool]:
    return f"{sum(outcome.promoted)} of {len(outcome.promoted)}", all(outcome.promoted)


TARGETS = (
    Target("stage 1: domain + 40 points", _gain),
    Target("stage 1: general down by 15 points", _forgotten),
    Target("stage 2: general at 98 % of base", _restored),
    Target("stage 2: 95 % of the gain kept", _gain_kept),
    Target("stage 3: hallucination lower by a third", _aligned),
    Target("stage 3: domain not lower", _not_lower("domain")),
    Target("RL: pass@1 + 3 points", _pass_1),
    Target("RL: pass@8 not lower by more than 1", _pass_8),
    Target("RL: tokens 20 % fewer", _tokens),
    Target("RL: hallucination not higher", _no_new_claims),
    Target("gate promotes", _gate),
)


def run(seed: int, arithmetic: str, settings: Sequence[str], port: int = PORT) -> tuple[Path, float]:
    """Run the demo in a world of this seed, or continue it; returns its root and the wall time (s).

    Args:
        port: of the simulated teachers.
    """
    root = demo_world(seed, arithmetic)
    root.mkdir(parents=True, exist_ok=True)
    world = [f"{section}.{key}={root / 'world' / path}" for section, key, path in _PATHS]
    names = ("domain", "general", "hallucination")
    benchmarks = [
        {"name": name, "role": name, "uri": str(root / "world/benchmarks" / name)} for name in names
    ]
    chosen = [*world, f"preflight.benchmarks={json.dumps(benchmarks)}", *settings]
    chosen += [f"{section}.seed={seed}" for section in SEEDED]
    argv = [sys.executable, "-m", "demo.run", "--root", str(root), "--world-seed", str(seed)]
    argv += ["--port", str(port)]
    for setting in chosen:
        argv += ["--set", setting]
    env = {**torch_defaults(), **os.environ, **ARITHMETICS[arithmetic]}
    print(f"{arithmetic}, seed {seed}: {root}/run.log", file=sys.stderr, flush=True)
    started = time.monotonic()
    with open(root / "run.log", "ab") as log:
        ended = subprocess.run(argv, check=False, env=env, stdout=log, stderr=log)
    if ended.returncode:
        raise SystemExit(f"the demo ended with exit code {ended.returncode}; see {root}/run.log")
    return root, time.monotonic() - started


_PATHS = (
    ("preflight", "images", "images"),
    ("preflight", "general_data", "general"),
    ("promotion", "registry", "../registry"),
)


def outcome(roots: Sequence[Path]) -> Outcome:
    """Read the finished runs below `roots`."""
    runs = {
        stage: [answers(root / f"outputs/evaluation_{stage}/predictions", root / "world") for root in roots]
        for stage in EVALUATED
    }
    return Outcome(runs, [_promoted(root) for root in roots])


def _promoted(root: Path) -> bool:
    found = json.loads((root / "outputs/promotion/verdict").read_text(encoding="utf-8"))
    return bool(found["passed"])


def table(found: Outcome) -> str:
    """The targets and the stages' measures, as Markdown."""
    judged = [(target.name, *target.judge(found)) for target in TARGETS]
    lines = [[name, value, "reached" if reached else "**missed**"] for name, value, reached in judged]
    measures = [
        [stage, *(shown(over_seeds(found.runs[stage], m), percent=m != "tokens") for m in MEASURES)]
        for stage in EVALUATED
    ]
    head = ["stage", *(m if m == "tokens" else f"{m} %" for m in MEASURES)]
    return markdown(["target", "measured", ""], lines) + "\n\n" + markdown(head, measures)


def main(seeds: Sequence[int], arithmetics: Sequence[str], settings: Sequence[str], port: int = PORT) -> None:
    """Run every seed with every arithmetic; print the tables."""
    for arithmetic in arithmetics:
        finished = [run(seed, arithmetic, settings, port) for seed in seeds]
        found = outcome([root for root, _ in finished])
        print(f"\n{arithmetic}, seeds {', '.join(map(str, seeds))}\n\n{table(found)}\n")
        result(
            f"demo_targets_{arithmetic}",
            seeds=list(seeds),
            settings=list(settings),
            wall_s=[round(seconds) for _, seconds in finished],
            targets={
                t.name: dict(zip(("measured", "reached"), t.judge(found), strict=True)) for t in TARGETS
            },
            measures={s: {m: over_seeds(found.runs[s], m).to_json() for m in MEASURES} for s in EVALUATED},
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated")
    parser.add_argument("--tune", action="store_true", help="the worlds on which settings are chosen")
    parser.add_argument(
        "--arithmetic", default="native", help="comma-separated, of: " + ", ".join(ARITHMETICS)
    )
    parser.add_argument("--set", action="append", default=[], dest="settings", help="override one setting")
    parser.add_argument(
        "--port", type=int, default=PORT, help="of the teachers; one's own for a run beside others"
    )
    args = parser.parse_args()
    chosen_seeds = TUNING_SEEDS if args.tune else [int(seed) for seed in args.seeds.split(",")]
    main(chosen_seeds, args.arithmetic.split(","), args.settings, args.port)
