"""TRL's own `GRPOTrainer` with its defaults and one reward, for `benchmarks.rl.hybrid`.

python -m benchmarks.rl.plain_grpo '{"config": {...}, "inputs": {...}, "out": "..."}'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from components.core.data.checkpoint import commit_checkpoint
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.vlm import load_model, load_processor, set_threads
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards.correctness import correctness
from components.hybrid_rl.rollouts.prompts import candidates
from components.hybrid_rl.rollouts.rollout import make_rollout
from components.hybrid_rl.trainer import end_tokens, training_set


def train(config: Config, inputs: dict[str, Path], out: Path) -> None:
    """Train `config.max_steps` steps and write the checkpoint to `out/checkpoint`."""
    set_threads()
    start = inputs["init_checkpoint"]
    model, processor = load_model(start, "float32"), load_processor(start)
    processor.tokenizer.padding_side = "left"
    ends = end_tokens(model, processor)
    kept = Dataset.open(inputs["qa_kept"], "qa_kept").rows_iter()
    prompts = candidates(kept, config.prompts.max_candidates, config.seed, config.prompts.answer_types)

    def right(
        prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **columns: Any
    ) -> list[float]:
        rewards = []
        for i, (completion, ids) in enumerate(zip(completions, completion_ids, strict=True)):
            row = {name: values[i] for name, values in columns.items() if isinstance(values, list)}
            rewards.append(correctness(make_rollout(row, completion[0]["content"], ids, ends), config))
        return rewards

    # Sizes and learning rate are those of the other arms; everything else is TRL's default.
    arguments = GRPOConfig(
        output_dir=str(out / "trainer"),
        seed=config.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_steps=config.max_steps,
        per_device_train_batch_size=config.prompts_per_step * config.group_size,
        num_generations=config.group_size,
        max_completion_length=config.max_completion_tokens,
        learning_rate=config.learning_rate,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
    )
    trainer = GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=[right],
        args=arguments,
        train_dataset=training_set(prompts, ImageStore(Dataset.open(inputs["images"], "images"))),
    )
    trainer.train()
    model.save_pretrained(out / "checkpoint")
    processor.tokenizer.padding_side = "right"
    processor.save_pretrained(out / "checkpoint")
    commit_checkpoint(out / "checkpoint")


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    train(
        Config(**asked["config"]),
        {name: Path(path) for name, path in asked["inputs"].items()},
        Path(asked["out"]),
    )
