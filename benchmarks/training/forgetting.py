"""Forgetting: what stage 2 brings back of general ability and costs of the domain's, at equal tokens.

    python -m benchmarks.training.forgetting [--seeds 0,1,2] [--arms ...] [--scale 1.0]

From the demo's `sft_1_domain` checkpoint (`make demo` first), whose seed is the demo's; seeds are of stage 2.
Arms:

- `replay`: the demo's own stage 2, general data with 30 % domain answers.
- `distil`: on-policy distillation from the base model on the general data's questions, without their answers.
- `distil + domain`: the same beside domain samples.
- `both`: the same beside the replay mixture.

Training tokens are those of every forward pass with a gradient, vision tokens included.

Target: one of the arms keeps at least 98 % of the base model's general accuracy and 95 % of stage 1's domain
gain.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import arguments, result
from benchmarks.scores import Row, markdown, over_seeds, predictions, recorded, shown
from benchmarks.stages import demo_output, demo_profile, evaluate, run_stage, sft_inputs

GROUP = "forgetting"
MEASURES = ("domain", "general", "hallucination", "probe accuracy")
_DISTIL: dict[str, Any] = {
    "objective": "distill",
    "separate_questions": "none",
    "batch_samples": 16,
    "muon_learning_rate": 1.0e-3,
    "learning_rate": 5.0e-4,
}
# Steps for about as many training tokens as the demo's stage 2: 1.0 million.
ARMS: dict[str, dict[str, Any]] = {
    "replay": {},
    "distil": {**_DISTIL, "max_steps": 480, "distillation": {"max_new_tokens": 32}},
    "distil + domain": {
        **_DISTIL, "batch_samples": 8, "max_steps": 510, "domain_share": 1.0,
        "distillation": {"max_new_tokens": 32, "supervised_samples": 4},
    },
    "both": {
        **_DISTIL, "batch_samples": 8, "max_steps": 510, "domain_share": 0.3,
        "distillation": {"max_new_tokens": 32, "supervised_samples": 4},
    },
}  # fmt: skip


def settings(arm: str, seed: int, scale: float) -> dict[str, Any]:
    """Settings of stage 2."""
    base: dict[str, Any] = {**demo_profile().sections["sft_2_restore"], "seed": seed, **ARMS[arm]}
    if base.get("max_steps"):
        base["max_steps"] = max(5, round(scale * base["max_steps"]))
    else:
        base["epochs"] = scale * base["epochs"]
    return base


def main(seeds: list[int], arms: list[str], scale: float) -> None:
    """Train and evaluate every arm with every seed; print the table."""
    start = demo_output("sft_1_domain", "checkpoint")
    inputs = sft_inputs(start)
    runs: dict[str, list[list[Row]]] = {
        name: [predictions(evaluate(path, group=GROUP, note=name))]
        for name, path in (("base model", None), ("stage 1 only", start))
    }
    tokens = dict.fromkeys(runs, 0.0)
    for seed in seeds:
        for arm in arms:
            note = f"{arm}, seed {seed}"
            done = run_stage("curriculum_sft", settings(arm, seed, scale), inputs, group=GROUP, note=note)
            scored = evaluate(done.output("checkpoint"), group=GROUP, note=note, seed=seed)
            runs.setdefault(arm, []).append(predictions(scored))
            tokens[arm] = done.metrics["tokens_trained"]
    estimates = {arm: {m: over_seeds(own, m) for m in MEASURES} for arm, own in runs.items()}
    base, first = estimates["base model"], estimates["stage 1 only"]
    gain = first["domain"].value - base["domain"].value
    kept = {
        arm: (
            own["general"].value / base["general"].value,
            (own["domain"].value - base["domain"].value) / gain,
        )
        for arm, own in estimates.items()
    }
    lines = [
        [
            arm,
            *(shown(own[m]) for m in MEASURES),
            *(f"{100 * share:.1f}" for share in kept[arm]),
            f"{tokens[arm]:,.0f}",
        ]
        for arm, own in estimates.items()
    ]
    head = ["arm", *(f"{m} %" for m in MEASURES), "general kept %", "domain gain kept %", "tokens"]
    print(markdown(head, lines))
    figures = {
        arm: {
            **own,
            "general_kept": round(kept[arm][0], 4), "gain_kept": round(kept[arm][1], 4),
            "tokens": tokens[arm],
        }
        for arm, own in recorded(estimates).items()
    }  # fmt: skip
    result("forgetting", seeds=seeds, scale=scale, arms=figures)


if __name__ == "__main__":
    parser = arguments(__doc__, list(ARMS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    given = parser.parse_args()
    main(given.seeds, given.arms, given.scale)
