"""Settings of the stage in TRL's terms."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from components.core.stage.errors import ConfigError
from components.core.training.sharding import check_processes, deepspeed_config, join_processes
from components.core.vllm.rollouts import colocated, served
from components.hybrid_rl.config import Config
from components.hybrid_rl.losses import TRL_LOSSES


def shared_out(config: Config, processes: int) -> tuple[int, int]:
    """Rollouts of one process in one update, and in one forward pass.

    Raises:
        ConfigError: a generation's rollouts cannot be shared out evenly over processes and micro batches.
    """
    total = config.prompts_per_step * config.group_size
    share, rest = divmod(total, processes * config.updates_per_generation)
    micro = config.micro_batch_rollouts or share
    if rest or share % micro:
        raise ConfigError(
            f"hybrid_rl: prompts_per_step x group_size = {total} rollouts do not divide over {processes} "
            f"processes, {config.updates_per_generation} updates_per_generation and micro batches of {micro}"
        )
    return share, micro


def grpo_config(
    config: Config, output_dir: str, processes: int, vision_tokens: Mapping[str, int]
) -> GRPOConfig:
    """Our settings in TRL's terms.

    `vision_tokens` are ids by name of tokens that no response may contain. TRL itself bans the image token
    alone, and nothing under vLLM.

    With ZeRO-3, models that are loaded after this call are spread over the processes.

    Raises:
        ConfigError: a generation's rollouts cannot be shared out evenly over processes and micro batches, or
            sharding cannot be had.
    """
    share, micro = shared_out(config, processes)
    check_processes(config.sharding, "hybrid_rl")
    sharding = deepspeed_config(config.sharding, "hybrid_rl")
    joined = join_processes(config.sharding)
    on_gpu = torch.cuda.is_available()
    half = on_gpu or config.weight_type == "bfloat16"
    loss, level = TRL_LOSSES["dapo" if config.loss == "auto" else config.loss]
    vllm = config.vllm
    engine: dict[str, Any] = {"generation_kwargs": {"suppress_tokens": sorted(vision_tokens.values())}}
    if config.rollout == "vllm":
        engine = {
            "use_vllm": True,
            "generation_kwargs": {"bad_words": sorted(vision_tokens)},
            "vllm_mode": vllm.mode,
            "vllm_server_base_url": vllm.server_base_url,
            "vllm_gpu_memory_utilization": vllm.gpu_memory_utilization,
            "vllm_tensor_parallel_size": vllm.tensor_parallel_size,
            "vllm_max_model_length": vllm.max_model_tokens,
            "vllm_enable_sleep_mode": vllm.sleep and vllm.mode == "colocate" and on_gpu,
        }
    return GRPOConfig(
        output_dir=output_dir,
        seed=config.seed,
        use_cpu=not on_gpu,
        bf16=half if config.dtype == "auto" else config.dtype == "bfloat16",
        deepspeed=sharding,
        accelerator_config={"use_configured_state": joined},
        gradient_checkpointing=config.gradient_checkpointing,
        max_steps=config.max_steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share // micro,
        steps_per_generation=config.updates_per_generation * (share // micro),
        num_generations=config.group_size,
        max_completion_length=config.max_completion_tokens,
        temperature=config.temperature,
        # TRL takes the advantages of `HybridAdvantage` as they are.
        scale_rewards="none",
        loss_type=loss,
        importance_sampling_level=level,
        epsilon=config.epsilon_low,
        epsilon_high=config.epsilon_high,
        beta=config.kl_coefficient,
        router_aux_loss_coef=config.router_aux_loss,
        mask_truncated_completions=config.mask_truncated,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_schedule,
        warmup_steps=config.lr_warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        # The sampler restores itself to the next question; skipping batches would draw questions twice.
        ignore_data_skip=True,
        save_steps=config.save_steps,
        save_total_limit=None,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=on_gpu,
        **engine,
    )


def engine_of(config: Config, checkpoint: Path, bfloat16: bool) -> AbstractContextManager[None]:
    """While open, TRL builds its rollout engine with our arguments, in the trainer's arithmetic.

    Raises:
        ConfigError: vLLM is wanted and not installed, or it does not take an argument.
    """
    if config.rollout != "vllm":
        return nullcontext()
    if config.vllm.mode == "server":
        return served("hybrid_rl.vllm.server_base_url")
    return colocated(config.vllm, checkpoint, "bfloat16" if bfloat16 else "float32", "hybrid_rl.vllm")
