"""The plan of sequence packing: which multimodal samples share a forward pass, and in which order. Pure.

A pack is a set of whole samples whose lengths (text and vision tokens together) fit a token budget. So a
forward pass carries next to no padding and always costs about the same. Packs are planned from lengths alone,
before any picture is decoded. From Kimi-VL (arXiv 2504.07491), section 2.4; the plan is best-fit decreasing
(Johnson, 1974).

`forward.py` runs a pack through the model; `objectives/sft.py` has the trainer.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from components.core.data.hashing import rng_for
from components.curriculum_sft.config import Config

# Packs are formed inside windows of shuffled samples: wide enough that lengths complement each other, narrow
# enough that epochs differ.
_WINDOW_PACKS = 64


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack items of these lengths, longest first, each into the fullest pack that still has room for it.

    Returns:
        Indices of each pack's items.

    Raises:
        ValueError: an item is longer than a pack.
    """
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, pack), ascending
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > capacity:
            raise ValueError(f"item {index} has {length} tokens, a pack holds {capacity}")
        slot = bisect_left(room, (length, -1))
        if slot < len(room):
            left, pack = room.pop(slot)
            packs[pack].append(index)
        else:
            left, pack = capacity, len(packs)
            packs.append([index])
        insort(room, (left - length, pack))
    return packs


def plan_epoch(
    lengths: Sequence[int],
    vision_tokens: Sequence[int],
    capacity: int,
    *,
    ranks: int,
    packs_per_rank: int,
    seed: int,
    epoch: int,
) -> list[list[int]]:
    """The packs of one epoch in the order in which they are trained on: a function of its arguments alone.

    Packs of one step hold about as many vision tokens on every rank: the slowest vision tower sets the pace.
    Packs with similar counts form a step. They are dealt largest first, each to the rank with the fewest
    vision tokens so far.

    Args:
        lengths: tokens of each sample, vision tokens included.
        vision_tokens: vision tokens of each sample.
        capacity: tokens of a pack.
        ranks: processes that train together.
        packs_per_rank: packs in one forward pass of one process.
        seed: of the shuffles.
        epoch: which epoch.

    Returns:
        Packs as lists of sample indices. `packs_per_rank` packs in a row belong to a rank, `ranks` such rows
        to a step.
    """
    rng = rng_for("packing", seed, epoch)
    order = rng.permutation(len(lengths))
    window_tokens = _WINDOW_PACKS * ranks * packs_per_rank * capacity
    total = np.cumsum(np.asarray(lengths, dtype=np.int64)[order])
    ends = np.arange(window_tokens, int(total[-1]) if len(total) else 0, window_tokens)
    step = ranks * packs_per_rank

    def most_vision(pack: list[int]) -> tuple[int, list[int]]:
        return -sum(vision_tokens[i] for i in pack), pack

    steps: list[list[list[int]]] = []
    rest: list[list[int]] = []
    for window in np.split(order, np.searchsorted(total, ends)):
        fitted = best_fit_decreasing([lengths[i] for i in window], capacity)
        packs = sorted(([int(window[i]) for i in pack] for pack in fitted), key=most_vision)
        whole = len(packs) - len(packs) % step
        steps += [packs[i : i + step] for i in range(0, whole, step)]
        rest += packs[whole:]
    rest.sort(key=most_vision)
    whole = len(rest) - len(rest) % step
    steps += [rest[i : i + step] for i in range(0, whole, step)]
    # A short step anywhere but at the end would shift every step behind it to other ranks.
    ordered = [steps[i] for i in rng.permutation(len(steps))] + [rest[whole:]]
    return [pack for packs in ordered for pack in _deal(packs, vision_tokens, ranks, packs_per_rank)]


def _deal(
    packs: list[list[int]], vision_tokens: Sequence[int], ranks: int, packs_per_rank: int
) -> list[list[int]]:
    """A step's packs by rank; the one with most vision tokens goes to the open rank with the fewest."""
    if len(packs) < ranks * packs_per_rank:
        return packs
    hands: list[list[list[int]]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for pack in packs:
        rank = min((r for r in range(ranks) if len(hands[r]) < packs_per_rank), key=lambda r: (loads[r], r))
        hands[rank].append(pack)
        loads[rank] += sum(vision_tokens[i] for i in pack)
    return [pack for hand in hands for pack in hand]


def plan(
    lengths: Sequence[int], vision_tokens: Sequence[int], capacity: int, *, epochs: float, **shared: int
) -> list[list[int]]:
    """The packs of every epoch, the last cut at its share; `shared` goes to `plan_epoch`."""
    packs: list[list[int]] = []
    for epoch in range(math.ceil(epochs)):
        planned = plan_epoch(lengths, vision_tokens, capacity, epoch=epoch, **shared)
        packs += planned[: round(min(1.0, epochs - epoch) * len(planned))]
    return packs


def packs_of(rows: Sequence[Mapping[str, Any]], config: Config, ranks: int) -> list[list[int]]:
    """The packs of a whole run, as indices of rows, in the order in which they are trained on."""
    lengths, vision = ([row[name] for row in rows] for name in ("length", "vision_tokens"))
    shared = {"ranks": ranks, "packs_per_rank": config.batch_samples, "seed": config.seed}
    planned = partial(plan, lengths, vision, config.pack_tokens, **shared)
    if not config.max_steps:
        return planned(epochs=config.epochs)
    needed = config.max_steps * config.accumulation_steps * config.batch_samples * ranks
    # The number of packs differs by a few between epochs: one epoch more than the first one asks for.
    return planned(epochs=math.ceil(needed / len(planned(epochs=1))) + 1)[:needed]


def fill(packs: Sequence[Sequence[int]], lengths: Sequence[int], capacity: int) -> float:
    """Share of the packs' room that holds tokens, in [0, 1]."""
    return sum(lengths[i] for pack in packs for i in pack) / (len(packs) * capacity) if packs else 0.0


def vision_imbalance(
    packs: Sequence[Sequence[int]], vision_tokens: Sequence[int], ranks: int, packs_per_rank: int
) -> float:
    """Vision tokens of the fullest rank above those of the mean rank, over all whole steps: 0 is even.

    Σ_steps max_rank / Σ_steps mean_rank − 1: the share of time that the vision tower's stragglers add.
    """
    counts = [sum(vision_tokens[i] for i in pack) for pack in packs]
    step = ranks * packs_per_rank
    whole = len(counts) - len(counts) % step
    loads = np.asarray(counts[:whole], dtype=np.float64).reshape(-1, ranks, packs_per_rank).sum(axis=2)
    mean = float(loads.mean(axis=1).sum())
    return float(loads.max(axis=1).sum()) / mean - 1 if mean else 0.0
