"""Mixing domain and general samples by their share of supervised answers. Pure."""

from __future__ import annotations

from components.core.config import rng_for
from components.curriculum_sft.samples import Row, count_answers


def mix(
    domain: list[Row], general: list[Row], *, domain_share: float, max_general_samples: int = 0, seed: int = 0
) -> list[Row]:
    """Draw samples so that about `domain_share` of all answers come from the domain.

    The side that the share leaves too large is thinned by a seeded draw of whole samples; no sample is repeated.

    Args:
        domain: domain samples.
        general: general samples.
        domain_share: wanted share of domain answers, in [0, 1]; 1 leaves the general samples out, 0 the domain's.
        max_general_samples: most general samples; 0 for no limit.
        seed: of the draw.

    Returns:
        The drawn samples, in one seeded order.
    """
    domain, general = shuffled(domain, seed, "domain"), shuffled(general, seed, "general")
    if max_general_samples:
        general = general[:max_general_samples]
    if domain_share >= 1:
        general = []
    elif domain_share <= 0:
        domain = []
    else:
        ratio = domain_share / (1 - domain_share)  # domain answers for one general answer
        total_domain, total_general = (sum(map(count_answers, rows)) for rows in (domain, general))
        domain = _up_to(domain, ratio * total_general)
        general = _up_to(general, total_domain / ratio)
    return shuffled(domain + general, seed, "mixture")


def answer_share(rows: list[Row], source: str = "domain") -> float:
    """Share of the supervised answers of `rows` that come from `source`."""
    counts = [(row["source"] == source, count_answers(row)) for row in rows]
    total = sum(count for _, count in counts)
    return sum(count for own, count in counts if own) / total if total else 0.0


def shuffled(rows: list[Row], seed: int, name: str) -> list[Row]:
    """The rows in an order that depends on the seed, the name and their number alone."""
    return [rows[i] for i in rng_for("mixture", seed, name).permutation(len(rows))]


def _up_to(rows: list[Row], answers: float) -> list[Row]:
    """The longest prefix with at most `answers` answers (one sample at least, if there is any)."""
    taken: list[Row] = []
    total = 0
    for row in rows:
        total += count_answers(row)
        if taken and total > answers + 1e-9:
            break
        taken.append(row)
    return taken
