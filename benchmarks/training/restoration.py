"""Restoration: what each recipe keeps of general ability and of the domain's gain, from the base model.

    python -m benchmarks.training.restoration [--seeds 0,1,2] [--arms ...] [--rates 5e-4] [--steps 120]

Needs the worlds of `make bench-demo` with these seeds. Arms:

- `replay`: the demo's own two stages. Domain training, then general data with a quarter of domain answers.
- `background`: domain training beside 30 % of the base model's own answers to general questions, alone.
- `recipe`: that, then on-policy distillation from the base model on general questions.
- `recipe + domain`: the same, with domain samples beside the questions.

The last three are Thinking Machines' recipe ("On-Policy Distillation", 2025) and its parts. `--rates` are
learning rates of its distillation, each an arm of its own; Muon's are twice as high.

Target: an arm keeps at least 98 % of the base model's general accuracy and 98 % of the domain's gain, that of
the demo's first stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.harness import arguments, result
from benchmarks.scores import Row, answers, markdown, over_seeds, predictions, recorded, shown
from benchmarks.stages import demo_output, demo_profile, demo_world, evaluate, run_stage, sft_inputs

GROUP = "restoration"
MEASURES = ("domain", "general", "hallucination", "probe accuracy")
ARMS = ("replay", "background", "recipe", "recipe + domain")
BASE, FIRST = "base model", "domain training"
_MAX_ANSWER = {"max_new_tokens": 32}
_OWN: dict[str, Any] = {"domain_share": 0.7, "general_answers": "own", "distillation": _MAX_ANSWER}
_DISTIL: dict[str, Any] = {
    "objective": "distill",
    "separate_questions": "none",
    "epochs": 1,
    "batch_samples": 16,
    "distillation": _MAX_ANSWER,
}
_WITH_DOMAIN: dict[str, Any] = {
    "batch_samples": 8, "domain_share": 1.0, "distillation": {**_MAX_ANSWER, "supervised_samples": 4},
}  # fmt: skip


def stage_1(seed: int) -> dict[str, Any]:
    """Settings of domain training with background."""
    return {**demo_profile().sections["sft_1_domain"], "seed": seed, **_OWN}


def stage_2(arm: str, seed: int, rate: float, steps: int) -> dict[str, Any]:
    """Settings of an arm's distillation."""
    base = {**demo_profile().sections["sft_2_restore"], "seed": seed, **_DISTIL}
    base |= {"learning_rate": rate, "muon_learning_rate": 2 * rate, "max_steps": steps}
    return base | (_WITH_DOMAIN if arm == "recipe + domain" else {})


def run_seed(seed: int, arms: list[str], rates: list[float], steps: int) -> dict[str, list[Row]]:
    """Train and evaluate the arms in one world: arm -> its answers."""
    root = demo_world(seed)

    def scored(checkpoint: Path, note: str) -> list[Row]:
        given: dict[str, Any] = {"root": root, "seed": seed, "samples_per_item": 0}
        done = evaluate(checkpoint, group=GROUP, note=note, **given)
        return predictions(done, root / "world")

    def known(task: str) -> list[Row]:
        return answers(demo_output(f"evaluation_{task}", "predictions", root), root / "world")

    found = {BASE: known("base"), FIRST: known("sft_1_domain")}
    if "replay" in arms:
        found["replay"] = known("sft_2_restore")
    if set(arms) <= {"replay"}:
        return found
    first = run_stage(
        "curriculum_sft", stage_1(seed), sft_inputs(None, root), group=GROUP, note=f"background, seed {seed}"
    )
    start = first.output("checkpoint")
    found["background"] = scored(start, f"background, seed {seed}")
    for arm in arms:
        for rate in rates if arm.startswith("recipe") else ():
            name = f"{arm}, {rate:g}"
            done = run_stage(
                "curriculum_sft",
                stage_2(arm, seed, rate, steps),
                sft_inputs(start, root),
                group=GROUP,
                note=f"{name}, seed {seed}",
            )
            found[name] = scored(done.output("checkpoint"), f"{name}, seed {seed}")
    return found


def main(seeds: list[int], arms: list[str], rates: list[float], steps: int) -> None:
    """Run every seed, then print the table."""
    runs: dict[str, list[list[Row]]] = {}
    for seed in seeds:  # a seed at a time: a benchmark that is stopped has whole seeds
        for arm, rows in run_seed(seed, arms, rates, steps).items():
            runs.setdefault(arm, []).append(rows)
    estimates = {arm: {m: over_seeds(own, m) for m in MEASURES} for arm, own in runs.items()}
    base, first = estimates[BASE], estimates[FIRST]
    gain = first["domain"].value - base["domain"].value
    figures = recorded(estimates)
    lines = []
    for arm, own in estimates.items():
        general = own["general"].value / base["general"].value
        kept = (own["domain"].value - base["domain"].value) / gain
        lines.append([arm, *(shown(own[m]) for m in MEASURES), f"{100 * general:.1f}", f"{100 * kept:.1f}"])
        figures[arm] |= {"general_kept": round(general, 4), "gain_kept": round(kept, 4)}
    print(markdown(["arm", *(f"{m} %" for m in MEASURES), "general kept %", "gain kept %"], lines))
    result("restoration", seeds=seeds, rates=rates, steps=steps, arms=figures)


if __name__ == "__main__":
    parser = arguments(__doc__, tuple(ARMS))
    parser.add_argument("--rates", default="5e-4", help="comma-separated learning rates of distillation")
    parser.add_argument("--steps", type=int, default=120, help="of distillation")
    given = parser.parse_args()
    chosen = [float(rate) for rate in given.rates.split(",")]
    main(given.seeds, given.arms, chosen, given.steps)
