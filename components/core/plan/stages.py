"""A run's stages as figures: requests and tokens to models, samples and steps, memory, hours, disk.

Settings are read by name, so that this module knows no stage. What depends on data that does not exist yet
is assumed, and every assumption is a field of `Assumed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True)
class Assumed:
    """What a plan takes for granted where no data says it."""

    images: int = 10_000
    width: int = 1280
    """Pixels of a picture; height below likewise."""
    height: int = 960
    heldout: float = 0.1
    prompt_tokens: int = 400
    """Of a request, beside its picture."""
    answer_tokens: int = 120
    """Of a short answer: a score, a vote's reply, a topic."""
    sample_tokens: int = 600
    """Text of a training sample: its questions and answers."""
    response_tokens: int = 300
    """Of a rollout."""
    items: int = 3_000
    """Questions of all benchmarks together, for each evaluation."""
    mfu: float = 0.3
    """Share of a GPU's peak that training turns into updates."""
    decode_share: float = 0.05
    """Share of the peak that generation reaches."""
    image_bytes: int = 400_000


@dataclass(frozen=True)
class StagePlan:
    """One task of the run."""

    task: str
    requests: int = 0
    request_tokens: int = 0
    """Prompt and completion tokens of all requests."""
    samples: int = 0
    steps: int = 0
    tokens: int = 0
    """Tokens that the trained or evaluated model itself computes."""
    gpus: int = 0
    memory: Memory | None = None
    """Of one GPU; None where the task uses none."""
    fits: bool | None = None
    """Whether that fits the GPU; None where no GPU is named."""
    gpu_hours: float = 0.0
    """0 where the GPU's throughput is not known."""
    disk: float = 0.0
    """Bytes."""
    advice: tuple[str, ...] = field(default=())
    """Settings that would make it fit, the mildest first."""


def vision_tokens(sizes: ModelSizes, width: int, height: int) -> int:
    """Tokens of a picture: its sides in merged patches (arXiv 2502.13923, section 2.1), rounded."""
    side = sizes.patch * sizes.merge
    return max(1, round(width / side)) * max(1, round(height / side))


def questions_per_image(budget: Any) -> float:
    """Questions for a picture on average: of bands the mean over the bands."""
    if budget.mode == "total":
        return float(budget.n_max)
    return sum(budget.band_questions) / len(budget.band_questions)


def plan_run(
    sections: Mapping[str, Any],
    sizes: ModelSizes,
    gpu: Gpu | None,
    gpus: Mapping[str, int],
    assumed: Assumed,
) -> list[StagePlan]:
    """The plan of every task that asks models, trains or generates.

    Args:
        sections: section -> its settings.
        sizes: of the base model.
        gpu: what the tasks run on; None plans without a limit.
        gpus: task -> its GPUs.
        assumed: what no data says.
    """
    counted = {task: max(1, gpu.count if gpu and gpu.count else gpus.get(task, 1)) for task in TRAINING}
    counted["evaluation"] = max(1, gpus.get("evaluation", 1))
    plans = _asking(sections, sizes, assumed)
    for task in TRAINING:
        if task in sections:
            training = _reinforce if task == "hybrid_rl" else _fine_tune
            plans.append(_judged(training(task, sections[task], sizes, counted[task], assumed, gpu), gpu))
    if "evaluation" in sections:
        plans.append(_judged(_evaluate(sections["evaluation"], sizes, counted, assumed, gpu), gpu))
    return plans


