"""What all objectives share: the model to train, the trainer's arguments, the loop that survives a kill."""

from __future__ import annotations

import logging
import math
import shutil
import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PrinterCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from components.core.stage.errors import ConfigError, DataError
from components.core.training.callbacks import Progress, StopOnSignal
from components.core.training.checkpoints import CommitCheckpoints, cpu_ranks_load, newest_committed
from components.core.training.launch import world_size
from components.core.vlm import load_model
from components.curriculum_sft.config import Config
from components.curriculum_sft.distributed import (
    SAMPLES_PER_STEP,
    check_same_run,
    deepspeed_config,
    join_processes,
    samples_per_step,
)
from components.curriculum_sft.optimizer import MuonAdamW
from components.curriculum_sft.order import FollowEpoch, LengthGroupedOrder
from components.curriculum_sft.parts import freeze_parts


@dataclass(frozen=True)
class Fitted:
    """A finished training run."""

    history: list[dict[str, float]]
    """The trainer's log, one entry every `log_steps`, from the first step on however often the run was resumed."""
    steps: int
    tokens_per_s: float
    """Tokens trained on in a second by this process; 0 if a finished run was only reloaded."""
    tokens: int = 0
    """Tokens trained on by this process since it began or continued."""


class LossGuard:
    """Tells a loss that a run should not go on with: not finite, or far above what it has been.

    Args:
        max_ratio: largest multiple of the median of the last losses; 0 for none.
    """

    WINDOW, FEWEST = 50, 10
    """Losses that the median is taken over, and how many there must be before it counts."""

    def __init__(self, max_ratio: float) -> None:
        self._max_ratio = max_ratio
        self._last: deque[float] = deque(maxlen=self.WINDOW)

    def check(self, loss: float, sample_ids: list[str]) -> None:
        """Look at the loss of one batch.

        Raises:
            DataError: with the ids of the batch's samples.
        """
        advice = f"lower the learning rate or look at the samples {sample_ids}"
        if not math.isfinite(loss):
            raise DataError(f"the loss is {loss}; {advice}")
        if self._max_ratio and len(self._last) >= self.FEWEST:
            median = statistics.median(self._last)
            if loss > self._max_ratio * median:
                raise DataError(
                    f"the loss is {loss:.4g}, more than max_loss_ratio ({self._max_ratio:g}) times the running "
                    f"median of {median:.4g}; {advice}"
                )
        self._last.append(loss)


class StageTrainerMixin:
    """What a TRL trainer gets here: a reproducible order, a stop with sample ids at a bad loss, sharded states saved."""

    tokens_seen = 0
    guard = LossGuard(0.0)

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        sample_ids = inputs.pop("sample_ids")
        self.tokens_seen += int(inputs["attention_mask"].sum())
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        self.guard.check(loss.item(), sample_ids)
        return loss

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        optimizer = self.optimizer  # type: ignore[attr-defined]
        inner = getattr(optimizer, "optimizer", optimizer)  # without accelerate's wrapper
        if isinstance(inner, MuonAdamW):
            inner.gather_states()
        super()._save_optimizer_and_scheduler(output_dir)  # type: ignore[misc]

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset = train_dataset if train_dataset is not None else self.train_dataset  # type: ignore[attr-defined]
        order = self._order(dataset)
        self.add_callback(FollowEpoch(order))  # type: ignore[attr-defined]
        return order

    def _order(self, dataset: Any) -> LengthGroupedOrder:
        args = self.args  # type: ignore[attr-defined]
        return LengthGroupedOrder(dataset["length"], args.train_batch_size * args.world_size, args.seed)


def trainable_model(path: Path, config: Config) -> Any:
    """Load a checkpoint for training, in float32, with the configured parts frozen."""
    model = load_model(path, dtype="float32", attn=config.attention)
    freeze_parts(model, config.freeze)
    return model


def adapter_config(config: Config) -> Any:
    """The peft configuration of `config.lora`, None without one.

    Raises:
        ConfigError: adapters are configured but peft is not installed.
    """
    if config.lora is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ConfigError(
            "curriculum_sft.lora: needs the package peft; install it or remove the setting"
        ) from error
    lora = config.lora
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
                      target_modules=list(lora.target_modules), task_type="CAUSAL_LM")  # fmt: skip


