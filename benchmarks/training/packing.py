"""Packed training against TRL's own SFT trainer: useful tokens a second, all else equal.

    python -m benchmarks.training.packing [--scale 1.0]

The model is the demo's Qwen3-VL (random weights: speed does not depend on them). Two sets of samples. `demo`:
all questions of a rendered cluster as turns of one conversation. `wide`: one picture and 32 to 1,024 tokens
(uniform). TRL's trainer gets the pictures as its documentation says and its own defaults, with `BATCH`
samples a step. Ours gets packs with room for 4 % more tokens than TRL's step holds on average. Both use AdamW
and the same precision. Rounds alternate, so that a busy machine slows both. Useful tokens are those of
samples; padding counts for nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from PIL import Image
from trl import SFTConfig, SFTTrainer

from benchmarks.harness import RESULTS, result
from components.core.vlm import build_processor, load_model, load_processor, vision_token_count
from components.core.vlm.messages import build_conversation, format_question, format_response
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.checks import Planner, partition
from components.curriculum_sft.data.samples import Row
from components.curriculum_sft.objectives.sft import sft_trainer
from components.curriculum_sft.packing.plan import fill, plan_epoch, vision_imbalance
from components.curriculum_sft.training.trainer import Setup
from demo import general
from demo.base.model import MIN_PIXELS, build_config, build_model
from demo.base.settings import ModelSizes
from demo.base.tokenizer import build_tokenizer
from demo.world.questions import catalogue
from demo.world.render import png_bytes, render
from demo.world.scene import sample_scene

BATCH = 8
WIDE = (32, 1024)
TURNS = 8


def write_model(path: Path) -> Path:
    """The demo's model with random weights, its tokenizer and processor."""
    sizes, tokenizer = ModelSizes(), build_tokenizer()
    build_model(build_config(tokenizer, sizes), seed=0).save_pretrained(path)
    build_processor(
        tokenizer, patch_size=sizes.patch_px, merge_size=1, temporal_patch_size=1, min_pixels=MIN_PIXELS,
        max_pixels=general.SIZE_PX**2,
    ).save_pretrained(path)  # fmt: skip
    return path


def samples(kind: str, count: int, processor: Any, seed: int) -> tuple[list[Row], dict[str, bytes]]:
    """Rows of `samples` with their lengths, and their pictures."""
    rng = np.random.default_rng(seed)
    rows, pictures = [], {}
    words = [
        w
        for w in (processor.tokenizer.decode([i]) for i in range(len(processor.tokenizer)))
        if w.strip().isalpha()
    ]
    for n in range(count):
        scene = sample_scene(rng)
        pictures[str(n)] = png_bytes(render(scene))
        if kind == "demo":
            questions = [catalogue(scene)[i] for i in rng.permutation(len(catalogue(scene)))[:TURNS]]
            turns = [
                (
                    format_question(q.question, q.choices),
                    format_response(q.answer, q.reasoning if i % 2 else ""),
                )
                for i, q in enumerate(questions)
            ]
        else:
            turns = [("Describe the picture.", _text(words, int(rng.integers(*WIDE)), processor, rng))]
        messages = json.dumps(build_conversation(turns))
        rows.append(
            {"sample_id": str(n), "messages": messages, "image_ids": [str(n)], "source": kind, "weight": 1.0}
        )
    planner = Planner(
        tokenize=lambda turns: processor.tokenizer(processor.apply_chat_template(turns, tokenize=False))[
            "input_ids"
        ],
        vision_tokens=lambda height, width: vision_token_count(processor, height, width),
        sizes={key: Image.open(io.BytesIO(data)).size[::-1] for key, data in pictures.items()},
        control_tokens=[],
        max_length_tokens=2048,
    )
    good, bad = partition(rows, planner)
    assert not bad, bad[:3]
    return good, pictures


def _text(words: list[str], tokens: int, processor: Any, rng: np.random.Generator) -> str:
    """About so many tokens of words, the picture and the question taken off."""
    wanted = max(1, tokens - 60)
    text = " ".join(rng.choice(words, wanted))
    ids = processor.tokenizer(text)["input_ids"][:wanted]
    return str(processor.tokenizer.decode(ids))


class Counted:
    """TRL's collator, counting the tokens that are no padding."""

    def __init__(self, collate: Any) -> None:
        self.collate, self.tokens, self.padded = collate, 0, 0

    def __call__(self, rows: list[Any]) -> Any:
        batch = self.collate(rows)
        self.tokens += int(batch["attention_mask"].sum())
        self.padded += batch["attention_mask"].numel()
        return batch


