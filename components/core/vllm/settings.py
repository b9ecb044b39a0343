"""Settings of vLLM in the processes of a stage. Nothing heavy is imported: profiles are checked anywhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue

from components.core.stage.settings import Settings

OWN = {
    "dtype": "the stage's dtype",
    "enable_sleep_mode": "sleep",
    "generation_config": "the stage's own sampling settings",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "limit_mm_per_prompt": "the setting of the most pictures",
    "logprobs_mode": "what the comparison with the trainer needs",
    "max_model_len": "the setting of the context length",
    "model": "the stage's checkpoint",
    "seed": "seed",
    "tensor_parallel_size": "tensor_parallel_size",
    "tokenizer": "the stage's checkpoint",
}
"""Arguments of vLLM that a stage decides, and by what."""


def not_the_stage_s(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The arguments, if none is one that a stage decides.

    Raises:
        ValueError: naming the first that is, and what decides it.
    """
    for name in arguments:
        if not name.isidentifier():
            raise ValueError(f"'{name}' is no argument: write enforce_eager, not --enforce-eager")
        if name in OWN:
            raise ValueError(f"'{name}' is decided by {OWN[name]}")
    return arguments


EngineArguments = Annotated[dict[str, JsonValue], AfterValidator(not_the_stage_s)]
"""Arguments of vLLM's engine by the names of its Python interface, e.g. `enforce_eager`."""


class Colocated(Settings):
    """vLLM beside the trainer, in the training processes."""

    gpu_memory_utilization: float = Field(default=0.3, gt=0, lt=1)
    """Share of GPU memory for vLLM."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs one vLLM engine is spread over."""
    max_model_tokens: int | None = Field(default=None, ge=1)
    """Context length of the engine; null takes the model's."""
    sleep: bool = True
    """Give vLLM's memory back during the update; a CPU has none to give back."""
    engine_args: EngineArguments = {}
    """Further arguments of vLLM's engine, e.g. `{enforce_eager: true}`; an unknown name ends the stage."""
    max_logprob_difference: float = Field(default=0.1, gt=0)
    """Largest mean difference between the log-probabilities that vLLM and the trainer give the first step's
    tokens, in nats. Beyond it the stage ends: they do not see the same prompt, picture or weights."""
