"""A server sees what training saw: its count of tokens of a prompt with a picture is that of our processor.

The count depends on the chat template and on the least and most pixels of a picture. So a server with another
template or other limits counts otherwise, whichever engine it is.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from components.core.data.data_uri import data_uri
from components.core.stage.errors import DataError, EndpointError

PROMPT = "How many lights are on?"
SIZES = ((24, 40), (333, 500), (1100, 700))
"""Width and height, px: below the least pixels of most models, in between, above the most of small ones."""


def _picture(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def expected_tokens(checkpoint: Path) -> list[int]:
    """Tokens of the prompt with a picture of each size, by the processor that training wrote."""
    from components.core.vlm.messages import prompt_text
    from components.core.vlm.processor import load_processor, open_image

    processor = load_processor(checkpoint)
    text = prompt_text(processor, PROMPT)
    shown = [open_image(_picture(size)) for size in SIZES]
    return [len(processor(text=[text], images=[picture])["input_ids"][0]) for picture in shown]


async def check_parity(url: str, model: str, checkpoint: Path) -> None:
    """Ask the server for one token a picture and compare its counts.

    Raises:
        DataError: a count differs; the server would not see pictures as training did.
        EndpointError: the server does not answer the question.
    """
    wanted = expected_tokens(checkpoint)
    counted = [await _count(url, model, size) for size in SIZES]
    if counted != wanted:
        sizes = ", ".join(f"{width}×{height}" for width, height in SIZES)
        raise DataError(
            f"{checkpoint}: for pictures of {sizes} the server counts {counted} tokens, training {wanted}: "
            "its chat template or its limits of pictures are others"
        )


async def _count(url: str, model: str, size: tuple[int, int]) -> int:
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": data_uri(_picture(size))}},
        {"type": "text", "text": PROMPT},
    ]
    body = {"model": model, "messages": [{"role": "user", "content": parts}], "max_tokens": 1}
    limit = aiohttp.ClientTimeout(total=600)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(f"{url}/chat/completions", json=body) as answer,
        ):
            said = await answer.json(content_type=None)
            return int(said["usage"]["prompt_tokens"])
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
        raise EndpointError(f"{url}: no answer to a question with a picture ({error!r})") from error
