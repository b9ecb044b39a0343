"""A task's figures in a plan, and what a plan assumes where no data says it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from components.core.plan.gpus import Gpu
from components.core.plan.memory import Memory
from components.core.plan.sizes import ModelSizes


@dataclass(frozen=True)
class Assumed:
    """What a plan takes for granted where no data says it."""

    images: int = 10_000
    width: int = 1280
    """Pixels of a picture; height below likewise."""
    height: int = 960
    asked_side: int = 32
    """Pixels along a side of a token, as the models that are asked see pictures (Qwen3-VL's)."""
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
    judged: float = 0.2
    """Share of an evaluation's answers that a judge reads."""
    pixel_bytes: float = 1 / 3
    """Bytes that a stored picture takes for a pixel: a photograph in JPEG."""

    @property
    def image_bytes(self) -> float:
        """Bytes of a stored picture."""
        return self.width * self.height * self.pixel_bytes

    @property
    def picture_tokens(self) -> int:
        """Tokens of a picture for the models that are asked."""
        return _tokens(self.width, self.height, self.asked_side)


@dataclass(frozen=True)
class StagePlan:
    """One task of the run."""

    task: str
    requests: int = 0
    request_tokens: int = 0
    """Prompt and completion tokens of all requests."""
    answer_tokens: int = 0
    """Those of them that are completions, which cost several times as much."""
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
    """Tokens of a picture: its sides in merged patches (arXiv 2502.13923, section 2.1), rounded.

    A picture above the processor's limit is made smaller first.
    """
    side = sizes.patch * sizes.merge
    shrunk = math.sqrt(sizes.max_pixels / (width * height)) if sizes.max_pixels else 1.0
    if shrunk < 1:
        return max(1, int(width * shrunk / side)) * max(1, int(height * shrunk / side))
    return _tokens(width, height, side)


def _tokens(width: int, height: int, side: int) -> int:
    return max(1, round(width / side)) * max(1, round(height / side))


def hours(flops: float, gpu: Gpu | None, share: float) -> float:
    """GPU-hours of so many FLOPs at a share of the GPU's peak; 0 where that is not known."""
    return flops / (gpu.flops * share) / 3600 if gpu and gpu.flops else 0.0
