"""A run's stages as figures: requests and tokens to models, samples and steps, memory, hours, disk.

Settings are read by name, so that this module knows no stage. What depends on data that does not exist yet
is assumed, and every assumption is a field of `Assumed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from components.core.plan import teacher as teachers
from components.core.plan.asking import asked, asking, together
from components.core.plan.figures import Assumed, StagePlan, hours, vision_tokens
from components.core.plan.gpus import Gpu
from components.core.plan.memory import (
    ADAPTED_PARTS,
    RESERVE,
    Memory,
    Training,
    adapter_parameters,
    generation_memory,
    kv_bytes_per_token,
    training_memory,
)
from components.core.plan.sizes import ModelSizes
from components.stages import TRAINING

SCORED_AT_ONCE = 4096
"""Tokens whose logits TRL holds at once: its fused head computes log-probabilities in tiles."""


def plan_run(
    sections: Mapping[str, Any],
    sizes: ModelSizes,
    gpu: Gpu | None,
    gpus: Mapping[str, int],
    assumed: Assumed,
    teacher: ModelSizes | None = None,
) -> list[StagePlan]:
    """The plan of every task that asks models, trains or generates.

    Args:
        sections: section -> its settings.
        sizes: of the base model.
        gpu: what the tasks run on; None plans without a limit.
        gpus: task -> its GPUs.
        assumed: what no data says.
        teacher: sizes of the checkpoint that reinforcement learning follows, where it loads one.

    Raises:
        ValueError: it loads one, and `teacher` is None.
    """
    counted = {task: max(1, gpu.count if gpu and gpu.count else gpus.get(task, 1)) for task in TRAINING}
    counted["evaluation"] = max(1, gpus.get("evaluation", 1))
    plans = asking(sections, assumed)
    for task in TRAINING:
        if task not in sections:
            continue
        given = (task, sections[task], sizes, counted[task], assumed, gpu)
        plan = _reinforce(*given, teacher) if task == "hybrid_rl" else _fine_tune(*given)
        plans.append(_judged(plan, gpu))
    if "evaluation" in sections:
        config = sections["evaluation"]
        benchmarks = len(sections["preflight"].benchmarks) if "preflight" in sections else 0
        if config.items_per_benchmark and benchmarks:
            most = config.items_per_benchmark * benchmarks
            assumed = replace(assumed, items=min(assumed.items, most))
        plans.append(_judged(_evaluate(config, sizes, counted, assumed, gpu), gpu))
    return plans


def _training_of(config: Any, sizes: ModelSizes, gpus: int, tokens: int, patches: int) -> Training:
    """A training stage's settings as memory sees them; passes are in bfloat16 unless float32 is asked for."""
    lora, sharding = getattr(config, "lora", None), getattr(config, "sharding", "none")
    stated = getattr(config, "precision", None) or getattr(config, "dtype", "auto")
    activation = 4 if stated == "float32" else 2
    half = getattr(config, "weight_type", "float32") == "bfloat16" or (sharding != "none" and activation == 2)
    freeze = getattr(config, "freeze", None)
    frozen = freeze.vision if freeze is not None and hasattr(freeze, "vision") else False
    frozen = frozen or bool(getattr(config, "freeze_vision", False))
    return Training(
        tokens=tokens, patches=patches, scored_tokens=min(tokens, SCORED_AT_ONCE),
        weight_bytes=2 if half else 4, activation_bytes=activation, gpus=gpus,
        sharding=sharding, lora_rank=lora.rank if lora else 0,
        lora_parts=tuple(lora.target_modules) if lora else ADAPTED_PARTS,
        recompute=config.gradient_checkpointing, vision_trained=not frozen and lora is None,
        moments=1.0 if getattr(config, "optimizer", "adamw") == "muon" else 2.0,
        four_bit=bool(getattr(lora, "four_bit", False)),
        offloaded=bool(getattr(config, "activation_offloading", False)),
    )  # fmt: skip


