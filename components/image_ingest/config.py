"""Settings of the image_ingest stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from components.core.data.mapping import EngineSettings
from components.core.stage.settings import READ_PATH, Settings

ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
OFF = -1
"""A Hamming distance that no pair of hashes has: the comparison is off."""
# null is accepted and means off; it is stored as a number because pipeline parameters cannot carry null.
Bits = Annotated[int, BeforeValidator(lambda value: OFF if value is None else value), Field(ge=OFF, le=31)]


class UrlSettings(Settings):
    """What a list of URLs may fetch, and how."""

    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    """Allowed schemes."""
    hosts: tuple[str, ...] = ()
    """Allowed hosts, as patterns: `images.example.org`, `*.example.org`, `*` for any. Redirects must stay among them."""
    allow_private_addresses: bool = False
    """Connect to private, loopback and link-local addresses too: only for lists that are trusted."""
    column: str = "url"
    """Column of a CSV or TSV file, or key of a JSON Lines file, that holds the URL."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Limit for one download, in seconds."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    """Limit for one connection, in seconds."""
    retries: int = Field(default=3, ge=0)
    """Further attempts on 408, 425, 429, 5xx, timeouts and cut connections, with exponential backoff."""
    max_redirects: int = Field(default=5, ge=0)
    """Redirects that a download may take."""
    connections: int = Field(default=32, ge=1)
    """Downloads at once, of each worker process."""
    connections_per_host: int = Field(default=8, ge=1)
    """Downloads at once from one host, of each worker process."""
    user_agent: str = "vlm-posttrain"
    """How requests name themselves."""


class EmbeddingSettings(Settings):
    """Near duplicates by the embeddings of a local vision encoder, beside the perceptual hash."""

    encoder: str = Field(default="", json_schema_extra=READ_PATH)
    """Directory of a vision encoder that transformers loads, with `preprocessor_config.json` (CLIP, SigLIP, DINOv2, ...);
    empty is off."""
    min_cosine: float = Field(default=0.96, gt=0.0, le=1.0)
    """Cosine similarity from which on a picture is a near duplicate of an earlier one."""
    batch_images: int = Field(default=32, ge=1)
    """Pictures that the encoder takes at once."""
    device: str = "auto"
    """Torch device; auto takes the GPU where there is one."""


class Config(Settings):
    """What counts as an image of the run, and how its stored form is bounded."""

    source_kind: Literal["auto", "folder", "tar", "parquet", "urls", "objects"] = "auto"
    """What the source is; auto decides by its URI and by what lies there."""
    image_column: str = ""
    """Column of Parquet sources that holds the pictures; empty takes the one that looks like it."""
    sidecar_suffixes: tuple[str, ...] = (".json", ".txt", ".cls", ".caption", ".npy", ".pth")
    """Endings of archive members that accompany pictures: not looked at, not counted."""
    urls: UrlSettings = UrlSettings()
    """What a list of URLs may fetch, and how."""
    catalogue: tuple[str, ...] = Field(default=(), json_schema_extra=READ_PATH)
    """Datasets of table `images` of earlier runs, as paths, pinned (`path#sha256=...`) or not: what they hold is not taken
    again."""
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
    embedding: EmbeddingSettings = EmbeddingSettings()
    """Near duplicates by embeddings; off unless an encoder is named."""
    decontamination_bits: Bits = 4
    """Hamming distance up to which a picture counts as one of a benchmark's; -1 or null compares pixels
    only."""
    min_new_images: int = Field(default=0, ge=0)
    """Fewer new pictures than this end the run here, as a success: the output `enough` is false, and the tasks behind it
    are skipped. 0 goes on whatever there is. For scheduled runs."""
    replay_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the pictures that the promoted model has seen, chosen by a hash of the image id, that are taken again with
    the new ones, where a run starts from that model (`preflight.start_from`)."""
    heldout_fraction: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the pictures held out from training, chosen by a hash of the image id."""
    engine: EngineSettings = EngineSettings()
    """Where pictures are decoded. Does not change the output."""
    chunk_files: int = Field(default=64, ge=1)
    """Files a process reads before it commits its findings: what a kill can cost. Does not change the output."""
