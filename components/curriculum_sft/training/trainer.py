"""What every objective's TRL trainer shares: arguments, sharding, sample order, and a stop at a bad loss."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler

from components.core.stage.errors import ConfigError, DataError
from components.core.training.launch import world_size
from components.core.training.sharding import check_processes, deepspeed_config, join_processes
from components.curriculum_sft.config import Config
from components.curriculum_sft.data.batches import ConversationCollator, Pictures
from components.curriculum_sft.data.samples import Row
from components.curriculum_sft.training.model import adapter_config, trainable_model
from components.curriculum_sft.training.optimizer import MuonAdamW, optimizer_for
from components.curriculum_sft.training.order import FollowEpoch, LengthGroupedOrder


@dataclass(frozen=True)
class Setup:
    """What a trainer is made from."""

    start: Path
    """Checkpoint to train."""
    processor: Any
    rows: list[Row]
    """Checked samples or pairs (see `checks.partition`)."""
    pictures: Pictures
    config: Config
    """Settings of the phase."""
    directory: Path
    """For the trainer's checkpoints."""
    teacher: Path | None = None
    """Checkpoint that distillation comes back to; None: `start`."""

    def collator(self) -> ConversationCollator:
        """Makes batches of samples; sharded ranks use the vision tower all together."""
        return ConversationCollator(self.processor, self.pictures, stand_in=self.config.sharding != "none")


class LossGuard:
    """Stops a run at a loss that is not finite, or above `max_ratio` (0: off) times the running median."""

    WINDOW, FEWEST = 50, 10
    """Losses that the median is taken over, and how many there must be before it counts."""

    def __init__(self, max_ratio: float) -> None:
        self._max_ratio = max_ratio
        self._last: deque[float] = deque(maxlen=self.WINDOW)

    def check(self, loss: float, sample_ids: list[str]) -> None:
        """Raise DataError with the ids of the batch's samples, if its loss is a reason to stop."""
        advice = f"lower the learning rate or look at the samples {sample_ids}"
        if not math.isfinite(loss):
            raise DataError(f"the loss is {loss}; {advice}")
        if self._max_ratio and len(self._last) >= self.FEWEST:
            median = statistics.median(self._last)
            if loss > self._max_ratio * median:
                raise DataError(
                    f"the loss is {loss:.4g}, more than max_loss_ratio ({self._max_ratio:g}) times the "
                    f"running median of {median:.4g}; {advice}"
                )
        self._last.append(loss)


class StageTrainerMixin:
    """Gives a TRL trainer the settings' optimizer, a reproducible order and a stop at a bad loss.

    Args:
        settings: of the phase.
        arguments: TRL's own.
    """

    def __init__(self, *, settings: Config, **arguments: Any) -> None:
        self.settings, self.guard, self.tokens_seen = settings, LossGuard(settings.max_loss_ratio), 0
        super().__init__(**arguments)

    def create_optimizer(self, model: Any = None) -> Any:
        """The settings' optimizer, over what is trained: adapters, where there are any."""
        if self.optimizer is None:  # type: ignore[has-type]
            trained = self.model if model is None else model  # type: ignore[attr-defined]
            self.optimizer = optimizer_for(trained, self.settings)
        return super().create_optimizer(model)  # type: ignore[misc]

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        sample_ids = inputs.pop("sample_ids")
        self.tokens_seen += int(inputs["attention_mask"].sum())
        loss: torch.Tensor = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        self.guard.check(loss.item(), sample_ids)
        return loss

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        optimizer = self.optimizer
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


def trainer_parts(setup: Setup) -> dict[str, Any]:
    """Keyword arguments of every trainer: settings, the model to train, its processor and its adapters."""
    model = trainable_model(setup.start, setup.config)
    return {
        "settings": setup.config,
        "model": model,
        "processing_class": setup.processor,
        "peft_config": adapter_config(model, setup.config),
    }


def trainer_arguments(setup: Setup) -> dict[str, Any]:
    """Keyword arguments of every trainer's configuration.

    Raises:
        ConfigError: sharding or activation offloading is configured but cannot be had.
    """
    config = setup.config
    check_processes(config.sharding, "curriculum_sft")
    sharding = deepspeed_config(config.sharding, "curriculum_sft")
    joined = join_processes(config.sharding)
    gpu = torch.cuda.is_available()
    auto = config.weight_type == "bfloat16" or (gpu and torch.cuda.is_bf16_supported())
    offloading = {}
    if config.activation_offloading:
        if not gpu:
            raise ConfigError("curriculum_sft.activation_offloading: needs a GPU; unset it")
        offloading["activation_offloading"] = True
    least = {"min_lr_rate": config.final_rate_share} if config.final_rate_share else None
    schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
    return {
        "output_dir": str(setup.directory),
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine_with_min_lr" if least else schedule,
        "lr_scheduler_kwargs": least,
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
        "use_cpu": joined or not gpu,
        "seed": config.seed,
        "data_seed": config.seed,
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
        **offloading,
    }


def samples_per_step(config: Config) -> int:
    """Samples (or packs, or pairs) in one optimizer step, over all processes."""
    return config.batch_samples * config.accumulation_steps * world_size()
