"""Settings of the evaluation stage."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.core.benchmarks import Format, Kind
from components.core.benchmarks.rules import Role
from components.core.stage.settings import FreeEndpoint, Settings, TextEndpoint
from components.core.vllm.settings import EngineArguments


class BenchmarkRef(Settings):
    """One benchmark, as preflight pinned it."""

    name: str = Field(min_length=1)
    """Name in tables and reports."""
    role: Role
    """What its score counts as: accuracy in the domain, general accuracy, or probes about absent objects."""
    ref: str
    """Pinned reference of a dataset directory or a benchmark file."""
    format: Format = "auto"
    """Format: table `benchmark`, VLMEvalKit's TSV, POPE's JSON, needle settings; auto tells by the file."""
    kind: Kind = "auto"
    """How it is asked and scored; auto tells by the benchmark's name, else by its answer types."""


class VllmSettings(Settings):
    """How vLLM runs in this process."""

    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that share the model."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of each GPU's memory for weights and cache."""
    max_model_len_tokens: int | None = Field(default=None, ge=1)
    """Longest prompt and response together, in tokens; it bounds the cache. null takes the model's own."""
    max_pictures: int = Field(default=16, ge=1)
    """Most pictures of one question."""
    engine_args: EngineArguments = {}
    """Further arguments of vLLM's engine, e.g. `{enforce_eager: true}`; an unknown name ends the stage."""


class Config(Settings):
    """How to ask, what to sample and how to compute intervals."""

    engine: Literal["transformers", "vllm", "endpoint"] = "transformers"
    """Runs the model: transformers or vLLM in this process, or an OpenAI-compatible endpoint."""
    endpoint: FreeEndpoint | None = None
    """The endpoint of engine `endpoint`; it must serve the very model that is evaluated."""
    vllm: VllmSettings = VllmSettings()
    """Settings of engine `vllm`."""
    judge: TextEndpoint | None = None
    """Reads answers that rules cannot, and judges open ones; without one, the unread are wrong."""
    judge_max_failed: float = Field(default=0.01, ge=0, le=1)
    """Share of the judge's replies that may be unusable before the stage fails."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Weight type; auto is the checkpoint's own."""
    batch_size: int = Field(default=128, ge=1)
    """Sequences decoded together (items times samples)."""
    max_new_tokens: int = Field(default=64, ge=1)
    """Longest response, in tokens; a longer one is cut."""
    prompt_style: Literal["plain", "instructed"] = "plain"
    """plain: question and options as in training; instructed: the prompt template of the benchmark's kind."""
    items_per_benchmark: int | None = Field(default=None, ge=1)
    """Most items asked of each benchmark, a fixed pseudo-random choice; null asks all."""
    samples_per_item: int = Field(default=8, ge=0)
    """Responses sampled for each pass@k item; 0 leaves pass@k out."""
    pass_at_k_items: int = Field(default=300, ge=1)
    """Most domain items sampled for pass@k, a fixed pseudo-random choice."""
    pass_k: tuple[int, ...] = (1, 8)
    """The k of pass@k; none may exceed `samples_per_item`."""
    temperature: float = Field(default=1.0, gt=0)
    """Softmax temperature of the samples; the scored answers themselves are decoded greedily."""
    seed: int = Field(default=0, ge=0)
    """Seed of the samples and of the bootstrap."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the intervals."""
    bootstrap_resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples of image groups for each interval."""
    report_examples: int = Field(default=12, ge=0)
    """Answers shown with their pictures for each outcome: right, wrong, better or worse than the other."""
    chunk_items: int = Field(default=512, ge=1)
    """Items answered between two saves; what a kill costs at most."""

    def unread(self) -> tuple[str, ...]:
        """The endpoint, where the model runs in this process."""
        return () if self.engine == "endpoint" else ("endpoint",)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.engine == "endpoint" and self.endpoint is None:
            raise ValueError("engine 'endpoint' needs `endpoint`: base_url and model")
        if self.samples_per_item and any(not 1 <= k <= self.samples_per_item for k in self.pass_k):
            raise ValueError(
                f"pass_k {list(self.pass_k)} needs 1 <= k <= samples_per_item ({self.samples_per_item})"
            )
        return self
