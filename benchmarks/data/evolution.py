"""What three rounds of evolution do to questions: harder, more varied, or just more wrong?

    python -m benchmarks.data.evolution [--scale 1.0] [--seed 0] [--checkpoint DIR]

The stages ids_scoring and qa_synthesis run as they are on 300 x scale pictures of the demo world. The teacher
is the demo's: 10 % errors, 40 % hallucination, 80 % leniency towards its own mistakes. An item's history
holds its version after each round, so one run gives all rounds. The world knows the truth of every version:
its answer, how many skills it takes, its level of difficulty.

- `difficulty` is the share of wrong answers of the demo's three voters. Simulated voters err alike on all
  questions, so each further level costs them STEP_ERROR_RATE s: 1 - (1 - e)(1 - s)^level. This is the level
  in another unit, not a fact about models.
- `voter_error_without_step_errors` is the same without the addition.
- `model_error` is a trained model's share of wrong answers on the same versions. It needs a checkpoint; by
  default the demo's sft_1_domain, if there is one.
- `reasoning_steps` are sentences in the shortest correct of PATHS sampled reasoning paths.
- `improved_by_truth` is the share that a judge without errors would call improved.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.data.simulated.versions import Row, Version, World, synthesise, versions_after
from benchmarks.harness import ROOT, result, timed
from components.core.stage.settings import Endpoint
from components.core.stats import mean_estimate
from components.qa_synthesis.config import Config, ReasoningPaths
from components.qa_synthesis.image_question import ImageQuestion, evolution, lineage, reasoning
from components.qa_synthesis.plan import Task
from components.qa_synthesis.reasoning_paths import sample_reasoning
from demo.teachers.replies.items import judge
from demo.teachers.speaker import Request

IMAGES = 300
ROUNDS = 3
PATHS = 4
STEP_ERROR_RATE = 0.08
VOTERS = ("voter-a", "voter-b", "voter-c")
CHECKPOINT = ROOT / "build" / "demo" / "outputs" / "sft_1_domain" / "checkpoint"


def wrong_votes(
    versions: Sequence[Version], world: World, step_error_rate: float = STEP_ERROR_RATE
) -> np.ndarray:
    """Share of the voters that answer each version wrongly, shape (versions,)."""
    wrong = np.zeros((len(VOTERS), len(versions)))
    for v, name in enumerate(VOTERS):
        voter = world.speaker(name, step_error_rate=step_error_rate)
        for i, version in enumerate(versions):
            request = Request(version.prompt, version.image_id, world.knowledge[version.image_id])
            said = voter.vote_answers(request)["answers"][0]["answer"]
            wrong[v, i] = not version.accepts(said)
    return wrong.mean(axis=0)


def model_errors(rounds: Sequence[Sequence[Version]], world: World, checkpoint: Path) -> list[np.ndarray]:
    """Whether a real model answers each version wrongly, one vector a round."""
    from components.core.vlm import format_question, generate, load_model, load_processor, set_threads

    set_threads()
    model, processor = load_model(checkpoint), load_processor(checkpoint)
    found = []
    for versions in rounds:
        asked = [
            (world.pictures[v.image_id], format_question(v.row["question"], v.row["choices"]))
            for v in versions
        ]
        answers = generate(model, processor, asked, max_new_tokens=32)
        wrong = [not v.accepts(given[0].text) for v, given in zip(versions, answers, strict=True)]
        found.append(np.array(wrong, dtype=np.float64))
    return found


def reasoning_steps(versions: Sequence[Version], world: World) -> list[int]:
    """Sentences of every version's shortest correct path, by the stage's rejection sampling."""
    teacher = world.speaker("teacher")
    endpoint = Endpoint(base_url="http://localhost/v1", model="teacher")
    config = Config(endpoint=endpoint, reasoning_paths=ReasoningPaths(samples=PATHS))
    tasks = [Task(v.image_id, world.pictures[v.image_id], "train", 1) for v in versions]
    items = [
        [
            ImageQuestion(
                image_id=v.image_id,
                question=v.row["question"],
                answers=(v.row["answer"],),
                answer_type=v.row["answer_type"],
                choices=tuple(v.row["choices"]),
            )
        ]
        for v in versions
    ]
    sampled = sample_reasoning(tasks, items, config, lambda requests: world.ask(teacher, requests))
    found = []
    for (item,) in sampled:
        entry = reasoning(item.history)
        if entry and entry["correct"]:
            found.append(item.reasoning.count(". ") + 1)
    return found


def entropy_bits(names: Sequence[str]) -> float:
    """Shannon entropy of how often each name occurs."""
    share = np.array(list(Counter(names).values())) / len(names)
    return float(-(share * np.log2(share)).sum())


def describe(versions: Sequence[Version], wrong: np.ndarray, world: World) -> Row:
    """Figures of one round's versions."""
    kinds = [v.truth.kind for v in versions]
    steps = reasoning_steps(versions, world)
    by_image: dict[str, set[str]] = {}
    for version in versions:
        by_image.setdefault(version.image_id, set()).add(version.truth.kind)
    difficulty = mean_estimate(wrong, [v.image_id for v in versions])
    return {
        "items": len(versions),
        "difficulty": round(difficulty.value, 4),
        "difficulty_95": [round(difficulty.low, 4), round(difficulty.high, 4)],
        "voter_error_without_step_errors": round(float(wrong_votes(versions, world, 0.0).mean()), 4),
        "wrong_labels": round(1 - float(np.mean([v.accepts(v.row["answer"]) for v in versions])), 4),
        "mean_level": round(float(np.mean([v.truth.level for v in versions])), 3),
        "mean_skills": round(float(np.mean([len(v.truth.skills) for v in versions])), 3),
        "reasoning_steps": round(float(np.mean(steps)), 3),
        "with_correct_path": round(len(steps) / len(versions), 4),
        "distinct_forms": len(set(kinds)),
        "form_entropy_bits": round(entropy_bits(kinds), 3),
        "distinct_forms_per_image": round(float(np.mean([len(own) for own in by_image.values()])), 3),
        "distinct_questions": len({v.row["question"].casefold() for v in versions}),
        "answer_types": dict(sorted(Counter(v.row["answer_type"] for v in versions).items())),
    }