def _fine_tune(
    task: str, config: Any, sizes: ModelSizes, gpus: int, assumed: Assumed, gpu: Gpu | None
) -> StagePlan:
    picture = vision_tokens(sizes, assumed.width, assumed.height)
    distils, pair = config.objective == "distill", 2 if config.objective == "dpo" else 1
    packed = max(phase.pack_tokens for phase in config.by_phase())
    tokens, shown = max(_pass(phase, picture, assumed) for phase in config.by_phase())
    how = _training_of(config, sizes, gpus, tokens, shown * sizes.merge**2)
    second = distils or (config.objective == "dpo" and config.lora is None)
    memory = training_memory(sizes, how.changed(copies=int(second)))
    if distils and config.distillation.rollout == "vllm" and gpu:
        memory = memory.changed(engine=config.distillation.gpu_memory_utilization * gpu.memory)
    images = assumed.images * (1 - assumed.heldout)
    samples = int(images / max(config.domain_share, 0.05) * config.epochs)
    average = (picture + assumed.sample_tokens) * pair
    per_step = config.batch_samples * config.accumulation_steps * gpus
    per_step *= max(1, packed // average) if packed else 1
    steps = config.max_steps or math.ceil(samples / per_step)
    seen = min(samples, steps * per_step)
    trained = seen * average
    # A reference, or a teacher, reads every token too; without adapters it is a model of its own.
    flops = trained * ((4 if config.lora else 6) + (2 if distils or pair == 2 else 0)) * sizes.active
    flops += _tower(sizes, seen * picture * pair, how.vision_trained)
    decoded = seen * config.distillation.max_new_tokens * 2.0 * sizes.active if distils else 0.0
    disk = _disk(sizes, how, config.keep_last)
    spent = hours(flops, gpu, assumed.mfu) + hours(decoded, gpu, assumed.decode_share)
    return StagePlan(task, samples=seen, steps=steps, tokens=trained, gpus=gpus, memory=memory,
                     gpu_hours=spent, disk=disk,
                     advice=_advice(config, how, "batch_samples"))  # fmt: skip


def _pass(config: Any, picture: int, assumed: Assumed) -> tuple[int, int]:
    """Tokens of one forward pass at most, and how many of them show pictures."""
    if config.pack_tokens:
        return config.pack_tokens, config.pack_tokens * picture // (picture + assumed.sample_tokens)
    length, pair = config.max_length_tokens, 2 if config.objective == "dpo" else 1
    if config.objective == "distill":
        length = picture + assumed.sample_tokens + config.distillation.max_new_tokens
    tokens = length * config.batch_samples * pair
    return tokens, min(tokens, config.batch_samples * picture)


def _tower(sizes: ModelSizes, tokens: float, trained: bool) -> float:
    """FLOPs of the vision tower for so many vision tokens."""
    return tokens * sizes.merge**2 * (6.0 if trained else 2.0) * sizes.vision


def _reinforce(
    task: str,
    config: Any,
    sizes: ModelSizes,
    gpus: int,
    assumed: Assumed,
    gpu: Gpu | None,
    teacher: ModelSizes | None,
) -> StagePlan:
    picture = vision_tokens(sizes, assumed.width, assumed.height)
    prompt = picture + assumed.prompt_tokens
    rollouts = config.prompts_per_step * config.group_size
    own = math.ceil(rollouts / gpus)
    micro = min(own, config.micro_batch_rollouts or own)
    sequence = prompt + config.max_completion_tokens
    patches = micro * picture * sizes.merge**2
    how = _training_of(config, sizes, gpus, micro * sequence, patches)
    reference = config.kl_coefficient > 0 and not how.lora_rank
    how = how.changed(copies=int(reference))
    memory, taught = training_memory(sizes, how), bool(teachers.checkpoint_of(config))
    if taught and teacher is None:
        raise ValueError(f"{task} follows a checkpoint whose sizes are not given")
    if taught and teacher:
        memory = teachers.beside(memory, config, teacher, how)
    if config.rollout == "vllm" and config.vllm.mode == "colocate" and gpu:
        # At least the weights, and keys and values of one sequence, however small its share is.
        held = sizes.total * 2 + (config.vllm.max_model_tokens or sequence) * kv_bytes_per_token(sizes)
        share = config.vllm.gpu_memory_utilization * gpu.memory
        engine = max(share, held / config.vllm.tensor_parallel_size)
        # Asleep, the engine gives its memory back: then either it or the activations are there.
        asleep = max(0.0, engine - memory.activations) if config.vllm.sleep else engine
        memory = memory.changed(engine=asleep)
    elif config.rollout == "generate":
        cache = own * sequence * kv_bytes_per_token(sizes, how.activation_bytes)
        memory = memory.changed(kv_cache=max(0.0, cache - memory.activations))
    generated = config.max_steps * rollouts / config.updates_per_generation
    response = min(assumed.response_tokens, config.max_completion_tokens)
    refreshed = (
        config.max_steps // config.prompts.refresh_every_steps if config.prompts.refresh_every_steps else 0
    )
    measured = config.prompts.max_candidates * config.prompts.pass_rate_samples * (1 + refreshed)
    trained = int(config.max_steps * rollouts * (prompt + response))
    # The policy before the update, the update, and the start where the policy is held to it.
    passes = 2 + (4 if how.lora_rank else 6) + (2 if config.kl_coefficient > 0 else 0)
    flops = float(trained) * passes * sizes.active
    flops += _tower(sizes, config.max_steps * rollouts * picture, how.vision_trained)
    if taught and teacher:
        scored = generated * (prompt + response)
        flops += teachers.flops(teacher, scored) + _tower(teacher, generated * picture, False)
    decoded = (generated + measured) * response * 2 * sizes.active
    told = together(task, _graded(config, generated, assumed))
    if teachers.serves(config):
        # It reads pictures as the policy does. The answer is a part of the prompt; one token is generated.
        told = together(task, told, asked(task, generated, prompt + response, 1))
    advice = _advice(config, how, "micro_batch_rollouts")
    if memory.engine:
        advice = ("a lower vllm.gpu_memory_utilization", *advice)
    if memory.kv_cache:
        advice = ("a lower prompts_per_step, or rollout: vllm", *advice)
    return replace(
        told,
        samples=int(generated),
        steps=config.max_steps,
        tokens=trained,
        gpus=gpus,
        memory=memory,
        gpu_hours=hours(flops, gpu, assumed.mfu) + hours(decoded, gpu, assumed.decode_share),
        disk=_disk(sizes, how, config.keep_checkpoints),
        advice=(*advice, *(teachers.advice(config) if taught else ())),
    )


def _graded(config: Any, generated: float, assumed: Assumed) -> StagePlan:
    """Rollouts that a judge grades; questions are drawn evenly over answer types."""
    if config.judge is None:
        return StagePlan("")
    types = config.prompts.answer_types
    share = sum(map(config.judges, types)) / len(types)
    seen = assumed.prompt_tokens + assumed.picture_tokens + assumed.response_tokens
    return asked("", generated * share, seen, assumed.answer_tokens)


def _evaluate(
    config: Any, sizes: ModelSizes, counted: Mapping[str, int], assumed: Assumed, gpu: Gpu | None
) -> StagePlan:
    picture = vision_tokens(sizes, assumed.width, assumed.height)
    prompt, models = picture + assumed.prompt_tokens, len(TRAINING) + 1
    answer = min(config.max_new_tokens, assumed.response_tokens)
    each = assumed.items + min(config.pass_at_k_items, assumed.items) * config.samples_per_item
    answers, gpus = each * models, counted["evaluation"]
    told = StagePlan("evaluation")
    if config.judge is not None:
        told = asked(
            "evaluation", answers * assumed.judged, assumed.prompt_tokens + answer, assumed.answer_tokens
        )
    if config.engine == "endpoint":
        seen = assumed.prompt_tokens + assumed.picture_tokens
        return together("evaluation", told, asked("", answers, seen, answer))
    weight_bytes = 4 if config.dtype == "float32" else 2
    if config.engine == "vllm":
        # At least the weights, and keys and values of one sequence; vLLM fills its share with more of them.
        shared = config.vllm.tensor_parallel_size
        length = config.vllm.max_model_len_tokens or prompt + config.max_new_tokens
        memory = Memory(
            weights=sizes.total * weight_bytes / shared,
            kv_cache=length * kv_bytes_per_token(sizes) / shared,
            overhead=RESERVE,
        )
    else:
        memory = generation_memory(sizes, config.batch_size, prompt + config.max_new_tokens, weight_bytes)
    read = answers * prompt * 2.0 * sizes.active + _tower(sizes, answers * picture, False)
    decoded = answers * answer * 2.0 * sizes.active
    spent = hours(read, gpu, assumed.mfu) + hours(decoded, gpu, assumed.decode_share)
    tokens = answers * (prompt + answer)
    batch = ("a lower batch_size",) if config.engine == "transformers" and config.batch_size > 1 else ()
    half = ("dtype: bfloat16",) if config.dtype == "float32" else ()
    return replace(told, samples=answers, tokens=tokens, gpus=gpus, memory=memory, gpu_hours=spent,
                   advice=(*batch, *half, "a larger GPU"))  # fmt: skip


def _disk(sizes: ModelSizes, how: Training, kept: int) -> float:
    """Checkpoints to go on from, with the optimizer's states, and the result."""
    weights = float(sizes.total * how.weight_bytes)
    trained = adapter_parameters(sizes, how.lora_rank, how.lora_parts) if how.lora_rank else sizes.total
    saved = trained * 4 * (1 + how.moments) if how.lora_rank else weights + trained * 4 * (how.moments + 1)
    return kept * saved + weights


def _advice(config: Any, how: Training, batch: str) -> tuple[str, ...]:
    """Settings that need less memory than the present ones."""
    found = []
    if not how.recompute:
        found.append("gradient_checkpointing: true")
    if getattr(config, batch) != 1:
        found.append(f"a lower {batch}")
    if how.gpus > 1 and how.sharding != "zero3":
        found.append("sharding: zero3")
    if not how.lora_rank:
        found.append("lora: {rank: 64, alpha: 128}")
    if how.weight_bytes == 4:
        found.append("weight_type: bfloat16 (with lora or sharding)")
    if hasattr(config, "max_length_tokens"):
        found.append("a lower max_length_tokens")
    return (*found, "more GPUs with sharding: zero3, or larger ones")


def _judged(plan: StagePlan, gpu: Gpu | None) -> StagePlan:
    """The plan with whether it fits; advice stays only where it does not."""
    fits = None if gpu is None or plan.memory is None else plan.memory.total <= gpu.memory
    return replace(plan, fits=fits, advice=() if fits is not False else plan.advice)
