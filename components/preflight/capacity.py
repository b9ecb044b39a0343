"""Whether the training tasks fit the GPUs that the profile states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from components.core.plan.figures import Assumed
from components.core.plan.gpus import parse_gpu
from components.core.plan.sizes import read_sizes
from components.core.plan.stages import plan_run
from components.core.stage.errors import ConfigError, DataError
from components.core.stage.settings import Settings
from components.stages import TRAINING

_CHECKED = (*TRAINING, "evaluation")


def check_capacity(
    gpu: str, model: Path, sections: Mapping[str, Settings], teacher: Path | None = None
) -> str:
    """Check that every task's memory of one GPU is there, by the arithmetic of `vlm-posttrain plan`.

    Args:
        gpu: `8xH100-80GB`; a number left out is one; empty says that nothing is known.
        model: directory of the base model.
        sections: the run's settings, those that are valid.
        teacher: directory of the checkpoint that reinforcement learning follows, where it loads one.

    Raises:
        ConfigError: a task cannot fit; names every one with its numbers and the settings that need less.
    """
    if not gpu:
        return "not known: preflight.gpu names no GPU"
    kind = parse_gpu(gpu)
    try:
        sizes, taught = read_sizes(model), read_sizes(teacher) if teacher else None
    except DataError as error:
        return f"not known: {error}"
    count = kind.count or 1
    wanted = {name: section for name, section in sections.items() if name in _CHECKED}
    gpus = dict.fromkeys(_CHECKED, count) | {"evaluation": 1}
    plans = [plan for plan in plan_run(wanted, sizes, kind, gpus, Assumed(), taught) if plan.memory]
    problems = []
    for plan in plans:
        if plan.fits is False and plan.memory:
            parts = {name: value for name, value in vars(plan.memory).items() if value >= 5e7}
            told = ", ".join(f"{name.replace('_', ' ')} {value / 1e9:.1f}" for name, value in parts.items())
            needs = f"needs {plan.memory.total / 1e9:.1f} GB on each GPU of {kind.memory / 1e9:g} GB ({told})"
            problems.append(f"{plan.task}: {needs}; it would need less with {'; '.join(plan.advice)}")
    if problems:
        raise ConfigError("\n".join(problems))
    most = max((plan.memory.total for plan in plans if plan.memory), default=0.0)
    return f"at most {most / 1e9:.1f} of {kind.memory / 1e9:g} GB on each GPU"