def outcomes(rows: Sequence[Row], world: World, round_no: int) -> Row:
    """What the judge did in a round, against what one that never errs would have done."""
    verdicts: Counter[str] = Counter()
    kept_truly = eliminated_truly = judged = improved = 0
    for row in rows:
        entry = next(e for e in evolution(json.loads(row["history"])) if e["round"] == round_no)
        verdicts[entry["verdict"]] += 1
        kept = entry["verdict"] == "kept"
        versions = lineage(row)
        before, after = versions[round_no - 1], versions[round_no] if kept else entry["eliminated"]
        if after is None or entry["verdict"] in ("malformed", "duplicate", "missing", "unjudged"):
            continue
        known = world.knowledge[row["image_id"]]
        told = (before["question"], after["question"], after["answer"], tuple(after["choices"]))
        truly = judge(known, entry["direction"], *told, lenient=False)["improved"]
        judged, improved = judged + 1, improved + truly
        kept_truly += kept and truly
        eliminated_truly += not kept and not truly
    kept_count = verdicts["kept"]
    return {
        "verdicts": dict(sorted(verdicts.items())),
        "eliminated": round(1 - kept_count / len(rows), 4),
        "improved_by_truth": round(improved / judged, 4),
        "kept_that_improved_by_truth": round(kept_truly / kept_count, 4),
        "eliminated_that_did_not_improve_by_truth": round(eliminated_truly / max(1, judged - kept_count), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help=f"1.0 is {IMAGES} pictures")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures")
    parser.add_argument(
        "--checkpoint", type=Path, default=CHECKPOINT, help="a model whose errors are counted too"
    )
    args = parser.parse_args()
    world = World(max(4, round(IMAGES * args.scale)), args.seed)
    with tempfile.TemporaryDirectory() as folder:
        rows, seconds = timed(lambda: synthesise(world, Path(folder), ROUNDS))
    rounds = [versions_after(rows, world, round_no) for round_no in range(ROUNDS + 1)]
    wrong = [wrong_votes(versions, world) for versions in rounds]
    figures = [
        {
            "round": round_no,
            **describe(versions, wrong[round_no], world),
            **(outcomes(rows, world, round_no) if round_no else {}),
        }
        for round_no, versions in enumerate(rounds)
    ]
    if args.checkpoint.is_dir():
        for figure, errors in zip(figures, model_errors(rounds, world, args.checkpoint), strict=True):
            figure["model_error"] = round(float(errors.mean()), 4)
    groups = [version.image_id for version in rounds[0]]
    gain = mean_estimate(wrong[-1] - wrong[0], groups, bounds=None)
    result(
        "evolution",
        images=len(world.pictures),
        seed=args.seed,
        teacher="models.yaml: teacher",
        voters={"models": list(VOTERS), "step_error_rate": STEP_ERROR_RATE},
        model=str(args.checkpoint) if args.checkpoint.is_dir() else "none",
        seconds=round(seconds, 1),
        rounds=figures,
        difficulty_gain={"value": round(gain.value, 4), "95": [round(gain.low, 4), round(gain.high, 4)]},
    )


if __name__ == "__main__":
    main()
