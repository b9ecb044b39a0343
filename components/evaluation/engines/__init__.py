"""Engines that run the model that is evaluated; each loads its libraries only when it is opened."""

from __future__ import annotations

import logging
from pathlib import Path

from components.core.resume.journal import Journal
from components.evaluation.config import Config
from components.evaluation.engines.base import Decoding, Engine, Parts, Response

__all__ = ["Decoding", "Engine", "Parts", "Response", "open_engine"]


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
