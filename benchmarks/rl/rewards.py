"""Each reward alone against plain GRPO from the same checkpoint, by its own metric.

    python -m benchmarks.rl.rewards [--seeds 0,1,2] [--arms plain,pass@k,...] [--scale 1.0] [--small | --mini]
    python -m benchmarks.rl.rewards --start demo --arms "plain,probes,perception,pass@k only,pass@k unguessed"

The shipped base model first learns the domain from true labels, closed and open questions, in a few minutes.
From there every arm is the `hybrid_rl` stage with one thing changed. `plain` has the reward of correctness
alone, pass@1, and questions drawn evenly. `open plain` has the same on open questions, where right is what
equals the given answer. That start needs nothing but the repository, and denies what it is unsure of.

`--start demo` begins with the demo's first stage and its voted questions instead. Its teachers ask mostly
about lights that are on, so it says "yes" too readily. It needs the worlds of `make bench-demo`.

| arm | what it adds | its metric, against |
|---|---|---|
| pass@k | half of the questions hard, pass@k until half is explored | pass@8, plain |
| pass@k only | half of the questions hard, pass@k to the end | pass@8, plain |
| pass@k unguessed | the same, but for questions whose answers can be guessed | pass@8, plain |
| length | the length reward | tokens of the domain's answers, plain |
| length until | the same, less where it costs, until four fifths of the start's length | the same, plain |
| probes | a quarter of probes | hallucination, plain |
| perception | the same, and the perception reward | hallucination and swapped pictures, probes |
| judge | a judge's grades of open answers | quality by another judge, open plain |
| judge unguarded | the same without a tight limit of words | the same, open plain |
| diversity | the judge, and diversity by meaning, added | distinct right meanings among 8, judge |
| diversity x | the same, multiplied | the same, judge |

A seed is a world of its own. Differences are paired by item, with 95 % intervals over pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, arguments, result
from benchmarks.rl.measured import COUNTS, MEASURES, measure
from benchmarks.rl.questions import MINI, SMALL, Sizes, heldout, save_items, write_training
from benchmarks.scores import Row, by_arm, difference, markdown, over_seeds, recorded, shown
from benchmarks.stages import demo_output, demo_world, run_stage
from components.core.data.pins import fingerprint
from components.core.stage.settings import Endpoint
from demo.run import teachers

GROUP, PORT = "rl_rewards", 8771
BASE = Path("demo/base/checkpoint")
_ONLY = {"correctness": 1.0, "length": 0.0, "diversity": 0.0, "format": 0.0, "overlong": 0.0, "judge": 0.0,
         "perception": 0.0}  # fmt: skip
_CLOSED = ["number", "span", "choice", "yes_no"]
_URL = f"http://127.0.0.1:{PORT}/v1"
_NAMED = {"endpoint": {"base_url": _URL, "model": "judge"}}
_JUDGE = {"judge": {**_NAMED, "max_words": 12}}
"""No right answer is longer; the judge can be talked round from 20 words on."""
_MEANING = {"similarity": "meaning", "embedder": {"base_url": _URL, "model": "embedder"}}
_PROBES = {"prompts": {"probe_share": 0.25}}
_OPEN = {"prompts": {"answer_types": ["open"], "pass_rate_samples": 0}}
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pass@k": {
        "advantage": "pass_at_k_then_1",
        "switch_by": "explored",
        "guessable": [],
        "prompts": {"hard_share": 0.5},
    },
    "pass@k only": {"advantage": "pass_at_k", "guessable": [], "prompts": {"hard_share": 0.5}},
    "pass@k unguessed": {"advantage": "pass_at_k", "prompts": {"hard_share": 0.5}},
    "length": {"weights": {"length": 0.3}},
    "length until": {
        "weights": {"length": 0.5},
        "length": {"by_pass_rate": True, "full_difference": 8, "until": 0.8},
    },
    "probes": _PROBES,
    "perception": {**_PROBES, "weights": {"perception": 0.5}},
    "open plain": _OPEN,
    "judge": {**_OPEN, **_JUDGE, "weights": {"correctness": 0.0, "judge": 1.0}},
    "judge unguarded": {**_OPEN, "judge": _NAMED, "weights": {"correctness": 0.0, "judge": 1.0}},
    "diversity": {
        **_OPEN, **_JUDGE,
        "diversity": _MEANING,
        "weights": {"correctness": 0.0, "judge": 1.0, "diversity": 0.5},
    },
    "diversity x": {
        **_OPEN, **_JUDGE,
        "diversity": {**_MEANING, "combine": "multiply"},
        "weights": {"correctness": 0.0, "judge": 1.0},
    },
}  # fmt: skip
OWN: Sequence[tuple[str, str, tuple[str, ...]]] = (
    ("pass@k", "plain", ("pass@8", "pass@1")),
    ("pass@k only", "plain", ("pass@8", "pass@1")),
    ("pass@k unguessed", "plain", ("pass@8", "pass@1")),
    ("length", "plain", ("tokens", "domain")),
    ("length until", "plain", ("tokens", "domain", "pass@1")),
    ("probes", "plain", ("hallucination", "swapped", "probe accuracy", "domain")),
    ("perception", "probes", ("hallucination", "swapped", "probe accuracy", "domain")),
    ("judge", "open plain", ("open quality", "open right", "open tokens")),
    ("judge unguarded", "open plain", ("open quality", "open right", "open tokens")),
    ("diversity", "judge", ("open meanings", "open right", "open quality")),
    ("diversity x", "judge", ("open meanings", "open right", "open quality")),
)
"""Arm, what it is held against, its metrics: its own first."""


def settings(arm: str, seed: int, sizes: Sizes) -> dict[str, Any]:
    """Settings of `hybrid_rl`: what all arms have, with one thing changed."""
    config: dict[str, Any] = {
        "seed": seed,
        "max_steps": sizes.steps,
        "group_size": 8,
        "prompts_per_step": 4 if sizes.steps == MINI.steps else 16,
        "max_completion_tokens": 32,
        "learning_rate": 1.0e-4,
        "advantage": "pass_at_1",
        "weights": _ONLY,
        "prompts": {
            "max_candidates": sizes.candidates,
            "answer_types": _CLOSED,
            "curriculum_start": 1.0,
            "prioritised": False,
        },
    }
    for name, value in ARMS[arm].items():
        config[name] = {**config[name], **value} if name in ("weights", "prompts") else value
    return config


def start_of(inputs: Mapping[str, Path], seed: int, sizes: Sizes) -> Path:
    """The checkpoint that all arms start from: the base model after the domain's questions."""
    config = {
        "objective": "sft", "domain_share": 1.0, "separate_questions": "all", "reasoning_share": 0.5,
        "optimizer": "muon", "muon_learning_rate": 2.0e-3, "learning_rate": 1.0e-3, "warmup_share": 0.05,
        "batch_samples": 8, "epochs": sizes.epochs, "max_length_tokens": 2048, "seed": seed,
    }  # fmt: skip
    given: dict[str, Path | str] = {**inputs, "base_model": str(BASE.resolve()), "general_data": ""}
    return run_stage("curriculum_sft", config, given, group=GROUP, note=f"start, seed {seed}").output(
        "checkpoint"
    )


