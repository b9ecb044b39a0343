"""Training rows from candidates: read, mixed, checked; what is not trained on is told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from components.core.conversations.base import BadRecord
from components.core.stage.errors import DataError
from components.curriculum_sft.checks import Planner, partition
from components.curriculum_sft.config import Config
from components.curriculum_sft.mixture import capped, mix
from components.curriculum_sft.samples import Row

Track = Callable[[list[Row]], Iterable[Row]]


def read_general(found: Iterable[Row | BadRecord]) -> tuple[list[Row], list[Row]]:
    """Samples, and rows of `rejected` for the records that are none."""
    rows: list[Row] = []
    rejected: list[Row] = []
    for item in found:
        if isinstance(item, BadRecord):
            rejected.append(item.row())
        else:
            rows.append(item)
    return rows, rejected


def mixed_samples(
    domain: list[Row],
    general: Iterable[Row | BadRecord],
    config: Config,
    planner: Planner,
    track: Track,
) -> tuple[list[Row], list[Row]]:
    """Checked samples of the mixture, and rows of `rejected`.

    Samples are chosen first and then checked, so that no more are planned than are trained on; where they are chosen
    by their tokens, all candidates are planned.
    """
    read, rejected = read_general(general)
    options: dict[str, Any] = {
        "domain_share": config.domain_share,
        "seed": config.seed,
        "mixture": config.mixture,
    }
    if not config.mixture.needs_lengths:
        chosen = mix(domain, read, max_general_samples=config.max_general_samples, **options)
        rows, bad = partition(chosen, planner, track)
        return rows, rejected + bad
    candidates = domain if config.domain_share > 0 else []
    limited = capped(read, config.max_general_samples, config.seed) if config.domain_share < 1 else []
    rows, bad = partition([*candidates, *limited], planner, track)
    from_domain = [row for row in rows if row["source"] == "domain"]
    return mix(from_domain, [row for row in rows if row["source"] != "domain"], **options), rejected + bad


def all_samples(
    domain: list[Row],
    general: Iterable[Row | BadRecord],
    config: Config,
    planner: Planner,
    track: Track,
) -> tuple[list[Row], list[Row]]:
    """Checked samples of the general data and of the domain, unmixed, and rows of `rejected`."""
    read, rejected = read_general(general)
    limited = capped(read, config.max_general_samples, config.seed) if config.max_general_samples else read
    rows, bad = partition([*limited, *domain], planner, track)
    return rows, rejected + bad


def settle(rows: list[Row], rejected: list[Row], config: Config) -> None:
    """Stop where nothing is left to train on, or where nothing may be rejected.

    Raises:
        DataError: naming the samples.
    """
    if rejected and config.unusable_samples == "stop":
        raise DataError(
            f"{len(rejected)} samples cannot be trained on; correct or remove them, or set unusable_samples to reject:"
            f"\n  {describe(rejected)}"
        )
    if not rows:
        reasons = dict(Counter(row["reason"] for row in rejected))
        raise DataError(
            f"nothing to train on: {reasons or 'no samples were built'}"
            + (f"\n  {describe(rejected)}" if rejected else "")
        )


def describe(rejected: list[Row], shown: int = 5) -> str:
    """The first rejected rows in words, one a line."""
    lines = [f"{row['id']}: {row['reason']}: {row['detail']}" for row in rejected[:shown]]
    if more := len(rejected) - len(lines):
        lines.append(f"and {more} more")
    return "\n  ".join(lines)
