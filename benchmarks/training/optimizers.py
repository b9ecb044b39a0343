"""Muon against AdamW: training tokens to the same loss, on the demo's model, data and order.

    python -m benchmarks.training.optimizers [--steps 200] [--seeds 0,1,2] [--arms ...]

The demo's base model on its domain samples (`make demo` first), with the demo's batches and schedule over
`--steps`. AdamW runs at several learning rates, of which the best one counts. Muon (with AdamW for all but
matrices) runs at the demo's. Losses are means over the seeds and over a tenth of the steps. The last tenth
has the lowest learning rates, so each run is compared with itself at its end, too. Muon's curve says how many
tokens Muon needs for the loss that AdamW ends with.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, arguments, result
from benchmarks.scores import markdown
from benchmarks.stages import demo_output, demo_param, demo_profile, run_key
from components.core.conversations import GeneralData
from components.core.data.dataset import Dataset
from components.core.data.files import write_json_atomic
from components.core.data.image_store import ImageStore
from components.core.data.pins import split_pin
from components.core.resume.journal import Journal
from components.core.stage import log as logs
from components.core.stage.container_image import code_version
from components.core.stage.settings import parse_settings
from components.core.vlm import load_processor, set_threads
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import PictureStores
from components.curriculum_sft.data.checks import partition, planner_for
from components.curriculum_sft.objectives.sft import sft_trainer
from components.curriculum_sft.stage import samples_of
from components.curriculum_sft.training.fit import fit
from components.curriculum_sft.training.trainer import Setup

ARMS: dict[str, dict[str, Any]] = {
    "muon 2e-3": {},
    **{
        f"adamw {rate:g}": {"optimizer": "adamw", "learning_rate": rate}
        for rate in (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
    },
}


def losses(arm: str, seed: int, steps: int) -> tuple[np.ndarray, int]:
    """Loss of every step, and the tokens trained on in all; what has been run before is read."""
    section = {**demo_profile().sections["sft_1_domain"], **ARMS[arm], "seed": seed}
    config = parse_settings(Config, {**section, "max_steps": steps, "save_steps": 10**6, "log_steps": 1})
    inputs: dict[str, Path | str] = {
        "base_model": demo_param("base_model"),
        "images": demo_output("image_ingest", "images"),
        "qa_kept": demo_output("voting_filter", "qa_kept"),
    }
    key = run_key([code_version("curriculum_sft"), config.model_dump(mode="json")], inputs)
    path = RESULTS / "optimizers" / f"{key}.json"
    if not path.is_file():
        curve, tokens = train(arm, config)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomic(path, {"losses": curve, "tokens": tokens})
    found = json.loads(path.read_text(encoding="utf-8"))
    return np.array(found["losses"]), found["tokens"]


def train(arm: str, config: Config) -> tuple[list[float], int]:
    """Loss of every step, and the tokens trained on in all."""
    base = split_pin(demo_param("base_model"))[0]
    images = Dataset.open(demo_output("image_ingest", "images"), "images")
    kept = {"qa_kept": Dataset.open(demo_output("voting_filter", "qa_kept"), "qa_kept")}
    processor = load_processor(base)
    with tempfile.TemporaryDirectory() as folder:
        lengths = Journal(Path(folder) / "lengths.jsonl")
        planner = planner_for(base, processor, [images], GeneralData(), config, lengths)
        rows, _ = partition(samples_of(config, kept), planner)
        pictures = PictureStores([ImageStore(images)])
        trainer = sft_trainer(Setup(base, processor, rows, pictures, config, Path(folder)))
        fitted = fit(trainer, Path(folder), config, {}, logs.get_logger(arm))
    return [entry["loss"] for entry in fitted.history if "loss" in entry], fitted.tokens


def share_until(curve: np.ndarray, loss: float) -> float:
    """Share of a run's steps until its smoothed loss is below `loss` for the first time; 1 if it never is."""
    below = np.flatnonzero(curve < loss)
    return float(below[0] + 1) / len(curve) if len(below) else 1.0


def main(steps: int, seeds: list[int], arms: list[str]) -> None:
    """Train every arm with every seed; print the table."""
    set_threads()
    tenth = max(1, steps // 10)
    curves: dict[str, np.ndarray] = {}
    tokens = 0
    for arm in arms:
        runs = []
        for seed in seeds:
            run, tokens = losses(arm, seed, steps)
            runs.append(run)
        # The mean of the tenth that ends at each step.
        curves[arm] = np.convolve(np.mean(runs, axis=0), np.ones(tenth) / tenth, mode="valid")
    adamw = min((arm for arm in arms if arm.startswith("adamw")), key=lambda arm: curves[arm][-1])
    muon = "muon 2e-3"
    needed = share_until(curves[muon], curves[adamw][-1])
    lines = [[arm, f"{curve[len(curve) // 2]:.4f}", f"{curve[-1]:.4f}"] for arm, curve in curves.items()]
    print(markdown(["optimizer", "loss half-way", "loss at the end"], lines))
    print(f"\n{muon} has the final loss of {adamw} after {needed:.0%} of its {tokens:,} tokens")
    figures = {
        arm: {"half_way": round(float(c[len(c) // 2]), 4), "end": round(float(c[-1]), 4)}
        for arm, c in curves.items()
    }
    result(
        "optimizers",
        steps=steps,
        seeds=seeds,
        tokens=tokens,
        best_adamw=adamw,
        share_needed=round(needed, 4),
        arms=figures,
    )


if __name__ == "__main__":
    parser = arguments(__doc__, list(ARMS))
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    main(given.steps, given.seeds, given.arms)
