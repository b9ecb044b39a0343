"""Prompts as vLLM reads them: it expands pictures itself, so each stands there as one token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


def collapse(ids: Sequence[int], image_token: int, pictures: int) -> list[int]:
    """Token ids with each run of the image token as one.

    Args:
        ids: a prompt in which every picture is as many image tokens as it has features.
        image_token: id of the image token.
        pictures: of the prompt; each is one run.

    Raises:
        ValueError: the prompt has another number of runs, so they do not tell the pictures apart.
    """
    runs = [(token, list(run)) for token, run in groupby(ids)]
    found = sum(token == image_token for token, _ in runs)
    if found != pictures:
        raise ValueError(
            f"a prompt with {pictures} pictures has {found} runs of image tokens ({image_token})"
        )
    return [token for token, run in runs for _ in (run[:1] if token == image_token else run)]
