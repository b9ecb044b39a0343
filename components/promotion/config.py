"""Settings of promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from components.core.stage.settings import WRITTEN_PATH, Settings
from components.stages import EVALUATED

if TYPE_CHECKING:
    Evaluated = str
else:
    Evaluated = Literal[EVALUATED]
Reference = Literal["base", "incumbent"]


class Criteria(Settings):
    """The gate. Differences are over the same items, in percentage points."""

    against: tuple[Reference, ...] = Field(default=("base", "incumbent"), min_length=1)
    """References of the final model: the base model, and the domain's current version where there is one."""
    rule: Literal["interval", "point"] = "interval"
    """Reading of "not worse by more than the margin".
    interval: the whole interval lies within the margin. A model that is worse by the margin passes with
    (1 - confidence)/2 at most, however small the benchmark.
    point: the measured difference lies within it; such a model passes every second time."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the two-sided intervals; each criterion decides by one side."""
    domain_gain_points: float = Field(default=5.0, ge=0)
    """Domain accuracy has to be higher than the base model's by this much. Under either rule the interval of
    the gain has to lie above 0."""
    incumbent_gain_points: float = Field(default=0.0, ge=0)
    """The same against the incumbent."""
    general_margin_points: float = Field(default=3.0, ge=0)
    """How much general accuracy may be lost."""
    hallucination_margin_points: float = Field(default=3.0, ge=0)
    """How much the rate of affirmed absent things may rise."""
    probe_f1_margin_points: float = Field(default=3.0, ge=0)
    """How much F1 of the yes/no probes may be lost, where they ask about present and absent things.
    Without it a model that always says no would look free of hallucination."""
    length_reference: Evaluated = "sft_3_align"
    """Stage whose mean response length is the yardstick within the run."""
    length_ratio: float = Field(default=1.1, gt=0)
    """Mean response length may be at most this multiple of the yardstick's, and of the incumbent's."""
    unmeasured: Literal["fail", "skip"] = "fail"
    """Verdict on a criterion that could not be measured: no benchmark of that role, or the incumbent answered
    another. `skip` leaves it out of the verdict, and says so."""
    resamples: int = Field(default=2000, ge=100)
    """Resamples of pictures behind each interval."""


class Config(Settings):
    """Settings of the gate and the registry."""

    domain: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    """Name of the domain: the registry's first level."""
    registry: str = Field(min_length=1, json_schema_extra=WRITTEN_PATH)
    """Root of the registry: a directory or s3://bucket/prefix; the environment gives endpoint and keys."""
    criteria: Criteria = Criteria()
    """The gate."""

    @field_validator("registry")
    @classmethod
    def _is_a_place(cls, registry: str) -> str:
        scheme, mark, rest = registry.partition("://")
        if mark and (scheme not in ("s3", "file") or not rest.strip("/")):
            raise ValueError("the registry is a directory or s3://bucket/prefix")
        return registry
