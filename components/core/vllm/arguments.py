"""What vLLM's engine is given: what it would guess is resolved first, so that it can be recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.core.stage.errors import ConfigError
from components.core.stage.settings import nearest

_NO_ENGINE = "Engine core initialization failed"
"""How vLLM 0.31 begins where its engine's process ended: an argument, a quantisation, too little memory."""


def own_dtype(checkpoint: Path) -> str:
    """Weight type of a checkpoint by its config.json; `auto` for a quantised one, whose kernels choose.

    vLLM's own `auto` makes a float32 checkpoint bfloat16.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint)
    if getattr(config, "quantization_config", None) is not None:
        return "auto"
    return str(config.dtype or config.get_text_config().dtype or "float32").removeprefix("torch.")


def context_tokens(checkpoint: Path) -> int | None:
    """Positions that a checkpoint's language model has, None where its settings do not say."""
    from transformers import AutoConfig

    text = AutoConfig.from_pretrained(checkpoint).get_text_config()
    positions = getattr(text, "max_position_embeddings", None)
    stretched = (getattr(text, "rope_parameters", None) or {}).get("factor")
    return int(positions * max(float(stretched or 1), 1)) if positions else None


def check_context(checkpoint: Path, wanted: int | None, setting: str) -> None:
    """Refuse a context that the model does not have.

    Raises:
        ConfigError: naming the setting and both lengths.
    """
    if wanted is None:
        return
    positions = context_tokens(checkpoint)
    if positions is not None and wanted > positions:
        raise ConfigError(
            f"{setting}: {wanted} tokens, but the model has {positions} positions; lower it, or leave it out"
        )


def check_names(arguments: Mapping[str, Any], setting: str) -> None:
    """Refuse arguments that this vLLM's engine does not have.

    Raises:
        ConfigError: naming the argument and the nearest one that exists, or that vLLM is not installed.
    """
    try:
        from vllm.engine.arg_utils import EngineArgs
    except ImportError as error:
        raise ConfigError("vllm is not installed here; use an image that has it, or do without") from error
    known = [field.name for field in dataclasses.fields(EngineArgs)]
    for name in arguments:
        if name not in known:
            raise ConfigError(f"{setting}: vLLM's engine has no argument '{name}'{nearest(name, known)}")


@contextmanager
def starting(section: str) -> Iterator[None]:
    """Around the start of an engine: what it does not take ends the stage with one line.

    Raises:
        ConfigError: in vLLM's own words; those of an engine's own process stand in the log before it.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise _refused(section, " ".join(str(error).split())) from error
    except RuntimeError as error:
        if not str(error).startswith(_NO_ENGINE):
            raise
        raise _refused(section, "its engine's own process says above why") from error


def _refused(section: str, why: str) -> ConfigError:
    return ConfigError(f"{section}: vLLM does not start with these arguments: {why}")


def describe(engine: Any) -> dict[str, Any]:
    """Versions, device and weight type of a running `vllm.LLM`, as they were resolved."""
    import torch
    import vllm
    from vllm.platforms import current_platform

    model = engine.llm_engine.model_config
    return {
        "name": "vllm",
        "vllm": vllm.__version__,
        "torch": torch.__version__,
        "device": current_platform.device_type,
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_model_tokens": int(model.max_model_len),
    }
