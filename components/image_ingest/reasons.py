"""The closed list of reasons for which an entry of the source does not become an image of the run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why an entry was rejected; the value is what the `rejected` table stores."""

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
    UNSAFE_PATH = "unsafe_path"
    """A link that leaves the folder, or an archive member whose path would."""
    NOT_A_FILE = "not_a_file"
    """An archive member that is a link, a device or a sparse file."""
    DAMAGED_ARCHIVE = "damaged_archive"
    """The rest of an archive or table that cannot be read, or one that would unfold to an absurd size."""
    REFUSED_URL = "refused_url"
    """Not a URL, or one whose scheme or host is not in the allowed lists."""
    REFUSED_ADDRESS = "refused_address"
    """The URL's host is at a private, loopback or link-local address."""
    DOWNLOAD_FAILED = "download_failed"
    """The server said no, or did not answer after all retries."""
    KNOWN = "known"
    """An image of the catalogue, or nearly one."""
    DUPLICATE = "duplicate"
    """Its stored bytes equal those of an earlier image."""
    NEAR_DUPLICATE = "near_duplicate"
    """Its perceptual hash, or its embedding, is near that of an earlier kept image."""
    IN_BENCHMARK = "in_benchmark"
    """Its pixels, or nearly its pixels, are those of an image of a benchmark."""


@dataclass(frozen=True)
class Refused:
    """What is not an image of the run, and why."""

    reason: Reason
    detail: str
