"""On-policy distillation with TRL: the model answers general questions, a teacher says how likely each token was to it.

Reverse KL divergence to the teacher on the student's own answers (MiniLLM, arXiv 2306.08543; GKD, arXiv 2306.13649
eq. 4 with lambda = 1). With the model before domain training as the teacher it restores what that training overwrote
(Thinking Machines, "On-Policy Distillation", 2025). Over the whole vocabulary instead of the sampled token alone: the
same gradient in the mean, with less variance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers.integrations import is_deepspeed_zero3_enabled
from trl import DistillationConfig, DistillationTrainer

from components.core.data.hashing import seed_for
from components.core.vlm import generate, load_model, open_image
from components.curriculum_sft.collator import IGNORED, ConversationCollator, Pictures
from components.curriculum_sft.config import Config
from components.curriculum_sft.optimizer import optimizer_for
from components.curriculum_sft.order import LengthGroupedOrder
from components.curriculum_sft.probes import bare, inference
from components.curriculum_sft.samples import Row
from components.curriculum_sft.training import (
    StageTrainerMixin,
    adapter_config,
    trainable_model,
    trainer_arguments,
)


class GenerationOrder(LengthGroupedOrder):
    """A generation's questions, as often as it has forward passes; an incomplete last generation is left out.

    Args:
        lengths: tokens of each question's sample.
        generation: questions of one step, over all ranks and forward passes.
        passes: forward passes of one step; TRL hands each of them the whole generation.
        seed: of the shuffles.
    """

    def __init__(self, lengths: Sequence[int], generation: int, passes: int, seed: int) -> None:
        super().__init__(lengths, generation, seed)
        self._passes = passes

    def __len__(self) -> int:
        return super().__len__() // self._batch * self._batch * self._passes

    def __iter__(self) -> Iterator[int]:
        order = super().__iter__()
        while len(generation := list(islice(order, self._batch))) == self._batch:
            for _ in range(self._passes):
                yield from generation


class Supervised:
    """Samples that are trained on by likelihood beside the questions: a pure function of the step and the rank.

    Args:
        rows: checked samples.
        collate: makes a batch of them.
        count: samples of one forward pass of one rank.
        seed: of their order.
    """

    def __init__(self, rows: Sequence[Row], collate: ConversationCollator, count: int, seed: int) -> None:
        self._rows, self._collate, self._count = rows, collate, count
        self._order = LengthGroupedOrder([row["length"] for row in rows], count, seed)

    def batch(self, number: int) -> dict[str, Any]:
        """The batch of this number, over all passes and ranks; after the last sample the next epoch begins."""
        per_epoch = max(1, len(self._rows) // self._count)
        self._order.epoch = number // per_epoch
        start = number % per_epoch * self._count
        chosen = [self._rows[i] for i in islice(iter(self._order), start, start + self._count)]
        return self._collate([{**row, "images": row["image_ids"]} for row in chosen])


class StageDistillationTrainer(StageTrainerMixin, DistillationTrainer):
    """TRL's trainer with rollouts that belong to their place in the batch, and supervised samples beside the questions."""

    def __init__(
        self, *, lengths: Sequence[int], supervised: Supervised | None, weight: float, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self._lengths, self._supervised, self._weight = lengths, supervised, weight
        self._rows: list[Row] = []
        self._batch: dict[str, Any] | None = None

    def _order(self, train_dataset: Any) -> LengthGroupedOrder:
        args = self.args
        generation = args.train_batch_size * args.world_size * args.gradient_accumulation_steps
        return GenerationOrder(self._lengths, generation, args.gradient_accumulation_steps, args.seed)

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        sample_ids = [row["sample_id"] for row in inputs]
        loss: torch.Tensor = DistillationTrainer.training_step(self, model, inputs, *args, **kwargs)
        self.guard.check(loss.item(), sample_ids)
        return loss

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        self._rows = inputs
        return dict(super()._generate_and_score_completions(inputs))

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, has_tool_images: bool = False
    ) -> Any:
        args = (prompt_ids, images, multimodal_fields, has_tool_images)
        if self.use_vllm or is_deepspeed_zero3_enabled() or self.is_fsdp_enabled:
            return super()._generate_single_turn(*args)  # TRL knows how to bring spread weights together
        model = bare(self)
        if getattr(model, "is_gradient_checkpointing", False):
            return super()._generate_single_turn(*args)
        with inference(model), self.accelerator.autocast():
            sampled = generate(
                model,
                self.processing_class,
                [(row["images"], row["prompt"]) for row in self._rows],
                max_new_tokens=self.max_completion_length,
                temperature=self.temperature,
                batch_size=len(self._rows),
                draws_of=self._draws,
            )
        return [list(completions[0].ids) for completions in sampled]

    def _draws(self, row: int) -> np.ndarray:
        """Random numbers of one answer, (1, tokens) in [0, 1): the same however many ranks share a step."""
        place = self.accelerator.process_index * len(self._rows) + row
        seed = seed_for(self.args.seed, "distil", self.state.global_step, place)
        return np.random.default_rng(seed).random((1, self.max_completion_length))

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self._supervised is not None:
            passes = self.args.gradient_accumulation_steps
            number = self.state.global_step * passes + self._step % passes
            ranks = self.accelerator.num_processes
            batch = self._supervised.batch(number * ranks + self.accelerator.process_index)
            batch = {name: value for name, value in batch.items() if name != "sample_ids"}
            batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
            tokens = self.accelerator.gather((batch["labels"][:, 1:] != IGNORED).sum()).sum()
            # DDP takes the mean over the ranks, and every pass is a part of the step.
            self._batch = {**batch, "num_items_in_batch": tokens * passes / ranks}
            self.tokens_seen += int(batch["attention_mask"].sum())
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _compute_loss(self, unwrapped_student: Any, inputs: Any, num_items_in_batch: Any) -> Any:
        loss, entropy, tokens = super()._compute_loss(unwrapped_student, inputs, num_items_in_batch)
        self.tokens_seen += int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum())
        if self._batch is not None:
            batch, self._batch = self._batch, None
            self._metrics["train"]["divergence"].append(loss.item())
            loss = loss + self._weight * unwrapped_student(**batch).loss
        return loss, entropy, tokens