def demo_start(seed: int) -> tuple[Path, dict[str, Path]]:
    """The demo's first stage in the world of a seed, with its pictures and questions."""
    root = demo_world(seed)
    inputs = {
        "images": demo_output("image_ingest", "images", root),
        "qa_kept": demo_output("voting_filter", "qa_kept", root),
    }
    return demo_output("sft_1_domain", "checkpoint", root), inputs


def run_seed(seed: int, arms: Sequence[str], sizes: Sizes, of_demo: bool = False) -> dict[str, list[Row]]:
    """Train and measure the arms in one world: arm -> its rows, and `start`.

    Args:
        of_demo: start with the demo's first stage.
    """
    name = f"{sizes.pictures}-{sizes.items}-{seed}"
    world = RESULTS / GROUP / f"world-{name}"
    items = heldout(sizes, seed)
    inputs = write_training(world, sizes, seed, items)
    digest = save_items(items, world / "heldout")
    second = Endpoint(base_url=_URL, model="judge-b")
    found: dict[str, list[Row]] = {}
    with teachers(world, RESULTS / GROUP / "teachers.log", PORT):
        start, inputs = demo_start(seed) if of_demo else (start_of(inputs, seed, sizes), inputs)
        given = {"init_checkpoint": start, "images": inputs["images"], "qa_kept": inputs["qa_kept"]}
        for arm in ("start", *arms):
            checkpoint = start
            if arm != "start":
                done = run_stage(
                    "hybrid_rl", settings(arm, seed, sizes), given, group=GROUP, note=f"{arm}, seed {seed}"
                )
                checkpoint = done.output("checkpoint")
            out = RESULTS / GROUP / f"measured-{fingerprint(checkpoint)[:16]}-{digest}.json"
            print(f"{arm}, seed {seed}: measuring ...", file=sys.stderr, flush=True)
            found[arm] = measure(checkpoint, items, second, sizes.sampled, out)
    return found


def main(seeds: Sequence[int], arms: Sequence[str], sizes: Sizes, of_demo: bool = False) -> None:
    """Run every seed, then print both tables."""
    runs: dict[str, list[list[Row]]] = {}
    for seed in seeds:  # a seed at a time: a benchmark that is stopped has whole seeds
        for arm, rows in run_seed(seed, arms, sizes, of_demo).items():
            runs.setdefault(arm, []).append(rows)
    estimates = {arm: {m: over_seeds(own, m, MEASURES) for m in MEASURES} for arm, own in runs.items()}
    print(by_arm(estimates, plain=COUNTS))
    changes: dict[str, Any] = {}
    lines: list[list[str]] = []
    for arm, against, measures in OWN:
        for name in measures if {arm, against} <= runs.keys() else ():
            change = difference(runs[against], runs[arm], name, MEASURES)
            moved = "yes" if change.low > 0 or change.high < 0 else "no"
            lines.append([arm, against, name, shown(change, percent=name not in COUNTS), moved])
            changes[f"{arm} - {against}: {name}"] = change.to_json()
    print("\n" + markdown(["arm", "against", "metric", "difference", "moved"], lines))
    arms_figures = recorded(estimates)
    name = "rl_rewards_demo" if of_demo else "rl_rewards"
    result(name, seeds=list(seeds), steps=sizes.steps, arms=arms_figures, differences=changes)


if __name__ == "__main__":
    parser = arguments(__doc__, list(ARMS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    starts = ("own", "demo")
    parser.add_argument("--start", choices=starts, default="own", help="which model the arms start from")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--small", action="store_true", help="half of the pictures, a third of the steps")
    size.add_argument("--mini", action="store_true", help="of everything as little as possible, for tests")
    given = parser.parse_args()
    whole = MINI if given.mini else SMALL if given.small else Sizes()
    chosen = replace(whole, steps=max(2, round(whole.steps * given.scale)))
    main(given.seeds, given.arms, chosen, of_demo=given.start == "demo")
