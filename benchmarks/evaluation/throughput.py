"""Evaluation throughput of the demo model against a plain `generate` loop.

Both do what the demo's evaluation does, with the same model, batch size and longest response. They answer its
domain, general and hallucination benchmarks greedily and sample eight answers to 300 domain items for pass@k.
Pictures are decoded from their PNGs each time.

The plain loop is what a user writes first: batches in dataset order, left padding, `model.generate`, for
samples with `num_return_sequences`. Ours is the stage's own path: pictures together, chunks sorted by length,
every picture and prompt encoded once, rows that have ended leave the batch. The two run in turn, a few
rounds; greedy answers are compared item by item. Target: at least 1.5 times the plain loop's items per second
in all.

    python -m benchmarks.evaluation.throughput [--world DIR] [--checkpoint DIR] [--scale 1.0] [--rounds 3]

`make demo` (or `python -m demo.build --out build/demo/world`) builds the world. The
default checkpoint is the demo's final one, else its base model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import result, side_by_side
from components.core.resume.journal import Journal
from components.core.vlm import load_model, load_processor, open_image, prompt_text, set_threads
from components.evaluation.asking import ask, prompt_for
from components.evaluation.config import BenchmarkRef, Config, Role
from components.evaluation.engines import Decoding, Response
from components.evaluation.engines.transformers import TransformersEngine
from components.evaluation.items import Questions, subset
from demo.base.settings import SHIPPED

CONFIG = Config(batch_size=128, max_new_tokens=32)
SAMPLED_ITEMS = 300
SAMPLES = 8
FINAL = Path("build/demo/outputs/hybrid_rl/checkpoint")


class Workload:
    """The items of an evaluation, and both ways to answer them."""

    def __init__(self, model_path: Path, questions: Questions, scale: float) -> None:
        self.questions = questions
        self.prompts = [prompt_for(item, "plain") for item in questions.items]
        self.greedy = list(range(len(self.prompts)))
        domain = questions.of_role("domain")
        keys = [questions.items[i].item_id for i in domain]
        self.sampled = [domain[i] for i in subset(keys, max(1, round(scale * SAMPLED_ITEMS)))]
        self.model, self.processor = load_model(model_path), load_processor(model_path)
        self.engine = TransformersEngine(model_path, CONFIG)

    def plain(self, indices: Sequence[int], samples: int) -> list[str]:
        """`generate` on batches in the given order; the texts of all samples."""
        texts: list[str] = []
        size = CONFIG.batch_size // samples
        sampling: dict[str, Any] = {"do_sample": False}
        if samples > 1:
            sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "num_return_sequences": samples}
        for start in range(0, len(indices), size):
            batch = indices[start : start + size]
            inputs = self.processor(
                text=[prompt_text(self.processor, self.prompts[i]) for i in batch],
                images=[open_image(self.questions.pictures(self.questions.items[i])[0]) for i in batch],
                padding=True,
                padding_side="left",
                return_tensors="pt",
            ).to(self.model.device)
            with torch.inference_mode():
                output = self.model.generate(**inputs, max_new_tokens=CONFIG.max_new_tokens, **sampling)
            answers = output[:, inputs["input_ids"].shape[1] :]
            decoded = self.processor.tokenizer.batch_decode(answers, skip_special_tokens=True)
            texts += [text.strip() for text in decoded]
        return texts

    def stage(self, indices: Sequence[int], samples: int) -> list[str]:
        """The evaluation stage's own way, its journal included."""
        with tempfile.TemporaryDirectory() as folder:
            answers: dict[int, list[Response]] = ask(
                lambda: self.engine,
                self.questions,
                self.prompts,
                indices,
                Decoding(samples, 0.0 if samples == 1 else 1.0, 0),
                chunk_items=CONFIG.chunk_items // samples,
                journal=Journal(Path(folder) / "answers.jsonl"),
                name="answers",
            )
        return [response.text for i in indices for response in answers[i]]


def main() -> None:
    """Measure both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--world", type=Path, default=Path("build/demo/world"), help="the demo's world")
    parser.add_argument("--checkpoint", type=Path, help="model to ask")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the items")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way runs")
    args = parser.parse_args()
    model_path = args.checkpoint or (FINAL if FINAL.is_dir() else SHIPPED)
    set_threads()

    questions = Questions()
    roles: tuple[Role, ...] = ("domain", "general", "hallucination")
    for role in roles:
        reference = str(args.world / "benchmarks" / role)
        questions.add_benchmark(BenchmarkRef(name=role, role=role, ref=reference), None)
    chosen = subset(
        [f"{i.benchmark}/{i.item_id}" for i in questions.items], round(args.scale * len(questions.items))
    )
    questions.items = [questions.items[i] for i in chosen]
    work = Workload(model_path, questions, args.scale)
    said: dict[str, list[str]] = {}
    times = side_by_side(
        {
            "plain_greedy": lambda: said.update(plain=work.plain(work.greedy, 1)),
            "stage_greedy": lambda: said.update(stage=work.stage(work.greedy, 1)),
            "plain_samples": lambda: work.plain(work.sampled, SAMPLES),
            "stage_samples": lambda: work.stage(work.sampled, SAMPLES),
        },
        args.rounds,
    )
    same = sum(a == b for a, b in zip(said["plain"], said["stage"], strict=True))
    seconds = {name: measured["median_s"] for name, measured in times.items()}
    plain, stage = (seconds[f"{way}_greedy"] + seconds[f"{way}_samples"] for way in ("plain", "stage"))
    result(
        "evaluation_throughput",
        model=str(model_path),
        items=len(work.greedy),
        pictures=len({(item.benchmark, item.image_group) for item in questions.items}),
        sampled_items=len(work.sampled),
        samples=SAMPLES,
        batch_size=CONFIG.batch_size,
        times=times,
        answers_per_s={
            "plain": round((len(work.greedy) + SAMPLES * len(work.sampled)) / plain, 1),
            "stage": round((len(work.greedy) + SAMPLES * len(work.sampled)) / stage, 1),
        },
        same_greedy_answers=same,
        speedup_greedy=round(seconds["plain_greedy"] / seconds["stage_greedy"], 2),
        speedup_samples=round(seconds["plain_samples"] / seconds["stage_samples"], 2),
        speedup=round(plain / stage, 2),
        target=1.5,
        met=plain / stage >= 1.5,
    )


if __name__ == "__main__":
    main()
