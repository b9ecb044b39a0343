"""A teacher three times as large against hybrid rewards, from the same student: accuracy by tokens and time.

    python -m benchmarks.rl.teacher [--seeds 0,1,2] [--student DIR] [--arms rl,distill] [--scale 1.0] [--mini]

The student is the demo's `sft_3_align` checkpoint (`make demo` first) or any other. The teacher is the
student with more layers, trained further on true answers about scenes of its own (`expert.py`). Arm `rl` is
the demo's `hybrid_rl`; `distill` and `both` have its questions, rollouts and length, and the teacher. Every
arm is evaluated on the domain's held-out questions at the start and after each quarter of its steps.

Tokens are those that the student sampled, for its pass rates too. Seconds are those of the arm's steps, the
teacher's pass included; training the teacher is counted apart. Target: the end of `rl` is reached with at
most a third of its tokens and of its time.

`--mini` runs the same path on a world of a few pictures with a model that has learned nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, arguments, result
from benchmarks.rl.expert import train_expert, write_expert_data
from benchmarks.rl.hybrid import sealed
from benchmarks.scores import Row, answers, markdown, over_seeds, shown
from benchmarks.stages import DEMO, Finished, demo_output, demo_param, demo_profile, laid_over, run_stage
from components.core.data.pins import pin

GROUP = "teacher"
ARMS: dict[str, dict[str, Any]] = {
    "rl": {},
    # A teacher says something about every question: none is left out, none has to be tried before.
    "distill": {"objective": "distill", "learning_rate": 1e-4, "prompts": {"pass_rate_samples": 0}},
    "both": {"objective": "both", "learning_rate": 1e-4},
}
"""Settings over the demo's. A token's advantage has no scale to normalise, so its rate is one of its own."""
PARTS = 4
"""Of an arm's steps; it is evaluated after each."""


@dataclass(frozen=True)
class Setting:
    """What all arms share."""

    base: Path
    student: Path
    images: Path
    qa_kept: Path
    benchmarks: str
    """JSON of the evaluation's benchmarks: the domain's alone."""
    world: Path
    expert_pictures: int
    expert: Mapping[str, Any]
    """Settings of the teacher's training."""
    rl: Mapping[str, Any]
    """Settings of `hybrid_rl` in every arm."""
    evaluation: Mapping[str, Any]
    parts: int = PARTS
    """Evaluations of an arm, evenly over its steps."""


@dataclass(frozen=True)
class Point:
    """An arm at one of its checkpoints."""

    step: int
    tokens: int
    """That the student has sampled so far."""
    seconds: float
    rows: list[Row]


def demo_setting(student: Path | None, scale: float) -> Setting:
    """The finished demo's data; `scale` is that of the arms' steps."""
    profile = demo_profile()
    own = json.loads(demo_param("benchmarks"))
    steps = max(PARTS, round(profile.sections["hybrid_rl"].get("max_steps", 60) * scale))
    return Setting(
        base=Path(demo_param("base_model").partition("#")[0]),
        student=student or demo_output("sft_3_align", "checkpoint"),
        images=demo_output("image_ingest", "images"),
        qa_kept=demo_output("voting_filter", "qa_kept"),
        benchmarks=json.dumps([one for one in own if one["role"] == "domain"]),
        world=DEMO / "world",
        expert_pictures=round(1600 * scale),
        expert={**profile.sections["sft_1_domain"], "domain_share": 1.0, "epochs": 1.5},
        rl={**profile.sections["hybrid_rl"], "max_steps": steps - steps % PARTS},
        evaluation=profile.sections["evaluation"],
    )


