"""The closed list of reasons for which a file does not become an image of the run."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a file was rejected; the value is what the `rejected` table stores."""

    NOT_AN_IMAGE = "not_an_image"
    """The first bytes are those of no image format known here."""
    UNSUPPORTED_FORMAT = "unsupported_format"
    """An image, but in a format that the configuration does not accept."""
    EMPTY_FILE = "empty_file"
    """Zero bytes."""
    TRUNCATED = "truncated"
    """The file ends before its picture does."""
    UNREADABLE = "unreadable"
    """The file cannot be read or its data cannot be decoded."""
    TOO_LARGE_FILE = "too_large_file"
    """More bytes than `max_file_bytes`."""
    TOO_MANY_PIXELS = "too_many_pixels"
    """More pixels than `max_pixels`: refused from the header, before any pixel is decoded."""
    TOO_SMALL = "too_small"
    """Shorter side below `min_side_px`, measured after the size bound was applied."""
    DUPLICATE = "duplicate"
    """Its stored bytes equal those of an earlier image."""
    NEAR_DUPLICATE = "near_duplicate"
    """Its perceptual hash is within `near_duplicate_bits` of an earlier kept image."""
    IN_BENCHMARK = "in_benchmark"
    """Its pixels, or nearly its pixels, are those of an image of a benchmark."""
