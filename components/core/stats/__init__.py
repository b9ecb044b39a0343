"""Estimates with intervals, paired comparisons and the metrics of evaluation. Pure NumPy.

Items about one picture are not independent: a picture that is hard to see makes all its answers wrong.
Intervals and tests therefore take whole pictures (clusters) as the sample, not items.
"""

from __future__ import annotations

from components.core.stats.intervals import Bootstrap, Estimate, mean_estimate
from components.core.stats.metrics import pass_at_k, percentiles, probe_scores
from components.core.stats.paired import PairedComparison, mcnemar_exact, paired_comparison, sign_flip_exact

__all__ = [
    "Bootstrap",
    "Estimate",
    "PairedComparison",
    "mcnemar_exact",
    "mean_estimate",
    "paired_comparison",
    "pass_at_k",
    "percentiles",
    "probe_scores",
    "sign_flip_exact",
]
