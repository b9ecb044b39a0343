"""A real photograph, and pictures as encoded bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image


@pytest.fixture(scope="session")
def photograph() -> Image.Image:
    """A photograph of 451 x 300 RGB pixels."""
    with Image.open(Path(skimage.data.__file__).parent / "chelsea.png") as image:
        return image.convert("RGB")


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(image, "JPEG", quality=90) -> bytes."""

    def go(image: Image.Image, image_format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return go
