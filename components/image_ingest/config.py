"""Settings of the image_ingest stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from components.core.data.mapping import EngineSettings
from components.core.sources.address import ModelSource
from components.core.stage.settings import MODEL_PATH, READ_PATH, Settings

ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
OFF = -1
"""A Hamming distance that no pair of hashes has: the comparison is off."""
# null is accepted and means off; it is stored as a number because pipeline parameters cannot carry null.
Bits = Annotated[int, BeforeValidator(lambda value: OFF if value is None else value), Field(ge=OFF, le=31)]


class UrlSettings(Settings):
    """URLs that a list may name, and how they are fetched."""

    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    """Allowed schemes."""
    hosts: tuple[str, ...] = ()
    """Allowed hosts, also of redirects, as patterns: `images.example.org`, `*.example.org`, `*` for any."""
    allow_private_addresses: bool = False
    """Connect to private, loopback and link-local addresses too: only for trusted lists."""
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

    encoder: ModelSource = Field(default="", json_schema_extra=MODEL_PATH)
    """Directory of a vision encoder that transformers loads (CLIP, SigLIP, DINOv2, ...), with its
    `preprocessor_config.json`; empty is off. A path, `s3://bucket/prefix`, or a model of the hub,
    `owner/name@revision`."""
    min_cosine: float = Field(default=0.96, gt=0.0, le=1.0)
    """Least cosine similarity of near duplicates."""
    batch_images: int = Field(default=32, ge=1)
    """Pictures that the encoder takes at once."""
    device: str = "auto"
    """Torch device; auto takes the GPU where there is one."""


class Config(Settings):
    """Conditions for an image of the run, and bounds of its stored form."""

    source_kind: Literal["auto", "folder", "tar", "parquet", "urls", "objects"] = "auto"
    """Kind of the source; auto decides by its URI and by the files there."""
    image_column: str = ""
    """Column of Parquet sources that holds the pictures; empty takes the one that looks like it."""
    sidecar_suffixes: tuple[str, ...] = (".json", ".txt", ".cls", ".caption", ".npy", ".pth")
    """Endings of archive members that accompany pictures: left out, not counted."""
    urls: UrlSettings = UrlSettings()
    """URLs that a list may name, and how they are fetched."""
    catalogue: tuple[str, ...] = Field(default=(), json_schema_extra=READ_PATH)
    """Datasets of table `images` of earlier runs, as paths or `s3://` prefixes, pinned (`path#sha256=...`)
    or not. Their images are not taken again."""
    formats: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
    """Accepted formats, decided by content and never by file name. BMP and TIFF are stored as PNG, because
    few model servers take them."""
    max_file_bytes: int = Field(default=64 * 2**20, ge=1)
    """Larger files are rejected unread."""
    max_pixels: int = Field(default=64_000_000, ge=1)
    """Pictures with more pixels are rejected from their header, before a decompression bomb can expand."""
    max_side_px: int = Field(default=2048, ge=32)
    """Longer side of a stored picture; larger ones are scaled down."""
    min_side_px: int = Field(default=32, ge=1)
    """Pictures whose shorter side is below this, after scaling, are rejected."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality of JPEG pictures that had to be encoded again; others are stored as PNG, without loss."""
    near_duplicate_bits: Bits = 4
    """Largest Hamming distance of the 64-bit perceptual hashes of near duplicates; -1 or null keeps all.
    Rendered or schematic pictures have similar hashes and need 0 or null."""
    embedding: EmbeddingSettings = EmbeddingSettings()
    """Near duplicates by embeddings; off unless an encoder is named."""
    decontamination_bits: Bits = 4
    """Largest Hamming distance to a benchmark's picture that rejects one; -1 or null compares pixels only."""
    min_new_images: int = Field(default=0, ge=0)
    """Fewer new pictures than this end the run here, as a success: the output `enough` is false. 0 always
    goes on. For scheduled runs."""
    replay_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the pictures seen by the promoted model that are taken again, where a run starts from that
    model (`preflight.start_from`). Chosen by a hash of the image id."""
    heldout_fraction: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the pictures held out from training, chosen by a hash of the image id."""
    engine: EngineSettings = EngineSettings()
    """Where pictures are decoded. Does not change the output."""
    chunk_files: int = Field(default=64, ge=1)
    """Files that a process reads before it commits its findings; a kill can cost so many. Does not change the
    output."""
