"""F1 of yes/no probes: the difference between two models, with an interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from components.core.stats import Bootstrap, Estimate
from components.core.stats.intervals import student_quantile
from components.promotion.paired import PairedProbes

# Weights of resampled clusters held at once; bounds memory at about 64 MB.
_BLOCK = 8_000_000


def f1_difference(probes: PairedProbes, bootstrap: Bootstrap) -> tuple[float, float, Estimate]:
    """F1 of the reference, F1 of the final model, and their difference with its interval; "yes" is positive.

    F1 = 2 TP / (said yes + truly yes) is a ratio of sums; its standard error comes from resampled pictures.
    The interval is Student's t with one degree less than there are pictures.
    """
    _, cluster = np.unique(np.asarray(probes.groups), return_inverse=True)
    groups, truth = int(cluster.max()) + 1, probes.truth_yes
    before_yes, after_yes = probes.before_yes, probes.after_yes
    counted = (before_yes & truth, before_yes, after_yes & truth, after_yes, truth)
    per_cluster = [np.bincount(cluster, weights=values, minlength=groups) for values in counted]
    sums = np.stack(per_cluster, axis=1).astype(np.float64)
    before, after = (float(f1[0]) for f1 in _f1_of(sums.sum(axis=0, keepdims=True)))
    difference = after - before
    if groups == 1:
        return before, after, Estimate(difference, -1.0, 1.0, len(truth))
    rng = np.random.default_rng(bootstrap.seed)
    block, changes = max(1, _BLOCK // groups), []
    for start in range(0, bootstrap.resamples, block):
        rows = min(block, bootstrap.resamples - start)
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=rows)
        old, new = _f1_of(weights @ sums)
        changes.append(new - old)
    spread = float(np.std(np.concatenate(changes))) * float(np.sqrt(groups / (groups - 1)))
    reach = student_quantile(0.5 + bootstrap.confidence / 2, groups - 1) * spread
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    return before, after, Estimate(difference, low, high, len(truth))


def _f1_of(sums: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """F1 of both models from rows of five sums: TP and said yes of each, truly yes; 0 where all are 0."""
    hits_before, said_before, hits_after, said_after, true = sums.T
    before, after = (
        np.divide(2 * hits, said + true, out=np.zeros_like(hits), where=said + true > 0)
        for hits, said in ((hits_before, said_before), (hits_after, said_after))
    )
    return before, after
