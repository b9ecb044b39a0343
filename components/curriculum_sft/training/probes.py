"""Probes: loss of a few samples of every source during training, and their answers before and after.

The trainer's loss is a mean over whatever a batch holds. Probes measure the same rows again and again, so
their curve shows learning and forgetting. They never touch the training: no gradient, no random draw.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback

from components.core.resume.journal import Journal
from components.core.training import adapters
from components.core.vlm import generate
from components.core.vlm.messages import Part, build_conversation, images_in, parts_of, words
from components.curriculum_sft.data.batches import IGNORED, ConversationCollator, Pictures
from components.curriculum_sft.data.samples import Row
from components.curriculum_sft.packing.forward import SEGMENTED

_POINTS = 10
_BATCH = 8
_MAX_NEW_TOKENS = 64
PREFIX = "probe/"


@dataclass(frozen=True)
class Asked:
    """A question of a training row with the answers of the model before and after."""

    row: Row
    question: str
    reference: str
    before: str
    after: str


class Probes(TrainerCallback):
    """Measures a fixed choice of rows at the start, at every tenth of the steps, and at the end.

    Args:
        rows: supervised samples (`messages`) or preference pairs (`prompt`, `chosen`).
        count: rows of each source.
        processor: of the model.
        pictures: encoded images by id.
        journal: keeps the answers before training for a run that is continued.
    """

    def __init__(
        self, rows: Sequence[Row], count: int, processor: Any, pictures: Pictures, journal: Journal
    ) -> None:
        self.chosen = one_in_turn(rows, count)
        self._processor, self._pictures, self._journal = processor, pictures, journal
        self._collate = ConversationCollator(processor, pictures)
        self._trainer: Any = None

    def watch(self, trainer: Any) -> None:
        """Measure in this trainer; rank 0 of a model that every rank holds whole, else nothing."""
        deepspeed = trainer.accelerator.state.deepspeed_plugin if trainer.is_deepspeed_enabled else None
        sharded = getattr(trainer, "is_fsdp_enabled", False) or getattr(deepspeed, "zero_stage", 0) == 3
        if self.chosen and not sharded:
            self._trainer = trainer
            trainer.add_callback(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0 and state.is_world_process_zero and "before" not in self._journal:
            self._journal.put("before", self._answers())
        if state.global_step == 0:
            self._measure(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        every = max(1, state.max_steps // _POINTS)
        if state.global_step % every == 0 or state.global_step == state.max_steps:
            self._measure(state)

    def _measure(self, state: Any) -> None:
        """Add the mean loss of every source's rows to the trainer's log."""
        if not state.is_world_process_zero or "messages" not in self.chosen[0]:
            return
        model = bare(self._trainer)
        batches = [self.chosen[start : start + _BATCH] for start in range(0, len(self.chosen), _BATCH)]
        with inference(model):
            losses = [loss for batch in batches for loss in row_losses(model, self._collate(batch))]
        found: dict[str, list[float]] = {}
        for row, loss in zip(self.chosen, losses, strict=True):
            found.setdefault(PREFIX + row["source"], []).append(loss)
        means = {name: sum(own) / len(own) for name, own in found.items()}
        state.log_history.append({**means, "step": state.global_step})

    def _answers(self) -> list[str]:
        model = bare(self._trainer)
        items = []
        for row in self.chosen:
            question, _ = first_turn(row)
            shown = row["image_ids"][: images_in(question)]
            items.append(([self._pictures.get(image) for image in shown], question))
        with inference(model):
            answered = generate(model, self._processor, items, max_new_tokens=_MAX_NEW_TOKENS)
        return [completions[0].text for completions in answered]

    def asked(self) -> list[Asked]:
        """Every chosen row's first question with both answers; call it when training has ended."""
        before = self._journal.get("before")
        if self._trainer is None or before is None:
            return []
        return [
            Asked(row, words(first_turn(row)[0]), first_turn(row)[1], *answers)
            for row, *answers in zip(self.chosen, before, self._answers(), strict=True)
        ]


def bare(trainer: Any) -> Any:
    """The trainer's model without wrappers; adapters stay, inside its layers."""
    return adapters.bare(trainer.accelerator.unwrap_model(trainer.model))


def one_in_turn(rows: Sequence[Row], count: int) -> list[Row]:
    """The first `count` rows of every source that show one picture at least."""
    taken: dict[str, list[Row]] = {}
    for row in rows:
        own = taken.setdefault(row["source"], [])
        if len(own) < count and row["image_ids"]:
            own.append(row)
    return [row for own in taken.values() for row in own]


def first_turn(row: Row) -> tuple[list[Part], str]:
    """The first question of a sample or a pair as content parts, and the answer that is trained on."""
    if "messages" in row:
        turns = [turn for turn in json.loads(row["messages"]) if turn["role"] != "system"]
    else:
        turns = build_conversation([(row["prompt"], row["chosen"])], len(row["image_ids"]))
    return parts_of(turns[0]), words(parts_of(turns[1]))


@torch.no_grad()
def row_losses(model: Any, batch: dict[str, Any]) -> list[float]:
    """Mean negative log-likelihood of the labelled tokens of every row of a padded batch, in nats a token.

    `batch` comes from a `ConversationCollator`. Called without its labels (B, T), `model` returns the logits
    (B, T, V) alone.
    """
    left_out = ("labels", "sample_ids")
    inputs = {name: value.to(model.device) for name, value in batch.items() if name not in left_out}
    logits = model(**inputs).logits[:, :-1].float()
    targets = batch["labels"][:, 1:].to(logits.device)
    losses = cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none")
    counted = (targets != IGNORED).sum(dim=1).clamp(min=1)
    means: list[float] = (losses.sum(dim=1) / counted).tolist()
    return means


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Evaluation mode, with plain attention in place of that of packs."""
    training = model.training
    switchable = (part for part in model.modules() if hasattr(part, "set_attn_implementation"))
    packed = [part for part in switchable if part.config._attn_implementation == SEGMENTED][:1]
    model.eval()
    for language in packed:
        language.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        for language in packed:
            language.set_attn_implementation(SEGMENTED)
        model.train(training)