def trainer_arguments(config: Config, directory: Path) -> dict[str, Any]:
    """Keyword arguments that the trainers' configurations have in common."""
    if config.sharding != "none" and world_size() == 1:
        raise ConfigError(
            "curriculum_sft.sharding: needs several processes; set processes, or sharding to none"
        )
    sharding = deepspeed_config(config)
    joined = join_processes(config)
    gpu = torch.cuda.is_available()
    auto = gpu and torch.cuda.is_bf16_supported()
    return {
        "output_dir": str(directory),
        "learning_rate": config.learning_rate,
        **_schedule(config),
        "warmup_steps": config.warmup_share,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "num_train_epochs": config.epochs,
        "max_steps": config.max_steps or -1,
        "per_device_train_batch_size": config.batch_samples,
        "gradient_accumulation_steps": config.accumulation_steps,
        "bf16": auto if config.precision == "auto" else config.precision == "bfloat16",
        "gradient_checkpointing": config.gradient_checkpointing,
        "deepspeed": sharding,
        "accelerator_config": {"use_configured_state": joined},
        "use_cpu": joined,
        "seed": config.seed,
        "data_seed": config.seed,
        "max_length": None,
        "remove_unused_columns": False,
        "dataloader_num_workers": config.loader_workers,
        "dataloader_pin_memory": gpu,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        # One more than asked for: the trainer deletes the oldest before the newest is sealed.
        "save_total_limit": config.keep_last + 1,
        "logging_steps": config.log_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "report_to": list(config.trackers) or "none",
        "disable_tqdm": True,
    }


def _schedule(config: Config) -> dict[str, Any]:
    if config.final_rate_share:
        return {
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr_rate": config.final_rate_share},
        }
    return {"lr_scheduler_type": "constant_with_warmup" if config.schedule == "constant" else config.schedule}


def fit(
    trainer: Any, directory: Path, config: Config, provenance: dict[str, Any], log: logging.Logger
) -> Fitted:
    """Train to the end, from the newest committed checkpoint in `directory` if there is one.

    Raises:
        StageError: a signal stopped the run; it was saved, and the same command continues it.
        DataError: the loss is not finite, or exploded; the message names the samples.
        ConfigError: the checkpoint is another run's, or another global batch's.
    """
    if config.sharding != "none" and not trainer.is_deepspeed_enabled:
        raise ConfigError(
            "curriculum_sft.sharding: the trainer runs without DeepSpeed; see accelerate's settings"
        )
    per_step = samples_per_step(config)
    trainer.guard = LossGuard(config.max_loss_ratio)
    cpu_ranks_load()
    newest = newest_committed(directory, log)
    if newest is not None:
        check_same_run(newest, provenance, per_step)
        state = TrainerState.load_from_json(str(newest / TRAINER_STATE_NAME))
        log.info("continuing", extra={"step": state.global_step, "of": state.max_steps})
        if state.global_step >= state.max_steps:
            trainer._load_from_checkpoint(str(newest))
            return Fitted(state.log_history, state.global_step, 0.0)
    stop = StopOnSignal(log)
    progress = Progress(config.objective, log, lambda: trainer.tokens_seen)
    trainer.remove_callback(PrinterCallback)
    for callback in (CommitCheckpoints(provenance, {SAMPLES_PER_STEP: per_step}), progress, stop):
        trainer.add_callback(callback)
    with stop.installed():
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    state = trainer.state
    stop.raise_if_early(state)
    speed = trainer.tokens_seen / max(progress.seconds, 1e-9)
    return Fitted(state.log_history, state.global_step, speed, trainer.tokens_seen)


def save_model(trainer: Any, processor: Any, output: Path) -> None:
    """Write the trained weights (adapters merged), the processor and the tokenizer; every rank has to call it."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    # Weights that are spread over the ranks have to be brought together first.
    whole = (
        trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_deepspeed_enabled else None
    )
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    shutil.rmtree(output, ignore_errors=True)
    model.save_pretrained(output, state_dict=whole)
    processor.save_pretrained(output)