def mini_setting(out: Path) -> Setting:
    """A world of a few pictures, where nothing is learned."""
    from demo.base.settings import MINI as UNTRAINED
    from demo.build import build_world
    from demo.world_settings import MINI

    build_world(out, MINI, UNTRAINED)
    asked = write_expert_data(out / "student", 12, seed=1)
    domain = {"name": "domain", "role": "domain", "format": "auto", "kind": "auto"}
    questions = {"max_candidates": 16, "pass_rate_samples": 2}
    tiny = {
        "group_size": 2,
        "k": 2,
        "prompts_per_step": 2,
        "max_completion_tokens": 4,
        "mask_truncated": False,
    }
    return Setting(
        base=out / "base_model",
        student=out / "base_model",
        images=asked / "images",
        qa_kept=asked / "qa_kept",
        benchmarks=json.dumps([{**domain, "ref": pin(str(out / "benchmarks" / "domain"))}]),
        world=out,
        expert_pictures=4,
        expert={"objective": "sft", "max_steps": 2, "batch_samples": 2, "max_length_tokens": 2048},
        rl={**tiny, "max_steps": 2, "prompts": questions},
        evaluation={
            "dtype": "float32",
            "max_new_tokens": 4,
            "batch_size": 32,
            "samples_per_item": 2,
            "pass_k": [1, 2],
        },
        parts=1,
    )


def settings(arm: str, setting: Setting) -> dict[str, Any]:
    """Settings of `hybrid_rl` in an arm, without its teacher."""
    return laid_over(setting.rl, ARMS[arm])


