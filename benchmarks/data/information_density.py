"""Does information density pay? As many questions, spread by score or evenly, then the same training.

    python -m benchmarks.data.information_density [--budget 3200] [--seeds 0 1 2] [--epochs 4] [--mini]

Two runs of the pipeline on the demo world, from pictures to `evaluation_sft_1_domain`. They differ in how
many questions a picture gets. `by_ids` gives n_i in proportion to its Information Density Score (1 to 8,
largest remainder). `uniform` gives every picture the same number. The budget is rounded to a whole number of
questions a picture, so both have the same total. Everything else is configs/demo.yaml's: teacher, voters,
training settings.

Each data set is trained on once for each seed (order, response styles), with equal epochs and pictures. Every
model answers the same held-out questions, ITEMS x scale of demo.writing's domain benchmark; none of their
pictures is in training.

Reported: accuracy per allocation and seed, and the mean over seeds of the paired difference with a 95 %
bootstrap interval over pictures. The interval says nothing about other draws of the data: each data set is
made once.

It can be killed and started again: the pipeline takes finished tasks from its cache, a training continues.
`--mini` runs the miniature world with a few steps of training: a check of this program, not a measurement.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, ROOT, result, timed
from components.core.data.dataset import Dataset, DatasetWriter
from components.core.stats import mean_estimate
from components.core.training.signals import die_with_parent
from demo.run import at_port, build_world, teachers
from demo.world.index import WorldIndex
from demo.world.render import png_bytes
from demo.writing import domain_item, scenes_of
from pipelines.profile.run_profile import load_profile

ITEMS = 2000
HELDOUT_SEED = 4711
PORT = 8791
LAST_TASK = "evaluation_sft_1_domain"
FEWEST, MOST = 1, 8
"""Questions of one picture where scores decide: ids_scoring's own bounds."""

Row = dict[str, Any]


def allotments(budget: int, pictures: int) -> tuple[int, dict[str, Row]]:
    """The total that both allocations spend, and ids_scoring's `budget` setting for each."""
    each = max(FEWEST, round(budget / pictures))
    total = each * pictures
    shared = {"mode": "total", "total": total}
    return total, {
        "by_ids": {**shared, "n_min": FEWEST, "n_max": max(MOST, 2 * each)},
        "uniform": {**shared, "n_min": each, "n_max": each},
    }


def write_benchmark(path: Path, world: Path, items: int) -> None:
    """Held-out questions about pictures that the world does not hold; kept if they are there."""
    if (path / "_MANIFEST.json").is_file():
        return
    known, rng = WorldIndex.load(world / "index.jsonl"), random.Random(HELDOUT_SEED)
    fresh = (
        (scene, data)
        for scene, picture in scenes_of(HELDOUT_SEED)
        if known.lookup(data := png_bytes(picture)) is None
    )
    with DatasetWriter(path, "benchmark") as writer:
        for place, (scene, data) in enumerate(islice(fresh, items)):
            asked = domain_item(scene, rng)
            name = f"heldout-{place:05d}"
            shown = {"question": asked.question, "choices": list(asked.choices), "category": asked.kind}
            answer = {"answer": asked.answer, "answer_type": asked.answer_type}
            writer.write([{"item_id": name, "image": data, "image_group": name, **shown, **answer}])


