"""Dawid-Skene on 1,000,000 votes: ours against crowd-kit's `DawidSkene`, in the same process.

Data: 200,000 items with 4 labels, each answered by 5 of 12 voters, seed 0. Voters' accuracy runs from 0.45 to
0.95; wrong labels are uniform. Both run in turn, `--repeats` rounds, with the same iteration limit and
tolerance. The time is the whole fit: from integer arrays (ours), from the data frame that crowd-kit takes.
Then each runs once in a process of its own for peak memory.

Target: at most a fifth of crowd-kit's time, posteriors equal within 1e-6. Needs the `bench` extra
(crowd-kit).

    python -m benchmarks.data.dawid_skene [--scale 1.0] [--repeats 5]
"""

from __future__ import annotations

import argparse
import multiprocessing
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import high_water_mb, result, side_by_side
from components.voting_filter.methods.dawid_skene.confusion import ConfusionModel, fit_confusion

ITEMS, VOTES_PER_ITEM, VOTERS, LABELS = 200_000, 5, 12, 4
ITERATIONS, TOLERANCE = 100, 1e-7


@dataclass(frozen=True)
class Votes:
    """Votes as parallel arrays of integers, and the labels that are true."""

    items: NDArray[np.int64]
    voters: NDArray[np.int64]
    labels: NDArray[np.int64]
    truth: NDArray[np.int64]


def make_votes(n_items: int, seed: int = 0) -> Votes:
    """Draw votes as the module's docstring says."""
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(n_items), VOTES_PER_ITEM)
    voters = np.argsort(rng.random((n_items, VOTERS)), axis=1)[:, :VOTES_PER_ITEM].ravel()
    truth = rng.choice(LABELS, size=n_items, p=(0.4, 0.3, 0.2, 0.1))
    right = rng.random(len(items)) < np.linspace(0.45, 0.95, VOTERS)[voters]
    wrong = (truth[items] + rng.integers(1, LABELS, len(items))) % LABELS
    return Votes(items, voters, np.where(right, truth[items], wrong), truth)


def fit_ours(votes: Votes) -> ConfusionModel:
    """Our implementation."""
    shape = (len(votes.truth), VOTERS, LABELS)
    return fit_confusion(
        votes.items, votes.voters, votes.labels, shape, max_iterations=ITERATIONS, tolerance=TOLERANCE
    )


def fit_peer(frame: Any) -> Any:
    """crowd-kit's, fitted; `probas_` is a frame of items by labels."""
    from crowdkit.aggregation import DawidSkene as Peer

    return Peer(n_iter=ITERATIONS, tol=TOLERANCE).fit(frame)


def to_frame(votes: Votes) -> Any:
    """The data frame that crowd-kit reads."""
    import pandas as pd

    return pd.DataFrame({"task": votes.items, "worker": votes.voters, "label": votes.labels})


def peak_mb(which: str, n_items: int) -> tuple[float, float]:
    """Peak resident memory before and after a fit, in MB; to be called in a process of its own."""
    small, votes = make_votes(100), make_votes(n_items)
    if which == "ours":
        before = high_water_mb()
        fit_ours(votes)
    else:
        fit_peer(to_frame(small))  # its imports are not the fit's memory
        frame = to_frame(votes)
        before = high_water_mb()
        fit_peer(frame)
    return before, high_water_mb()


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the 1,000,000 votes")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of the comparison")
    args = parser.parse_args()
    n_items = max(100, int(ITEMS * args.scale))
    votes = make_votes(n_items)
    frame = to_frame(votes)
    peer, ours = fit_peer(frame), fit_ours(votes)
    theirs = peer.probas_.sort_index().sort_index(axis=1).to_numpy()
    seconds = side_by_side(
        {"ours": lambda: fit_ours(votes), "crowd_kit": lambda: fit_peer(frame)}, args.repeats
    )
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = {which: pool.apply(peak_mb, (which, n_items)) for which in ("ours", "crowd_kit")}
    result(
        "dawid_skene",
        votes=len(votes.items),
        items=n_items,
        voters=VOTERS,
        labels=LABELS,
        seed=0,
        crowd_kit_version=metadata.version("crowd-kit"),
        iterations={"ours": len(ours.losses), "crowd_kit": len(peer.loss_history_)},
        largest_posterior_difference=float(np.abs(theirs - ours.posterior).max()),
        within_1e_6=bool(np.abs(theirs - ours.posterior).max() <= 1e-6),
        accuracy=round(float((ours.posterior.argmax(axis=1) == votes.truth).mean()), 4),
        seconds=seconds,
        times_faster=round(seconds["crowd_kit"]["median_s"] / seconds["ours"]["median_s"], 1),
        at_most_a_fifth=seconds["ours"]["median_s"] * 5 <= seconds["crowd_kit"]["median_s"],
        peak_mb={which: round(after, 1) for which, (_, after) in memory.items()},
        fit_mb={which: round(after - before, 1) for which, (before, after) in memory.items()},
    )


if __name__ == "__main__":
    main()
