"""Settings of the image_ingest stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from components.core.config import Settings

ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
OFF = -1
"""A Hamming distance that no pair of hashes has: the comparison is off."""
# null is accepted and means off; it is stored as a number because pipeline parameters cannot carry null.
Bits = Annotated[int, BeforeValidator(lambda value: OFF if value is None else value), Field(ge=OFF, le=31)]


class Config(Settings):
    """What counts as an image of the run, and how its stored form is bounded."""

    formats: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
    """Accepted formats, decided by content and never by file name. BMP and TIFF are stored as PNG, because few model
    servers take them."""
    max_file_bytes: int = Field(default=64 * 2**20, ge=1)
    """Larger files are rejected unread."""
    max_pixels: int = Field(default=64_000_000, ge=1)
    """Pictures with more pixels are rejected from their header, before a decompression bomb can unfold."""
    max_side_px: int = Field(default=2048, ge=32)
    """Longer side of a stored picture; larger ones are scaled down."""
    min_side_px: int = Field(default=32, ge=1)
    """Pictures whose shorter side is below this, after scaling, are rejected."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of pictures that had to be encoded again and came as JPEG; others are stored as PNG, without loss."""
    near_duplicate_bits: Bits = 4
    """Hamming distance of the 64-bit perceptual hashes up to which a picture is a near duplicate of an earlier one;
    -1 or null keeps all. Rendered or schematic pictures look alike to the hash and need 0 or null."""
    decontamination_bits: Bits = 4
    """Hamming distance up to which a picture counts as one of a benchmark's; -1 or null compares pixels
    only."""
    heldout_fraction: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the pictures held out from training, chosen by a hash of the image id."""
    workers: int | None = Field(default=None, ge=1)
    """Processes that decode; null takes one for each usable core. Does not change the output."""
    chunk_files: int = Field(default=64, ge=1)
    """Files a process reads before it commits its findings: what a kill can cost. Does not change the output."""
