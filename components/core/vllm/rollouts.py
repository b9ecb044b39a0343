"""TRL's vLLM with the engine's arguments passed through, whole prompts, and a check of the first rollouts.

TRL 1.16 hands a colocated vLLM prompts in which a picture is many tokens already; vLLM expands them again
(huggingface/trl#6294). A server of its own wants them expanded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import gather_object

from components.core.stage.errors import ConfigError, EndpointError
from components.core.vllm.agreement import Agreement, check, compare, total
from components.core.vllm.arguments import check_context, check_names, describe, starting
from components.core.vllm.cpu import for_the_platform, replaceable_weights
from components.core.vllm.prompts import collapse
from components.core.vllm.settings import Colocated


@contextmanager
def colocated(settings: Colocated, checkpoint: Path, dtype: str, section: str) -> Iterator[None]:
    """While open, a TRL trainer builds its colocated vLLM with these settings.

    Args:
        checkpoint: the directory that vLLM reads.
        dtype: weight type of the engine, that of the trainer's arithmetic.
        section: dotted name of the settings in messages.

    Raises:
        ConfigError: vLLM is not installed, or it does not take an argument.
    """
    from trl.generation import vllm_generation

    check_names(settings.engine_args, f"{section}.engine_args")
    check_context(checkpoint, settings.max_model_tokens, f"{section}.max_model_tokens")
    own = {"dtype": dtype, **for_the_platform(checkpoint, settings.max_model_tokens), **settings.engine_args}
    build = vllm_generation.LLM

    def with_arguments(**given: Any) -> Any:
        with replaceable_weights(), starting(section):
            return build(**{**given, **own})

    vllm_generation.LLM = with_arguments
    try:
        yield
    finally:
        vllm_generation.LLM = build


@contextmanager
def served(section: str) -> Iterator[None]:
    """While open, a TRL trainer joins a vLLM server; what the server lacks ends the stage with one line.

    Raises:
        ConfigError: the server was started without a flag that TRL needs, or there is no GPU.
        EndpointError: it does not answer.
    """
    try:
        yield
    except ConnectionError as error:
        raise EndpointError(f"{section}: {' '.join(str(error).split())}") from error
    except (NotImplementedError, RuntimeError) as error:
        if not str(error).startswith(("The vLLM server", "Weight synchronization")):
            raise
        raise ConfigError(f"{section}: {' '.join(str(error).split())}") from error


class Rollouts:
    """TRL's generator, with prompts as its engine reads them; keeps what the first rollouts gave.

    Args:
        generator: TRL's `VLLMGeneration`.
        image_token: id of the image token.
    """

    def __init__(self, generator: Any, image_token: int) -> None:
        self._generator, self._image_token = generator, image_token
        self.sampled: list[list[float | None]] | None = None
        """Log-probabilities of the first rollouts' tokens."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def generate(
        self, *, prompts: Sequence[Sequence[int]], images: Sequence[Any] | None, **options: Any
    ) -> tuple[Any, Any, Any, Any]:
        """See `VLLMGeneration.generate`; rows without pictures have `[]` or None."""
        shown = None if images is None else [row or None for row in images]
        asked = prompts
        if self._generator.mode == "colocate":
            counts = [len(row or ()) for row in shown or [None] * len(prompts)]
            asked = [
                collapse(ids, self._image_token, count) for ids, count in zip(prompts, counts, strict=True)
            ]
        kept = self._generator.logprobs
        if self.sampled is None and kept is None:
            self._generator.logprobs = 0  # of the sampled token alone
        try:
            found = self._generator.generate(prompts=asked, images=shown, **options)
        finally:
            self._generator.logprobs = kept
        if self.sampled is None:
            given = found[2] if found[2] is not None else [[] for _ in found[1]]
            self.sampled = [[token[0] for token in row] for row in given]
        return found[0], found[1], found[2], found[3]

    def describe(self) -> dict[str, Any]:
        """Engine, versions, device and weight type, as recorded; of a server, what it says itself."""
        if self._generator.mode == "colocate":
            return {"mode": "colocate", **describe(self._generator.llm)}
        return {"mode": "server", "name": "vllm"}


class FirstStep:
    """Compares the first rollouts of this process's run with the trainer's view of them, once.

    Args:
        rollouts: of the trainer.
        bound: largest mean difference, in nats a token.
        setting: name of the setting that holds it.
    """

    def __init__(self, rollouts: Rollouts, bound: float, setting: str) -> None:
        self._rollouts, self._bound, self._setting = rollouts, bound, setting
        self.agreement: Agreement | None = None
        """Over all processes, once compared."""

    @property
    def due(self) -> bool:
        """Whether the first rollouts are there and not compared yet."""
        return self.agreement is None and self._rollouts.sampled is not None

    def padded(self, tokens: int) -> torch.Tensor:
        """The first rollouts' log-probabilities, shape (rollouts, tokens), on the right not a number."""
        rows = [[math.nan if logp is None else logp for logp in row] for row in self._rollouts.sampled or []]
        return torch.tensor([row + [math.nan] * (tokens - len(row)) for row in rows])

    def compare(self, sampled: torch.Tensor, logps: torch.Tensor, model: Any) -> Agreement:
        """Compare; every process calls it.

        Args:
            sampled: rows of `padded`.
            logps: the trainer's log-probabilities of the same tokens, in the same shape.
            model: the trainer's model, named in the message.

        Raises:
            ConfigError: they differ by more than the bound.
        """
        own = compare(sampled.tolist(), logps.detach().float().cpu().tolist())
        self.agreement = total(gather_object([own]))
        parameter = next(model.parameters())
        arithmetic = _named({"dtype": str(parameter.dtype), "device": parameter.device.type})
        check(
            self.agreement,
            self._bound,
            self._setting,
            f"vLLM ({_named(self._rollouts.describe())})",
            f"transformers ({transformers.__version__}, {arithmetic})",
        )
        return self.agreement


def _named(described: Mapping[str, Any]) -> str:
    shown = (described.get(name) for name in ("mode", "vllm", "dtype", "device"))
    return ", ".join(str(value).removeprefix("torch.") for value in shown if value)


def first_step_of(trainer: Any, processor: Any, bound: float, setting: str) -> FirstStep | None:
    """Put `Rollouts` before a TRL trainer's generator; None where vLLM does not make its rollouts.

    Args:
        trainer: after its construction.
        processor: of its model.
        bound: largest mean difference, in nats a token.
        setting: name of the setting that holds it.
    """
    if not trainer.use_vllm:
        return None
    trainer.vllm_generation = Rollouts(trainer.vllm_generation, processor.image_token_id)
    return FirstStep(trainer.vllm_generation, bound, setting)
