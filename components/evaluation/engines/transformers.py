"""Engine of a checkpoint directory run by transformers in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from components.evaluation.config import Config
from components.evaluation.engines.base import Decoding, Engine, Parts, Response, split_parts


class TransformersEngine(Engine):
    """Batches of similar length; where the family allows it, pictures and prompts are encoded once."""

    def __init__(self, path: Path, config: Config) -> None:
        from components.core.vlm import load_model, load_processor, set_threads
        from components.core.vlm.families import family_of
        from components.evaluation.engines.shared_vision import SharedVision

        set_threads()
        self._processor = load_processor(path)
        self._model = load_model(path, dtype=config.dtype)
        self._vision = SharedVision(self._model) if family_of(self._model).shares_vision else None
        self._config = config

    def describe(self) -> dict[str, Any]:
        import torch
        import transformers

        return {
            "name": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "device": self._model.device.type,
            "dtype": str(self._model.dtype).removeprefix("torch."),
        }

    def answer(
        self, items: Sequence[Parts], decoding: Decoding, on_batch: Callable[[int], object]
    ) -> list[list[Response]]:
        from components.core.vlm import generate

        if self._vision is not None:
            self._vision.clear()
        completions = generate(
            self._model,
            self._processor,
            [split_parts(parts) for parts in items],
            max_new_tokens=self._config.max_new_tokens,
            temperature=decoding.temperature,
            num_samples=decoding.samples,
            batch_size=self._config.batch_size,
            seed=decoding.seed,
            on_batch=on_batch,
        )
        return [[Response(c.text, c.tokens, c.finished) for c in group] for group in completions]