def train(arm: str, seed: int, setting: Setting, teacher: Path) -> Finished:
    """An arm's stage, with a checkpoint after every part."""
    config = settings(arm, setting) | {"seed": seed}
    config |= {"save_steps": config["max_steps"] // setting.parts, "keep_checkpoints": setting.parts}
    inputs: dict[str, Path | str] = {
        "init_checkpoint": setting.student,
        "images": setting.images,
        "qa_kept": setting.qa_kept,
    }
    if arm != "rl":
        config["teacher"] = {"checkpoint": str(teacher)}
        inputs["teacher"] = pin(str(teacher))
    return run_stage("hybrid_rl", config, inputs, group=GROUP, note=f"{arm}, seed {seed}")


def points(arm: str, seed: int, setting: Setting, done: Finished) -> list[Point]:
    """An arm at its start and after every part, evaluated."""
    saved = sorted(
        done.path.glob("work/hybrid_rl/*/checkpoints/checkpoint-*"), key=lambda p: int(p.name.split("-")[1])
    )
    log = json.loads((saved[-1] / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    steps = [entry for entry in log if "response_tokens" in entry]
    config = settings(arm, setting)
    rollouts = config["prompts_per_step"] * config["group_size"]
    samples = config["prompts"]["pass_rate_samples"]
    tried = int(done.metrics["candidates"] * samples * steps[0]["response_tokens"])
    found = [Point(0, 0, 0.0, evaluated(setting.student, seed, setting, "the student"))]
    for path in saved:
        step = int(path.name.split("-")[1])
        until = [entry for entry in steps if entry["step"] <= step]
        checkpoint = sealed(path, done.path / f"step-{step}")
        rows = evaluated(checkpoint, seed, setting, f"{arm} at step {step}, seed {seed}")
        tokens = tried + round(sum(entry["response_tokens"] for entry in until) * rollouts)
        found.append(Point(step, tokens, sum(entry["step_time"] for entry in until), rows))
    return found


def evaluated(checkpoint: Path, seed: int, setting: Setting, note: str) -> list[Row]:
    """The answers of a checkpoint to the domain's held-out questions, greedy and sampled."""
    inputs: dict[str, Path | str] = {
        "base_model": str(setting.base),
        "benchmarks": setting.benchmarks,
        "label": "model",
        "images": setting.images,
        "qa_kept": setting.qa_kept,
        "checkpoint": checkpoint,
    }
    done = run_stage("evaluation", {**setting.evaluation, "seed": seed}, inputs, group=GROUP, note=note)
    return answers(done.output("predictions"), setting.world)


def reached(curve: Sequence[tuple[float, float]], goal: float) -> float | None:
    """Cost at which a curve of (cost, accuracy) first reaches a goal, between its points in a line."""
    for (cost, value), (later, higher) in zip(curve, curve[1:], strict=False):
        if value >= goal:
            return cost
        if higher >= goal:
            return cost + (later - cost) * (goal - value) / (higher - value)
    return curve[-1][0] if curve[-1][1] >= goal else None


def main(seeds: list[int], arms: list[str], setting: Setting) -> dict[str, Any]:
    """Train the teacher and every arm with every seed; print curves, and where the end of `rl` is reached."""
    data = write_expert_data(RESULTS / GROUP / f"expert-{setting.expert_pictures}", setting.expert_pictures)
    expert = train_expert(setting.student, setting.base, data, dict(setting.expert), GROUP)
    teacher = expert.output("checkpoint")
    of_teacher = [evaluated(teacher, seed, setting, "the teacher") for seed in seeds]
    curves: dict[str, list[list[Point]]] = {arm: [] for arm in arms}
    for seed in seeds:  # a seed at a time: a benchmark that is stopped has whole seeds
        for arm in arms:
            curves[arm].append(points(arm, seed, setting, train(arm, seed, setting, teacher)))
    measures = ("domain", "pass@1")
    lines = [["teacher", "", "", "", *(shown(over_seeds(of_teacher, m)) for m in measures)]]
    figures: dict[str, Any] = {"teacher": {m: over_seeds(of_teacher, m).to_json() for m in measures}}
    averaged: dict[str, list[tuple[float, float, float]]] = {}
    for arm, runs in curves.items():
        for at in zip(*runs, strict=True):
            tokens, seconds = (sum(getattr(p, name) for p in at) / len(at) for name in ("tokens", "seconds"))
            found = {m: over_seeds([p.rows for p in at], m) for m in measures}
            cells = [str(at[0].step), f"{tokens / 1000:.0f}", f"{seconds:.0f}"]
            lines.append([arm, *cells, *(shown(found[m]) for m in measures)])
            averaged.setdefault(arm, []).append((tokens, seconds, found["pass@1"].value))
            cost = {"step": at[0].step, "tokens": round(tokens), "seconds": round(seconds, 1)}
            figures.setdefault(arm, []).append(cost | {m: found[m].to_json() for m in measures})
    print(markdown(["arm", "step", "thousand tokens", "seconds", "domain %", "pass@1 %"], lines))
    if "rl" in arms:
        figures["reached"] = _reached(averaged)
    figures["arms"] = {arm: settings(arm, setting) for arm in arms}
    result("rl_teacher", seeds=seeds, teacher_seconds=expert.metrics.get("seconds"), figures=figures)
    return figures


def _reached(averaged: Mapping[str, Sequence[tuple[float, float, float]]]) -> dict[str, Any]:
    """Where each arm reaches the pass@1 of rl's last checkpoint, as shares of what that cost."""
    tokens, seconds, goal = averaged["rl"][-1]
    shares: dict[str, Any] = {}
    for arm, curve in averaged.items():
        if arm == "rl":
            continue
        by_tokens = reached([(t, value) for t, _, value in curve], goal)
        by_time = reached([(s, value) for _, s, value in curve], goal)
        if by_tokens is None or by_time is None:
            print(f"\n{arm} does not reach rl's end ({goal:.1%} pass@1)")
            shares[arm] = None
            continue
        shares[arm] = {"tokens": round(by_tokens / tokens, 3), "seconds": round(by_time / seconds, 3)}
        print(
            f"\n{arm} reaches rl's end ({goal:.1%} pass@1) with {by_tokens / tokens:.0%} of its tokens and "
            f"{by_time / seconds:.0%} of its time"
        )
    return shares


if __name__ == "__main__":
    parser = arguments(__doc__, list(ARMS), chosen=["rl", "distill"])
    parser.add_argument("--student", type=Path, help="checkpoint to start from (default: the demo's)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps and the expert's pictures")
    parser.add_argument(
        "--mini", action="store_true", help="a few pictures and an untrained model, for tests"
    )
    given = parser.parse_args()
    shared = (
        mini_setting(RESULTS / GROUP / "mini") if given.mini else demo_setting(given.student, given.scale)
    )
    main(given.seeds, given.arms, shared)
