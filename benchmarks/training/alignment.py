"""What preference alignment (stage 3) does to hallucination, by what the pairs are made of.

    python -m benchmarks.training.alignment [--seeds 0,1,2] [--arms ...]

From the demo's `sft_2_restore` checkpoint (`make demo` first), with the demo's other settings. Arms:

- `votes`: pairs from voters' dissent and constructed opposites.
- `own`: the starting model's own mistakes first, against any of its right answers.
- `own, same length`: the same, against the right answer that is nearest in length.
- `own, more denials`: "no" is chosen in 62 % of the yes/no pairs and not in half.

Hallucination is the share of probes about absent things that are answered "yes". Probe accuracy counts the
present ones too, so that a model which denies everything gains nothing.

Target: hallucination lower by a third, relative, with domain accuracy not lower.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import arguments, result
from benchmarks.scores import Row, by_arm, difference, over_seeds, predictions, recorded, shown
from benchmarks.stages import demo_output, demo_profile, evaluate, run_stage, sft_inputs

GROUP = "alignment"
MEASURES = ("domain", "general", "pass@1", "tokens", "hallucination", "probe accuracy")
ARMS: dict[str, dict[str, Any]] = {
    "votes": {"own_samples": 0},
    "own": {"own_pairing": "any"},
    "own, same length": {"own_pairing": "length"},
    "own, more denials": {"denial_share": 0.62},
}


def settings(arm: str, seed: int) -> dict[str, Any]:
    """Settings of stage 3."""
    base: dict[str, Any] = {**demo_profile().sections["sft_3_align"], "seed": seed}
    return {**base, "preferences": {**base["preferences"], **ARMS[arm]}}


def main(seeds: list[int], arms: list[str]) -> None:
    """Train and evaluate every arm with every seed; print the table."""
    start = demo_output("sft_2_restore", "checkpoint")
    inputs = sft_inputs(start)
    runs: dict[str, list[list[Row]]] = {
        "start": [predictions(evaluate(start, group=GROUP, note="start", seed=seed)) for seed in seeds]
    }
    for seed in seeds:
        for arm in arms:
            note = f"{arm}, seed {seed}"
            done = run_stage("curriculum_sft", settings(arm, seed), inputs, group=GROUP, note=note)
            scored = evaluate(done.output("checkpoint"), group=GROUP, note=note, seed=seed)
            runs.setdefault(arm, []).append(predictions(scored))
    estimates = {arm: {m: over_seeds(own, m) for m in MEASURES} for arm, own in runs.items()}
    print(by_arm(estimates, plain=("tokens",)))
    figures: dict[str, Any] = dict(recorded(estimates))
    for arm in arms:
        paired = {m: difference(runs["start"], runs[arm], m) for m in MEASURES if m != "tokens"}
        fewer = 1 - estimates[arm]["hallucination"].value / estimates["start"]["hallucination"].value
        print(
            f"\n{arm} - start: hallucination {shown(paired['hallucination'])} ({fewer:.0%} fewer), "
            f"domain {shown(paired['domain'])}"
        )
        figures[f"{arm} - start"] = {m: estimate.to_json() for m, estimate in paired.items()}
    result("alignment", seeds=seeds, arms=figures)


if __name__ == "__main__":
    parser = arguments(__doc__, list(ARMS))
    given = parser.parse_args()
    main(given.seeds, given.arms)
