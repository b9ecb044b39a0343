"""Supervised fine-tuning (SFT) of a vision-language model with TRL: padded batches, or packs."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler
from trl import SFTConfig, SFTTrainer

from components.core.stage.errors import ConfigError
from components.core.training.launch import world_size
from components.core.vlm.families import family_of, refuse
from components.curriculum_sft.packing.forward import PackCollator, flatten, use_packed_attention
from components.curriculum_sft.packing.plan import packs_of
from components.curriculum_sft.packing.questions import QuestionCollator, separated
from components.curriculum_sft.training.trainer import (
    Setup,
    StageTrainerMixin,
    trainer_arguments,
    trainer_parts,
)


class StageSFTTrainer(StageTrainerMixin, SFTTrainer):
    """TRL's SFT trainer in the stage's order, with its stop at a bad loss."""


class PackedSFTTrainer(StageSFTTrainer):
    """Trains on packs, in the order in which they were planned."""

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs = super()._prepare_inputs(inputs)
        if "attention_mask" not in inputs:
            return inputs  # flattened already
        return flatten(inputs, _rope_index(self.model))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)


class SeparateSFTTrainer(StageSFTTrainer):
    """Trains on conversations whose questions do not see each other."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(model, separated(inputs, _rope_index(self.model)), *args, **kwargs)


def _rope_index(model: Any) -> Any:
    """The `get_rope_index` of the model inside adapters and wrappers; None where its positions are plain."""
    return next((m.get_rope_index for m in model.modules() if hasattr(m, "get_rope_index")), None)


def sft_trainer(setup: Setup) -> StageSFTTrainer:
    """A trainer for samples; its loss is the mean negative log-likelihood of the assistant's tokens."""
    config = setup.config
    # TRL knows a vision dataset by its column `images`; here it holds ids, which the collator resolves.
    columns = [{"sample_id": row["sample_id"], "messages": row["messages"], "images": row["image_ids"],
                "source": row["source"], "length": row["length"]} for row in setup.rows]  # fmt: skip
    arguments = trainer_arguments(setup) | {
        "max_length": None,
        "router_aux_loss_coef": config.router_aux_loss,
    }
    collate: Any = setup.collator()
    kind: type[StageSFTTrainer] = StageSFTTrainer
    if config.pack_tokens:
        refuse(setup.start, "packing", "curriculum_sft.pack_tokens")
        packs = packs_of(setup.rows, config, ranks=world_size())
        collate, kind = PackCollator(collate, columns), PackedSFTTrainer
        columns = [{"pack": pack, "images": []} for pack in packs]
        arguments["num_train_epochs"] = 1  # the plan holds the packs of every epoch
    elif config.separate_questions != "none":
        refuse(setup.start, "packing", "curriculum_sft.separate_questions")
        sources = None if config.separate_questions == "all" else frozenset({"domain"})
        collate, kind = QuestionCollator(collate, sources), SeparateSFTTrainer
    settings = SFTConfig(**arguments)  # first: it joins the processes, and chooses this one's GPU
    parts = trainer_parts(setup)
    if config.pack_tokens:
        use_packed_attention(parts["model"], config.attention)
    if kind is SeparateSFTTrainer and not family_of(parts["model"]).multi_rotary:
        raise ConfigError(
            "curriculum_sft.separate_questions: needs a model of Qwen's families; set it to none"
        )
    trainer = kind(args=settings, data_collator=collate, train_dataset=Dataset.from_list(columns), **parts)
    # Most families claim to take no token count, but TRL's loss needs one. Without it every rank and every
    # accumulated pass would count alike, however many tokens it supervises.
    trainer.model_accepts_loss_kwargs = True
    return trainer
