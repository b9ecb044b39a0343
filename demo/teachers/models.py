"""The simulated models and their stated rates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

MODELS_FILE = Path(__file__).with_name("models.yaml")


@dataclass(frozen=True)
class ModelSpec:
    """One model; see `models.yaml` for the meaning of the rates."""

    name: str
    error_rate: float = 0.0
    hallucination_rate: float = 0.0
    step_error_rate: float = 0.0
    verdict_error_rate: float = 0.0
    leniency: float = 0.0
    score_noise: float = 0.0
    gullibility: float = 0.0
    embeds: bool = False


def load_models(path: Path = MODELS_FILE) -> dict[str, ModelSpec]:
    """Read the models by name.

    Raises:
        TypeError: the file names a rate that does not exist.
        ValueError: a rate is not a probability.
    """
    models = {
        name: ModelSpec(name, **rates)
        for name, rates in yaml.safe_load(path.read_text(encoding="utf-8")).items()
    }
    for model in models.values():
        rates = (model.error_rate, model.hallucination_rate, model.step_error_rate)
        for rate in (*rates, model.verdict_error_rate, model.leniency, model.gullibility):
            if not 0 <= rate <= 1:
                raise ValueError(
                    f"{path}: model {model.name} has a rate of {rate}, which is not between 0 and 1"
                )
    return models
