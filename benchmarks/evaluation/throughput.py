"""Evaluation throughput of the demo model against a plain `generate` loop.

Both answer the same items of the demo's domain and general benchmarks greedily, with the same model, batch size and
longest response, pictures decoded from their PNGs each time. The plain loop is what a user writes first: batches in
dataset order, left padding, `model.generate`. Ours is the stage's own path: pictures together, chunks sorted by length,
every picture encoded once a chunk, rows that have ended leave the batch. The two run in turn, a few rounds; answers are
compared item by item. Target: at least 1.5 times the plain loop's items per second, with the same answers.

    python -m benchmarks.evaluation.throughput [--world build/demo/world] [--checkpoint DIR] [--scale 1.0] [--rounds 3]

The world and its base model are what `make demo` (or `python -m demo.build --out build/demo/world`) builds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import result, side_by_side
from components.core.vlm import load_model, load_processor, open_image, prompt_text, set_threads
from components.core.work import Journal
from components.evaluation.benchmarks import Questions, subset
from components.evaluation.config import Benchmark, Config
from components.evaluation.engines import Response
from components.evaluation.engines.transformers import TransformersEngine
from components.evaluation.inference import ask
from components.evaluation.prompting import prompt_for

CONFIG = Config(batch_size=128, max_new_tokens=32)


def plain_loop(model: Any, processor: Any, questions: Questions, prompts: list[str]) -> list[str]:
    """`generate` on batches in dataset order."""
    texts: list[str] = []
    for start in range(0, len(prompts), CONFIG.batch_size):
        batch = range(start, min(start + CONFIG.batch_size, len(prompts)))
        inputs = processor(
            text=[prompt_text(processor, prompts[i]) for i in batch],
            images=[open_image(questions.pictures(questions.items[i])[0]) for i in batch],
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=CONFIG.max_new_tokens, do_sample=False)
        answers = output[:, inputs["input_ids"].shape[1] :]
        decoded = processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
        texts += [text.strip() for text in decoded]
    return texts


def stage_path(engine: TransformersEngine, questions: Questions, prompts: list[str]) -> list[str]:
    """The evaluation stage's own way, its journal included."""
    with tempfile.TemporaryDirectory() as folder:
        answers: dict[int, list[Response]] = ask(
            lambda: engine,
            questions,
            prompts,
            range(len(prompts)),
            samples=1,
            temperature=0.0,
            seed=0,
            chunk_items=CONFIG.chunk_items,
            journal=Journal(Path(folder) / "answers.jsonl"),
            name="greedy",
        )
    return [answers[i][0].text for i in range(len(prompts))]


def main() -> None:
    """Measure both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--world", type=Path, default=Path("build/demo/world"), help="the demo's world")
    parser.add_argument("--checkpoint", type=Path, help="model to ask; default the world's base model")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way runs")
    args = parser.parse_args()
    model_path = args.checkpoint or args.world / "base_model"
    set_threads()

    questions = Questions()
    for role in ("domain", "general"):
        reference = str(args.world / "benchmarks" / role)
        questions.add_benchmark(Benchmark(name=role, role=role, ref=reference), None)
    chosen = subset([item.item_id for item in questions.items], round(args.scale * len(questions.items)))
    questions.items = [questions.items[i] for i in chosen]
    prompts = [prompt_for(item, "plain") for item in questions.items]

    model, processor = load_model(model_path), load_processor(model_path)
    engine = TransformersEngine(model_path, CONFIG)
    said: dict[str, list[str]] = {}
    times = side_by_side(
        {
            "plain": lambda: said.update(plain=plain_loop(model, processor, questions, prompts)),
            "stage": lambda: said.update(stage=stage_path(engine, questions, prompts)),
        },
        args.rounds,
    )
    same = sum(a == b for a, b in zip(said["plain"], said["stage"], strict=True))
    speedup = times["plain"]["median_s"] / times["stage"]["median_s"]
    result(
        "evaluation_throughput",
        items=len(prompts),
        pictures=len({(item.benchmark, item.image_group) for item in questions.items}),
        batch_size=CONFIG.batch_size,
        plain=times["plain"],
        stage=times["stage"],
        items_per_s={name: round(len(prompts) / t["median_s"], 1) for name, t in times.items()},
        same_answers=same,
        speedup=round(speedup, 2),
        target=1.5,
        met=speedup >= 1.5 and same == len(prompts),
    )


if __name__ == "__main__":
    main()
