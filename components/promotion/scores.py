"""Scores files of evaluation: read, checked, and joined to one table metric × stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat, NonNegativeInt, ValidationError, model_validator

from components.core.stage.errors import DataError, faults

METRICS = (
    "domain_accuracy",
    "general_accuracy",
    "hallucination_rate",
    "probe_f1",
    "pass_at_1",
    "pass_at_8",
    "mean_response_tokens",
)
"""The summary's columns; a metric that was not measured stays a column."""


class Measure(BaseModel, frozen=True):
    """An estimate with its interval, over `n` items."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    n: NonNegativeInt

    @model_validator(mode="after")
    def _is_an_interval(self) -> Measure:
        if self.low > self.high:
            raise ValueError(f"low {self.low} above high {self.high}")
        return self


class Source(BaseModel, frozen=True):
    """A benchmark that was asked, as the scores' settings name it."""

    name: str
    role: str
    digest: str


class ScoresSettings(BaseModel, frozen=True):
    """The part of the scores' settings that promotion reads."""

    benchmarks: list[Source] = []


class Scores(BaseModel, frozen=True):
    """The scores of one model."""

    label: str
    checkpoint_digest: str
    metrics: dict[str, Measure]
    settings: ScoresSettings = ScoresSettings()

    @property
    def sources(self) -> list[Source]:
        """The benchmarks that were asked."""
        return self.settings.benchmarks


def read_scores(path: Path, label: str) -> Scores:
    """Read the scores file of the stage `label`.

    Raises:
        DataError: not JSON, fields are missing or impossible, or it holds another stage's scores.
    """
    scores = parse_scores(path.read_bytes(), f"{path}: not a scores file; run evaluation of {label} again")
    if scores.label != label:
        raise DataError(
            f"{path}: holds the scores of '{scores.label}', expected those of '{label}'; check the wiring"
        )
    return scores


def parse_scores(content: bytes, problem: str) -> Scores:
    """Validate the content of a scores file.

    Raises:
        DataError: `problem`, with what is wrong.
    """
    try:
        return Scores.model_validate(json.loads(content))
    except ValidationError as error:
        raise DataError(f"{problem} ({faults(error)})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{problem} ({error})") from error


def summarise(runs: Sequence[Scores]) -> dict[str, Any]:
    """One table for the whole run: a row a stage, a column a metric, None where a stage did not measure it.

    Returns:
        `columns`: the metrics. `rows`: `stage`, `checkpoint_digest`, and value, low, high, n by metric.
    """
    rows = []
    for scores in runs:
        measured = {name: scores.metrics.get(name) for name in METRICS}
        cells = {name: measure and measure.model_dump() for name, measure in measured.items()}
        rows.append({"stage": scores.label, "checkpoint_digest": scores.checkpoint_digest, **cells})
    return {"columns": list(METRICS), "rows": rows}
