"""A teacher behind an address: vLLM says how probable the policy's own answers are to its model."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from components.core.mllm.prompt_scores import PromptScorer, Said
from components.core.resume.journal import Journal
from components.core.stage.settings import Endpoint
from components.core.vlm.families import family_of

Pictures = Callable[[str], bytes]
"""A picture's bytes by its id."""


class ServedTeacher:
    """Asks a server once about each answer; a resumed run finds what was said in the journal.

    Args:
        endpoint: of the server.
        journal: of its replies.
        pictures: the bytes that the server is shown.
        log: of the stage.
    """

    def __init__(self, endpoint: Endpoint, journal: Journal, pictures: Pictures, log: logging.Logger) -> None:
        self._scorer, self._pictures, self._log = PromptScorer(endpoint, journal, log), pictures, log

    def check(self, tokenizer: Any) -> None:
        """Compare the vocabularies, where the server tells its own.

        Raises:
            ConfigError: they differ.
        """
        if reason := self._scorer.check_vocabulary(tokenizer):
            self._log.warning("%s; each answer's tokens are compared instead", reason)

    def metrics(self) -> dict[str, float]:
        """Requests, tokens and seconds, as `teacher_...`."""
        return self._scorer.usage.metrics("teacher")

    def join(self, trainer: Any) -> None:
        """Nothing is to be done: the model is elsewhere."""

    def logps(self, trainer: Any, rows: Sequence[dict[str, Any]], batch: dict[str, Any]) -> torch.Tensor:
        """Ask about every response that is trained on; the others are left without a number."""
        processor = trainer.processing_class
        end = processor.tokenizer.convert_tokens_to_ids(family_of(processor).end)
        asked, places = [], []
        for place, row in enumerate(rows):
            ids = batch["completion_ids"][place][batch["completion_mask"][place].bool()].tolist()
            if not ids:
                continue  # cut at the limit and masked
            written = ids[:-1] if ids[-1] == end else ids
            prompt = batch["prompt_ids"][place][batch["prompt_mask"][place].bool()].tolist()
            text = processor.tokenizer.decode(written, skip_special_tokens=False)
            asked.append(Said(self._pictures(row["image_id"]), row["question"], text, prompt, ids))
            places.append(place)
        found = torch.full(batch["completion_ids"].shape, math.nan)
        for place, logps in zip(places, self._scorer.score(asked), strict=True):
            found[place, : len(logps)] = torch.tensor([math.nan if v is None else v for v in logps])
        return found.to(batch["completion_ids"].device)
