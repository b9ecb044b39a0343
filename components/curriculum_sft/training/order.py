"""The order of samples: shuffled every epoch, batches of similar length, known from the seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from transformers import TrainerCallback

from components.core.data.hashing import rng_for

_GROUP_BATCHES = 32


class LengthGroupedOrder(Sampler[int]):
    """All indices shuffled, sorted by length inside groups of a few batches, then shuffled by batch.

    The order is a function of (seed, epoch). `transformers.LengthGroupedSampler` draws from torch's global
    generator, whose state at an epoch's start a run that is resumed within the epoch cannot know.

    Args:
        lengths: tokens of each sample.
        batch: samples in one batch, over all devices.
        seed: of the shuffles.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch, self._seed = batch, seed
        self.epoch = 0
        """Epoch of the next iteration. No `set_epoch`: accelerate calls it with 0 for a resumed epoch."""

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        rng = rng_for("order", self._seed, self.epoch)
        indices = rng.permutation(len(self._lengths))
        group = self._batch * _GROUP_BATCHES
        batches: list[np.ndarray] = []
        for start in range(0, len(indices), group):
            part = indices[start : start + group]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            batches += [part[i : i + self._batch] for i in range(0, len(part), self._batch)]
        # A short batch anywhere but at the end would shift every batch behind it; only the last can be short.
        full = len(indices) // self._batch
        for i in [*rng.permutation(full), *range(full, len(batches))]:
            yield from batches[i].tolist()


class FollowEpoch(TrainerCallback):
    """Tells the order which epoch begins, or goes on after a resumption: the one that the step lies in."""

    def __init__(self, order: LengthGroupedOrder) -> None:
        self._order = order

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any
    ) -> None:
        steps = max(1, math.ceil(len(train_dataloader) / args.gradient_accumulation_steps))
        self._order.epoch = state.global_step // steps


class GenerationOrder(LengthGroupedOrder):
    """A generation's questions, as often as it has forward passes; an incomplete last generation is left out.

    Args:
        lengths: tokens of each question's sample.
        generation: questions of one step, over all ranks and forward passes.
        passes: forward passes of one step; TRL hands each of them the whole generation.
        seed: of the shuffles.
    """

    def __init__(self, lengths: Sequence[int], generation: int, passes: int, seed: int) -> None:
        super().__init__(lengths, generation, seed)
        self._passes = passes

    def __len__(self) -> int:
        return super().__len__() // self._batch * self._batch * self._passes

    def __iter__(self) -> Iterator[int]:
        order = super().__iter__()
        while len(generation := list(islice(order, self._batch))) == self._batch:
            for _ in range(self._passes):
                yield from generation
