"""On-policy distillation with TRL: the model answers general questions, a teacher scores each token.

Loss: reverse KL divergence to the teacher on the student's own answers (MiniLLM, arXiv 2306.08543;
GKD, arXiv 2306.13649 eq. 4 with lambda = 1). The teacher is the model before domain training: distillation
restores what that training overwrote (Thinking Machines, "On-Policy Distillation", 2025). The divergence
covers the whole vocabulary, not the sampled token alone: the same gradient in the mean, with less variance.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers.integrations import is_deepspeed_zero3_enabled
from trl import DistillationConfig, DistillationTrainer

from components.core.data.hashing import rng_for, seed_for
from components.core.stage.errors import DataError
from components.core.training.adapters import bare as without_adapters
from components.core.vllm.rollouts import colocated, first_step_of
from components.core.vlm import generate, load_model, open_image
from components.core.vlm.messages import images_in, parts_of, words
from components.core.vlm.model import told_pictures
from components.curriculum_sft.data.batches import IGNORED, ConversationCollator, Pictures
from components.curriculum_sft.data.mixture import GENERAL, mix
from components.curriculum_sft.data.samples import Row
from components.curriculum_sft.training.order import GenerationOrder, LengthGroupedOrder
from components.curriculum_sft.training.probes import bare, inference
from components.curriculum_sft.training.trainer import (
    Setup,
    StageTrainerMixin,
    samples_per_step,
    trainer_arguments,
    trainer_parts,
)


def questions_of(rows: Iterable[Row], limit: int, seed: int) -> list[Row]:
    """Questions to distil on: every answer of a sample becomes one, after the turns before it.

    Args:
        rows: checked samples: `messages` (JSON), `image_ids`, `length`, `sample_id`.
        limit: most questions, drawn evenly over samples; 0 for all.
        seed: of the draw.

    Returns:
        Rows {sample_id, messages, image_ids, reference, length}. `messages` end with a user turn.
        `image_ids` are the pictures shown up to it. `reference` is the sample's own answer, `length` the
        whole sample's (an upper bound).
    """
    by_rank: dict[int, list[Row]] = {}
    for row in rows:
        turns = json.loads(row["messages"])
        answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant" and place]
        order = rng_for("questions", seed, row["sample_id"]).permutation(len(answers))
        for rank, chosen in enumerate(order):
            before = turns[: answers[chosen]]
            shown = sum(images_in(parts_of(turn)) for turn in before)
            by_rank.setdefault(rank, []).append(
                {
                    "sample_id": f"{row['sample_id']}/{chosen}",
                    "messages": json.dumps(before, ensure_ascii=False),
                    "image_ids": row["image_ids"][:shown],
                    "reference": words(parts_of(turns[answers[chosen]])),
                    "length": row["length"],
                }
            )
    found = [row for rank in sorted(by_rank) for row in by_rank[rank]]
    return found[:limit] if limit else found


class Supervised:
    """Samples trained on by likelihood beside the questions: a pure function of step and rank.

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
        """A batch by its number over all passes and ranks; the next epoch follows the last sample."""
        per_epoch = max(1, len(self._rows) // self._count)
        self._order.epoch = number // per_epoch
        start = number % per_epoch * self._count
        chosen = [self._rows[i] for i in islice(iter(self._order), start, start + self._count)]
        return self._collate(chosen)


class StageDistillationTrainer(StageTrainerMixin, DistillationTrainer):
    """TRL's trainer with rollouts seeded by their place, and supervised samples beside the questions."""

    def __init__(
        self,
        *,
        lengths: Sequence[int],
        supervised: Supervised | None,
        weight: float,
        max_logprob_difference: float = math.inf,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        setting = "curriculum_sft.distillation.max_logprob_difference"
        self.first_step = first_step_of(self, self.processing_class, max_logprob_difference, setting)
        self._scored: torch.Tensor | None = None  # tokens whose log-probabilities are wanted
        self._logps: torch.Tensor | None = None
        self._lengths, self._supervised, self._weight = lengths, supervised, weight
        self._rows: list[Row] = []
        self._batch: dict[str, Any] | None = None
        self._pictures: Sequence[int] | None = None  # of every row of the pass

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
        output = dict(super()._generate_and_score_completions(inputs))
        if self.first_step is not None and self.first_step.due:
            output["sampled_logps"] = self.first_step.padded(output["completion_ids"].shape[1])
        return output

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
            batch.pop("sample_ids")
            batch = {name: value.to(self.accelerator.device) for name, value in batch.items()}
            tokens = self.accelerator.gather((batch["labels"][:, 1:] != IGNORED).sum()).sum()
            # DDP takes the mean over the ranks, and every pass is a part of the step.
            self._batch = {**batch, "num_items_in_batch": tokens * passes / ranks}
            self.tokens_seen += int(batch["attention_mask"].sum())
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self.first_step is not None and self._logps is not None:
            self.first_step.compare(inputs["sampled_logps"], self._logps, self.model)
            self._logps = None
        return loss

    def _get_last_hidden_state(self, unwrapped_model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        backbone = without_adapters(unwrapped_model).base_model
        with told_pictures(backbone, self._pictures):
            hidden: torch.Tensor = super()._get_last_hidden_state(unwrapped_model, *args, **kwargs)
        if self._scored is not None:  # the student comes before the teacher
            self._logps = token_logps(unwrapped_model, hidden, self._scored, self.temperature)
            self._scored = None
        return hidden

    def _compute_loss(self, unwrapped_student: Any, inputs: Any, num_items_in_batch: Any) -> Any:
        self._pictures = inputs.get("num_images")
        if self.first_step is not None and self.first_step.due:
            self._scored = inputs["completion_ids"]
        loss, entropy, tokens = super()._compute_loss(unwrapped_student, inputs, num_items_in_batch)
        self.tokens_seen += int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum())
        if self._batch is not None:
            batch, self._batch = self._batch, None
            self._metrics["train"]["divergence"].append(loss.item())
            loss = loss + self._weight * unwrapped_student(**batch).loss
        return loss, entropy, tokens


@torch.no_grad()
def token_logps(model: Any, hidden: torch.Tensor, tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """Log-probabilities of tokens, shape (B, T), row by row: all logits at once would fill the memory.

    Args:
        model: whose head and settings are used.
        hidden: last hidden states of the positions that predict the tokens, shape (B, T, features).
        tokens: ids, shape (B, T).
        temperature: that they were sampled at.
    """
    head = model.get_output_embeddings()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    found = []
    for states, ids in zip(hidden, tokens, strict=True):
        logits = head(states.to(head.weight.dtype)).float()
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        chosen = torch.log_softmax(logits / temperature, dim=-1).gather(-1, ids[:, None])
        found.append(chosen[:, 0])
    return torch.stack(found)


def distillation_trainer(setup: Setup) -> StageDistillationTrainer:
    """A trainer for the questions of general samples, with samples trained on by likelihood beside them.

    Raises:
        DataError: there is no general sample to distil on, or not enough for one step.
    """
    config, settings = setup.config, setup.config.distillation
    sharded = config.sharding != "none"
    domain = [row for row in setup.rows if row["source"] != GENERAL]
    general = [row for row in setup.rows if row["source"] == GENERAL]
    # Sharded ranks use the vision tower all together or not at all.
    asked_of = [row for row in general if row["image_ids"] or not sharded]
    asked = questions_of(asked_of, settings.max_questions, config.seed)
    if len(asked) < samples_per_step(config):
        raise DataError(
            f"{len(asked)} general questions{' with pictures' if sharded else ''} are fewer than one step "
            f"takes ({samples_per_step(config)}); give more general_data, or lower batch_samples"
        )
    supervised = None
    if settings.supervised_samples:
        mixed = mix(
            domain, general, domain_share=config.domain_share, seed=config.seed, mixture=config.mixture
        )
        supervised = Supervised(mixed, setup.collator(), settings.supervised_samples, config.seed)
    arguments = DistillationConfig(
        **trainer_arguments(setup),
        beta=settings.beta,
        temperature=settings.temperature,
        max_completion_length=settings.max_new_tokens,
        use_vllm=settings.rollout == "vllm",
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=settings.gpu_memory_utilization,
        vllm_tensor_parallel_size=settings.tensor_parallel_size,
        vllm_max_model_length=settings.max_model_tokens,
        vllm_enable_sleep_mode=settings.rollout == "vllm" and settings.sleep and torch.cuda.is_available(),
    )
    engine: AbstractContextManager[None] = nullcontext()
    if settings.rollout == "vllm":
        dtype = "bfloat16" if arguments.bf16 else "float32"
        engine = colocated(settings, setup.start, dtype, "curriculum_sft.distillation")
    parts = trainer_parts(setup)
    # TRL pads prompts on the left itself but takes token types as the processor pads them.
    parts["processing_class"] = copy.deepcopy(parts["processing_class"])
    parts["processing_class"].tokenizer.padding_side = "left"
    with engine:
        return StageDistillationTrainer(
            lengths=[row["length"] for row in asked],
            supervised=supervised,
            weight=settings.supervised_weight,
            max_logprob_difference=settings.max_logprob_difference,
            teacher_model=load_model(setup.teacher or setup.start, config.weight_type, attn=config.attention),
            args=arguments,
            train_dataset=question_set(asked, setup.pictures),
            **parts,
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