def run_trl(
    start: Path, processor: Any, rows: list[Row], pictures: dict[str, bytes], steps: int, bf16: bool = False
) -> dict[str, float]:
    """Useful tokens a second, and the share of tokens that are no padding, of TRL's trainer."""
    data = Dataset.from_list(
        [{"images": [Image.open(io.BytesIO(pictures[row["image_ids"][0]]))],
          "messages": _plain(json.loads(row["messages"]))} for row in rows]
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=load_model(start, dtype="float32"),
            args=SFTConfig(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=BATCH, max_length=None,
                gradient_checkpointing=False, bf16=bf16, report_to="none", save_strategy="no",
                logging_steps=steps,
                disable_tqdm=True, seed=0,
            ),
            train_dataset=data,
            processing_class=processor,
        )  # fmt: skip
        counted = Counted(trainer.data_collator)
        trainer.data_collator = counted
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return {"tokens_per_s": counted.tokens / seconds, "fill": counted.tokens / counted.padded,
            "tokens_per_step": counted.tokens / steps}  # fmt: skip


def _plain(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Messages with text content: TRL puts the image placeholder into the first user turn by itself."""
    return [
        {"role": m["role"], "content": "".join(p.get("text", "") for p in m["content"])}
        if not isinstance(m["content"], str)
        else m
        for m in messages
    ]


class Pictures:
    """Encoded pictures by id."""

    def __init__(self, data: dict[str, bytes]) -> None:
        self._data = data

    def get(self, image_id: str) -> bytes:
        return self._data[image_id]


def run_packed(
    start: Path,
    processor: Any,
    rows: list[Row],
    pictures: dict[str, bytes],
    steps: int,
    pack_tokens: int,
    **settings: Any,
) -> dict[str, float]:
    """The same of our trainer with packs; `settings` over those of the comparison."""
    config = Config(
        batch_samples=1, pack_tokens=pack_tokens, max_length_tokens=pack_tokens, max_steps=steps,
        log_steps=steps,
        learning_rate=5e-5, save_steps=10**6, **{"precision": "float32", **settings},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = sft_trainer(Setup(start, processor, rows, Pictures(pictures), config, Path(folder)))
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return {"tokens_per_s": trainer.tokens_seen / seconds, "tokens_per_step": trainer.tokens_seen / steps}


def main() -> None:
    """Measure both sets of samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    start = write_model(RESULTS / "packing-model")
    processor = load_processor(start)
    steps = max(2, round(40 * options.scale))
    for kind in ("demo", "wide"):
        rows, pictures = samples(kind, max(64, BATCH * steps), processor, seed=0)
        lengths = [row["length"] for row in rows]
        vision = [row["vision_tokens"] for row in rows]
        pack_tokens = max(*lengths, round(1.04 * BATCH * statistics.mean(lengths)))
        packs = plan_epoch(lengths, vision, pack_tokens, ranks=2, packs_per_rank=1, seed=0, epoch=0)
        measured: dict[str, list[dict[str, float]]] = {"trl": [], "packed": []}
        for _ in range(options.rounds):
            measured["trl"].append(run_trl(start, processor, rows, pictures, steps))
            measured["packed"].append(run_packed(start, processor, rows, pictures, steps, pack_tokens))
        speed = {name: [r["tokens_per_s"] for r in runs] for name, runs in measured.items()}
        ratios = [b / a for a, b in zip(speed["trl"], speed["packed"], strict=True)]
        result(
            f"packing_{kind}",
            samples=len(rows),
            length_tokens={"min": min(lengths), "median": statistics.median(lengths), "max": max(lengths)},
            steps=steps,
            rounds=options.rounds,
            pack_tokens=pack_tokens,
            tokens_per_s={name: round(statistics.median(values), 1) for name, values in speed.items()},
            ratio=round(statistics.median(ratios), 3),
            ratios=[round(r, 3) for r in ratios],
            fill={
                "trl": round(measured["trl"][0]["fill"], 4),
                "packed": round(fill(packs, lengths, pack_tokens), 4),
            },
            tokens_per_step={name: round(runs[0]["tokens_per_step"]) for name, runs in measured.items()},
            vision_imbalance_of_two_ranks=round(vision_imbalance(packs, vision, 2, 1), 4),
        )


if __name__ == "__main__":
    main()
