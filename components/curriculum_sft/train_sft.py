"""Supervised fine-tuning of a vision-language model with TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from components.curriculum_sft.collator import ConversationCollator, Pictures
from components.curriculum_sft.config import Config
from components.curriculum_sft.optimizer import MuonAdamW
from components.curriculum_sft.samples import Row
from components.curriculum_sft.training import (
    StageTrainerMixin,
    adapter_config,
    trainable_model,
    trainer_arguments,
)


class StageSFTTrainer(StageTrainerMixin, SFTTrainer):
    """TRL's SFT trainer in the stage's order, stopping at a loss that is not finite."""


def sft_trainer(
    start: Path, processor: Any, rows: list[Row], pictures: Pictures, config: Config, directory: Path
) -> StageSFTTrainer:
    """A trainer for checked samples.

    Args:
        start: checkpoint to train.
        processor: its processor.
        rows: rows of `samples` with their `length` in tokens (see `checks.partition`).
        pictures: encoded images by id.
        config: the stage's settings.
        directory: where the trainer keeps its checkpoints.
    """
    # TRL knows a vision dataset by its column `images`; here it holds ids, which the collator resolves.
    columns = [{"sample_id": row["sample_id"], "messages": row["messages"], "images": row["image_ids"],
                "length": row["length"]} for row in rows]  # fmt: skip
    model = trainable_model(start, config)
    optimizer = None
    if config.optimizer == "muon":
        optimizer = MuonAdamW(model, config.learning_rate, config.muon_learning_rate, config.weight_decay)
    return StageSFTTrainer(
        model=model,
        args=SFTConfig(**trainer_arguments(config, directory)),
        data_collator=ConversationCollator(processor, pictures),
        train_dataset=Dataset.from_list(columns),
        processing_class=processor,
        peft_config=adapter_config(config),
        optimizers=(optimizer, None),
    )