def _asking(sections: Mapping[str, Any], sizes: ModelSizes, assumed: Assumed) -> list[StagePlan]:
    """The stages that ask models."""
    seen = vision_tokens(sizes, assumed.width, assumed.height) + assumed.prompt_tokens
    per_image = questions_per_image(sections["ids_scoring"].budget) if "ids_scoring" in sections else 4.0
    images, plans = assumed.images, [StagePlan("image_ingest", disk=assumed.images * assumed.image_bytes)]

    def add(task: str, requests: float, tokens: float) -> None:
        plans.append(
            StagePlan(task, requests=math.ceil(requests), request_tokens=math.ceil(requests * tokens))
        )

    if "ids_scoring" in sections and sections["ids_scoring"].scorer == "mllm":
        add("ids_scoring", images, seen + assumed.answer_tokens)
    if "label_tree" in sections:
        tree = sections["label_tree"]
        parents = len(tree.experts) * (1 + tree.max_children_l2)
        add("label_tree", parents * tree.rounds, assumed.prompt_tokens + tree.max_answer_tokens / 2)
    if "topic_matching" in sections and sections["topic_matching"].fine:
        add("topic_matching", images, seen + assumed.answer_tokens)
    if "qa_synthesis" in sections:
        settings = sections["qa_synthesis"]
        rounds = 1 + 2 * settings.evolution_rounds  # a draft; then a rewriting and a judgement each round
        add("qa_synthesis", images * rounds, seen + per_image * settings.item_tokens / 2)
    if "voting_filter" in sections:
        settings = sections["voting_filter"]
        share = min(per_image, settings.questions_per_request)
        requests = images * math.ceil(per_image / settings.questions_per_request)
        add("voting_filter", requests * len(settings.voters), seen + share * settings.answer_tokens * 1.5)
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
    length = max(phase.max_length_tokens for phase in config.by_phase())
    packed = max(phase.pack_tokens for phase in config.by_phase())
    distils = config.objective == "distill"
    if distils:
        length = picture + assumed.sample_tokens + config.distillation.max_new_tokens
    tokens = packed or length * config.batch_samples * (2 if config.objective == "dpo" else 1)
    patches = min(tokens, config.batch_samples * picture) * sizes.merge**2
    how = _training_of(config, sizes, gpus, tokens, patches)
    second = distils or (config.objective == "dpo" and config.lora is None)
    memory = training_memory(sizes, how.changed(copies=int(second)))
    if distils and config.distillation.rollout == "vllm" and gpu:
        memory = memory.changed(engine=config.distillation.gpu_memory_utilization * gpu.memory)
    images = assumed.images * (1 - assumed.heldout)
    samples = int(images / max(config.domain_share, 0.05) * config.epochs)
    average = (picture + assumed.sample_tokens) * (2 if config.objective == "dpo" else 1)
    per_step = config.batch_samples * config.accumulation_steps * gpus
    per_step *= max(1, packed // average) if packed else 1
    steps = config.max_steps or math.ceil(samples / per_step)
    trained = min(samples, steps * per_step) * average
    flops = trained * (4 if config.lora else 6) * sizes.active
    disk = _disk(sizes, how, config.keep_last)
    return StagePlan(task, samples=samples, steps=steps, tokens=trained, gpus=gpus, memory=memory,
                     gpu_hours=_hours(flops, gpu, assumed.mfu), disk=disk,
                     advice=_advice(config, how, "batch_samples"))  # fmt: skip


def _reinforce(
    task: str, config: Any, sizes: ModelSizes, gpus: int, assumed: Assumed, gpu: Gpu | None
) -> StagePlan:
    prompt = vision_tokens(sizes, assumed.width, assumed.height) + assumed.prompt_tokens
    rollouts = config.prompts_per_step * config.group_size
    own = math.ceil(rollouts / gpus)
    micro = min(own, config.micro_batch_rollouts or own)
    sequence = prompt + config.max_completion_tokens
    patches = micro * (prompt - assumed.prompt_tokens) * sizes.merge**2
    how = _training_of(config, sizes, gpus, micro * sequence, patches)
    reference = config.kl_coefficient > 0 and not how.lora_rank
    how = how.changed(copies=int(reference))
    memory = training_memory(sizes, how)
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
    measured = config.prompts.max_candidates * config.prompts.pass_rate_samples
    trained = int(config.max_steps * rollouts * (prompt + assumed.response_tokens))
    flops = trained * (2 + (4 if how.lora_rank else 6)) * sizes.active
    decoded = (generated + measured) * assumed.response_tokens * 2 * sizes.active
    hours = _hours(flops, gpu, assumed.mfu) + _hours(decoded, gpu, assumed.decode_share)
    return StagePlan(task, samples=int(generated), steps=config.max_steps, tokens=trained, gpus=gpus,
                     memory=memory, gpu_hours=hours, disk=_disk(sizes, how, config.keep_checkpoints),
                     advice=_advice(config, how, "micro_batch_rollouts"))  # fmt: skip


def _evaluate(
    config: Any, sizes: ModelSizes, counted: Mapping[str, int], assumed: Assumed, gpu: Gpu | None
) -> StagePlan:
    prompt = vision_tokens(sizes, assumed.width, assumed.height) + assumed.prompt_tokens
    asked = assumed.items + min(config.pass_at_k_items, assumed.items) * config.samples_per_item
    gpus, tokens = counted["evaluation"], asked * (prompt + config.max_new_tokens)
    if config.engine == "endpoint":
        return StagePlan("evaluation", requests=asked, request_tokens=tokens)
    weight_bytes = 4 if config.dtype == "float32" else 2
    if config.engine == "vllm":
        settings, memory = config.vllm, Memory()
        if gpu:
            memory = Memory(weights=sizes.total * weight_bytes / settings.tensor_parallel_size,
                            kv_cache=settings.max_model_len_tokens * kv_bytes_per_token(sizes)
                            / settings.tensor_parallel_size, overhead=RESERVE)  # fmt: skip
    else:
        memory = generation_memory(sizes, config.batch_size, prompt + config.max_new_tokens, weight_bytes)
    models = len(TRAINING) + 1
    flops = models * tokens * 2 * sizes.active
    return StagePlan("evaluation", samples=asked * models, tokens=tokens * models, gpus=gpus, memory=memory,
                     gpu_hours=_hours(flops, gpu, assumed.decode_share),
                     advice=("lower evaluation.batch_size", "evaluation.dtype: bfloat16"))  # fmt: skip


def _hours(flops: float, gpu: Gpu | None, share: float) -> float:
    return flops / (gpu.flops * share) / 3600 if gpu and gpu.flops else 0.0


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
    return StagePlan(**{**plan.__dict__, "fits": fits, "advice": () if fits is not False else plan.advice})
