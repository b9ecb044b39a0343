"""Settings of promotion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from components.core.config import Settings

Stage = Literal["base", "sft_1_domain", "sft_2_restore", "sft_3_align", "hybrid_rl"]


class Criteria(Settings):
    """What the final model has to show; shares are compared in percentage points."""

    domain_gain_points: float = Field(default=5.0, ge=0)
    """Domain accuracy has to be higher than the base model's by this many points, and the interval of the gain above 0."""
    general_kept_ratio: float = Field(default=0.97, ge=0)
    """General accuracy has to be at least this share of the base model's."""
    hallucination_reference: Stage = "base"
    """Stage whose hallucination rate must not be exceeded."""
    hallucination_margin_points: float = Field(default=2.0, ge=0)
    """How far the hallucination rate may lie above the reference."""
    length_reference: Stage = "sft_3_align"
    """Stage whose mean response length is the yardstick."""
    length_ratio: float = Field(default=1.1, gt=0)
    """Mean response length may be at most this multiple of the reference's."""
    unmeasured: Literal["fail", "skip"] = "fail"
    """What a criterion counts as when its metric was not measured (no benchmark of that role): `skip` leaves it out
    of the verdict, and says so."""


class Config(Settings):
    """Settings of the gate and the registry."""

    domain: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """Name of the domain: the registry's first level."""
    registry: str = Field(min_length=1)
    """Directory of the registry."""
    criteria: Criteria = Criteria()
    """The gate."""

    @field_validator("registry")
    @classmethod
    def _is_a_directory(cls, registry: str) -> str:
        if "://" in registry:
            raise ValueError("the registry is a directory; mount the bucket or volume and give its path")
        return registry