def distillation_trainer(
    start: Path,
    teacher: Path,
    processor: Any,
    asked: list[Row],
    supervised: list[Row],
    pictures: Pictures,
    config: Config,
    directory: Path,
) -> StageDistillationTrainer:
    """A trainer for checked questions and samples.

    Args:
        start: checkpoint to train.
        teacher: checkpoint to come back to.
        processor: the student's processor.
        asked: general questions (see `questions.questions`).
        supervised: samples trained on by likelihood beside them; may be empty.
        pictures: encoded images by id.
        config: the stage's settings.
        directory: where the trainer keeps its checkpoints.
    """
    settings = config.distillation
    arguments = DistillationConfig(
        **{
            name: value
            for name, value in trainer_arguments(config, directory).items()
            if name != "max_length"
        },
        beta=settings.beta,
        temperature=settings.temperature,
        max_completion_length=settings.max_new_tokens,
        use_vllm=settings.rollout == "vllm",
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=settings.gpu_memory_utilization,
        vllm_enable_sleep_mode=settings.rollout == "vllm",
    )
    model = trainable_model(start, config)
    rows = None
    if settings.supervised_samples and supervised:
        collate = ConversationCollator(processor, pictures, stand_in=config.sharding != "none")
        rows = Supervised(supervised, collate, settings.supervised_samples, config.seed)
    return StageDistillationTrainer(
        lengths=[row["length"] for row in asked],
        supervised=rows,
        weight=settings.supervised_weight,
        model=model,
        teacher_model=load_model(teacher, dtype="float32", attn=config.attention),
        args=arguments,
        train_dataset=question_set(asked, pictures),
        processing_class=processor,
        peft_config=adapter_config(config),
        optimizers=(optimizer_for(model, config), None),
    )


def question_set(asked: Sequence[Row], pictures: Pictures) -> Dataset:
    """Questions as TRL reads them; pictures are decoded when a row is fetched."""
    columns = ("sample_id", "messages", "image_ids")
    dataset = Dataset.from_list([{name: row[name] for name in columns} for row in asked])

    def fetch(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {
            "sample_id": batch["sample_id"],
            "prompt": [json.loads(messages) for messages in batch["messages"]],
            "images": [[open_image(pictures.get(i)) for i in ids] for ids in batch["image_ids"]],
        }

    dataset.set_transform(fetch)
    return dataset
