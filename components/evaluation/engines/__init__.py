"""What runs the model that is evaluated: one interface, and a module for each engine. Engines load when opened."""

from __future__ import annotations

import logging
from pathlib import Path

from components.core.resume.journal import Journal
from components.evaluation.config import Config
from components.evaluation.engines.base import Engine, Parts, Response

__all__ = ["Engine", "Parts", "Response", "open_engine"]


def open_engine(config: Config, path: Path, journal: Journal, log: logging.Logger) -> Engine:
    """The engine that the settings name.

    Args:
        path: model directory; an endpoint serves the model itself and does not read it.
        journal: where an endpoint's answers are kept, one by one.

    Raises:
        ConfigError: the engine's library is not installed.
        DataError: no model at `path`.
    """
    if config.engine == "endpoint":
        from components.evaluation.engines.endpoint import EndpointEngine

        return EndpointEngine(config, journal, log)
    if config.engine == "vllm":
        from components.evaluation.engines.vllm import VllmEngine

        return VllmEngine(path, config)
    from components.evaluation.engines.transformers import TransformersEngine

    return TransformersEngine(path, config)