def write_profile(path: Path, base: Path, budget: Row, benchmark: Path, epochs: float, mini: bool) -> None:
    """The demo's profile with one allocation, one benchmark and nothing sampled for pass@k."""
    overrides = [
        f"ids_scoring.budget={json.dumps(budget)}",
        f"preflight.benchmarks={json.dumps([{'name': 'heldout', 'role': 'domain', 'uri': str(benchmark)}])}",
        "evaluation.samples_per_item=0",
        *([] if mini else [f"sft_1_domain.epochs={epochs}"]),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(at_port(load_profile(base, overrides), PORT).as_yaml(), encoding="utf-8")


def run_until_evaluated(profile: Path, root: Path, seed: int) -> list[Row]:
    """Predictions of the model trained with `seed`; the run is stopped before the next task."""
    options = ["--profile", profile, "--root", root, "--set", f"sft_1_domain.seed={seed}"]
    command = [sys.executable, "-m", "pipelines", "run", *map(str, options)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - no threads run here
    )
    assert process.stdout is not None
    reached = False
    for line in process.stdout:
        print(f"[{root.name}, seed {seed}] {line}", end="", file=sys.stderr, flush=True)
        if f"{LAST_TASK}: " in line:
            reached = "failed" not in line
            process.terminate()
            break
    process.stdout.close()
    code = process.wait()
    if not reached:
        raise SystemExit(f"the run in {root} ended with exit code {code}; see {root}/logs")
    found = Dataset.open(root / "outputs" / LAST_TASK / "predictions", "predictions")
    return list(found.rows_iter(["item_id", "image_group", "category", "score"]))


def data_facts(root: Path) -> Row:
    """What an allocation made of its budget."""
    outputs = root / "outputs"
    given = Dataset.open(outputs / "ids_scoring" / "ids", "ids").to_table(["n_qa"])["n_qa"].to_numpy()
    kept = Dataset.open(outputs / "voting_filter" / "qa_kept", "qa_kept")
    lowest, middle, highest = np.quantile(given, [0, 0.5, 1]).tolist()
    return {
        "asked": int(given.sum()),
        "questions_per_picture": {"min": lowest, "median": middle, "max": highest},
        "written": Dataset.open(outputs / "qa_synthesis" / "qa", "qa").rows,
        "kept": kept.rows,
        "pictures_with_kept": len(set(kept.to_table(["image_id"])["image_id"].to_pylist())),
    }


def compare(scores: dict[str, np.ndarray], groups: Sequence[str], seeds: Sequence[int]) -> Row:
    """Accuracy by allocation and seed, and the paired difference of `by_ids` over `uniform`.

    Args:
        scores: allocation -> one row a seed, one column an item, shape (seeds, items).
        groups: picture of each item.
    """
    difference = (scores["by_ids"] - scores["uniform"]).mean(axis=0)
    estimate = mean_estimate(difference, groups, bounds=None)
    per_seed = scores["by_ids"].mean(axis=1) - scores["uniform"].mean(axis=1)
    return {
        "accuracy": {
            name: {"mean": round(float(own.mean()), 4), "by_seed": own.mean(axis=1).round(4).tolist()}
            for name, own in scores.items()
        },
        "difference": {
            "mean": round(estimate.value, 4),
            "low_95": round(estimate.low, 4),
            "high_95": round(estimate.high, 4),
            "by_seed": dict(zip(map(str, seeds), per_seed.round(4).tolist(), strict=True)),
        },
        "items": len(groups),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", type=int, default=3200, help="questions to ask the teacher for")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the training")
    parser.add_argument("--epochs", type=float, default=4.0, help="passes of the training over its questions")
    parser.add_argument("--scale", type=float, default=1.0, help=f"1.0 measures on {ITEMS} held-out items")
    parser.add_argument("--mini", action="store_true", help="the miniature world, to try this program out")
    args = parser.parse_args()
    world = ROOT / "build" / ("smoke" if args.mini else "demo") / "world"
    base = ROOT / "configs" / ("smoke.yaml" if args.mini else "demo.yaml")
    folder = RESULTS / "information_density" / ("mini" if args.mini else "demo")
    build_world(world, args.mini)
    pictures = len(list((world / "images").rglob("*.png")))
    items = max(8, round(ITEMS * args.scale))
    total, budgets = allotments(args.budget, pictures)
    benchmark = folder / f"heldout-{items}"
    write_benchmark(benchmark, world, items)
    predictions: dict[str, list[list[Row]]] = {}
    facts: dict[str, Row] = {}

    def train_all() -> None:
        with teachers(world, folder / "teachers.log", PORT):
            for name, budget in budgets.items():
                root = folder / f"{name}-{total}"
                profile = folder / f"{name}-{total}.yaml"
                write_profile(profile, base, budget, benchmark, args.epochs, args.mini)
                predictions[name] = [run_until_evaluated(profile, root, seed) for seed in args.seeds]
                facts[name] = data_facts(root)

    _, seconds = timed(train_all)
    first = predictions["uniform"][0]
    asked = [row["item_id"] for row in first]
    if any([row["item_id"] for row in own] != asked for runs in predictions.values() for own in runs):
        raise SystemExit("the runs answered different items; delete " + str(folder))
    scores = {
        name: np.array([[row["score"] for row in own] for own in runs]) for name, runs in predictions.items()
    }
    result(
        "information_density_mini" if args.mini else "information_density",
        world="miniature, no measurement" if args.mini else "demo",
        pictures=pictures,
        budget=total,
        seeds=args.seeds,
        epochs=args.epochs,
        data=facts,
        **compare(scores, [row["image_group"] for row in first], args.seeds),
        seconds=round(seconds, 1),
    )


if __name__ == "__main__":
    main()
