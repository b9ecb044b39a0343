"""What the data stages' parts are worth: the model after domain training on the data that each leaves out.

    python -m benchmarks.demo.ablations [--seeds 0,1,2] [--arms shipped,votes,...] [--steps 600]

Needs the worlds of `make bench-demo` with these seeds. An arm makes the data again with one thing changed,
from the demo's own outputs before it. Then the base model learns from them, all arms for equally many steps,
about twice the demo's: after 300 every arm still answers the probes by chance.

| arm | what is changed |
|---|---|
| shipped | nothing |
| even | every picture is asked equally many questions, whatever its density |
| votes | every item is kept, whatever the voters say |
| blind votes | no voter answers without the picture |
| evolution | questions stay as they were asked first |

A seed is a world of its own, with its own data and training. Differences are paired by item, with 95 %
intervals over pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, arguments, result
from benchmarks.scores import Row, by_arm, difference, markdown, over_seeds, predictions, recorded, shown
from benchmarks.stages import (
    demo_output,
    demo_profile,
    demo_world,
    evaluate,
    laid_over,
    run_stage,
    sft_inputs,
)
from demo.run import at_port, teachers

GROUP, PORT = "ablations", 8781
MEASURES = ("domain", "hallucination", "probe accuracy")
ROLES = ("domain", "hallucination")
SHIPPED = "shipped"
_PER_PICTURE = {"mode": "total", "n_min": 7, "n_max": 8}
ARMS: dict[str, dict[str, dict[str, Any]]] = {
    SHIPPED: {},
    "even": {"ids_scoring": {"budget": _PER_PICTURE}},
    "votes": {
        "voting_filter": {
            "method": "majority", "agreement_threshold": 1e-9, "min_votes": 1, "blind_voters": 0
        }
    },
    "blind votes": {"voting_filter": {"blind_voters": 0}},
    "evolution": {"qa_synthesis": {"evolution_rounds": 0}},
}  # fmt: skip
"""Settings over the demo's, by stage."""


def changed(arm: str, stage: str) -> dict[str, Any]:
    """A data stage's settings in an arm."""
    return laid_over(at_port(demo_profile(), PORT).sections[stage], ARMS[arm].get(stage, {}))


def data_of(arm: str, root: Path, note: str) -> Path:
    """Dataset `qa_kept` of an arm; needs the world's teachers."""
    images = demo_output("image_ingest", "images", root)
    given = {
        "ids": demo_output("ids_scoring", "ids", root),
        "label_tree": demo_output("label_tree", "label_tree", root),
        "matches": demo_output("topic_matching", "matches", root),
    }
    qa = demo_output("qa_synthesis", "qa", root)
    if "ids_scoring" in ARMS[arm]:
        done = run_stage(
            "ids_scoring", changed(arm, "ids_scoring"), {"images": images}, group=GROUP, note=note
        )
        given["ids"] = done.output("ids")
    if ARMS[arm].keys() & {"ids_scoring", "qa_synthesis"}:
        asked = run_stage(
            "qa_synthesis", changed(arm, "qa_synthesis"), {"images": images, **given}, group=GROUP, note=note
        )
        qa = asked.output("qa")
    if not ARMS[arm]:
        return demo_output("voting_filter", "qa_kept", root)
    voted = run_stage(
        "voting_filter", changed(arm, "voting_filter"), {"images": images, "qa": qa}, group=GROUP, note=note
    )
    return voted.output("qa_kept")


def run_seed(seed: int, arms: list[str], steps: int) -> dict[str, list[Row]]:
    """Make the data of every arm in one world, train and evaluate: arm -> its answers."""
    root = demo_world(seed)
    found = {}
    with teachers(root / "world", RESULTS / GROUP / "teachers.log", PORT):
        data = {arm: data_of(arm, root, f"{arm}, seed {seed}") for arm in arms}
    for arm in arms:
        note = f"{arm}, seed {seed}"
        config = {**demo_profile().sections["sft_1_domain"], "seed": seed, "max_steps": steps}
        # This training reads no votes, so arms that keep the same questions are one run.
        inputs = {**sft_inputs(None, root), "qa_kept": data[arm]}
        done = run_stage("curriculum_sft", config, inputs, group=GROUP, note=note)
        given: dict[str, Any] = {"root": root, "roles": ROLES, "seed": seed, "samples_per_item": 0}
        scored = evaluate(done.output("checkpoint"), group=GROUP, note=note, **given)
        found[arm] = predictions(scored, root / "world")
    return found


def main(seeds: list[int], arms: list[str], steps: int) -> None:
    """Run every seed; print both tables."""
    (RESULTS / GROUP).mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[list[Row]]] = {}
    for seed in seeds:  # a seed at a time: a benchmark that is stopped has whole seeds
        for arm, rows in run_seed(seed, arms, steps).items():
            runs.setdefault(arm, []).append(rows)
            print(f"{arm}, seed {seed}: {shown(over_seeds([rows], 'domain'))}", file=sys.stderr, flush=True)
    estimates = {arm: {m: over_seeds(own, m) for m in MEASURES} for arm, own in runs.items()}
    figures = recorded(estimates)
    changes = []
    for arm, own in runs.items():
        if arm != SHIPPED and SHIPPED in runs:
            against = {m: difference(own, runs[SHIPPED], m) for m in MEASURES}
            changes.append([f"with - without {arm}", *(shown(against[m]) for m in MEASURES)])
            figures[arm]["shipped_minus_this"] = {m: change.to_json() for m, change in against.items()}
    print(by_arm(estimates))
    print("\n" + markdown(["points, paired", *(f"{m} %" for m in MEASURES)], changes))
    result("ablations", seeds=seeds, steps=steps, arms=figures)


if __name__ == "__main__":
    parser = arguments(__doc__, tuple(ARMS))
    parser.add_argument("--steps", type=int, default=600, help="of domain training")
    given = parser.parse_args()
    main(given.seeds, given.arms, given.steps)
