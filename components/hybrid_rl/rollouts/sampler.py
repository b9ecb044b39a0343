"""Prompt curriculum and priorities: easy questions first, then those at which the policy still fails most."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path

import numpy as np
from torch.utils.data import Sampler

from components.core.data.files import write_json_atomic
from components.hybrid_rl.settings import Prompts

Reserved = Sequence[tuple[float, Collection[str]]]
_EPS = 1e-9


class PromptSampler:
    """Draws the questions of each generation.

    Open questions are the easiest share of all, growing from `curriculum_start` to 1. Among the open ones,
    questions are drawn without replacement in proportion to 1 - running success rate (never less than
    `priority_floor`). Some may have a part of every draw to themselves (`reserved`), open or not.

    The running pass rates also tell how much there is left to explore: see `explored`.

    The data loader's prefetching draws ahead of use. `observe` settles the oldest draw. Draws not yet settled
    belong to the state, which travels in the checkpoint: a resumed run draws exactly what the uninterrupted
    one would.

    Args:
        ids: question ids.
        difficulty: of each question, in [0, 1]; ties keep their order.
        settings: curriculum and priority.
        generations: draws in the whole training.
        seed: of the draws.
        rates: measured pass rates; below 0, or without any, not measured.
        reserved: (share of a draw, ids of the questions that it is for). Where they are too few, the rest of
            the part goes to the others.
    """

    FILE = "prompt_sampler.json"
    """Name of the state's file in a checkpoint."""

    def __init__(
        self,
        ids: Sequence[str],
        difficulty: Sequence[float],
        settings: Prompts,
        generations: int,
        seed: int,
        rates: Sequence[float] = (),
        reserved: Reserved = (),
    ):
        self.ids, self.settings, self.generations, self.drawn = list(ids), settings, generations, 0
        self.success = np.zeros(len(self.ids))
        self.visits = np.zeros(len(self.ids), dtype=np.int64)
        self._index = {key: i for i, key in enumerate(self.ids)}
        self._easy_first = np.argsort(np.asarray(difficulty, dtype=np.float64), kind="stable")
        self._rng = np.random.default_rng(seed)
        self._pending: deque[list[int]] = deque()
        self.rates = np.array(rates or [-1.0] * len(self.ids))
        self._to_explore = self._left()
        self._reserved = self._members(reserved)

    def open_questions(self) -> int:
        """Questions, easiest first, that the next draw may take."""
        start = self.settings.curriculum_start
        ramp = self.settings.curriculum_finish * self.generations
        share = 1.0 if self.drawn >= ramp else start + (1.0 - start) * self.drawn / ramp
        return max(1, ceil(share * len(self._easy_first)))

    def draw(self, count: int) -> list[int]:
        """Indices of the next `count` questions; one comes twice only when fewer are open."""
        indices: list[int] = []
        for share, members in self._reserved:
            # The parts of a question that a share leaves over add up over the draws.
            wanted = int((self.drawn + 1) * share * count + _EPS) - int(self.drawn * share * count + _EPS)
            free = np.setdiff1d(np.intersect1d(members, self._easy_first), indices)
            indices += self._choice(free, min(wanted, len(free)))
        open_ = self._easy_first[: max(self.open_questions(), count)]
        free = open_[~np.isin(open_, indices)]
        indices += self._choice(free if len(free) else open_, count - len(indices))
        self._pending.append(indices)
        self.drawn += 1
        return indices

    def _choice(self, among: np.ndarray, count: int) -> list[int]:
        if not count:
            return []
        weights = np.ones(len(among))
        if self.settings.prioritised:
            weights = np.maximum(1.0 - self.success[among], self.settings.priority_floor)
        chosen = self._rng.choice(among, size=count, replace=count > len(among), p=weights / weights.sum())
        return [int(i) for i in chosen]

    def explored(self) -> float:
        """Share of the exploring that is done, in [0, 1]; 1 where there was nothing to explore.

        To explore are the questions whose pass rate, measured first and then running, lies above 0 and below
        `hard_below`. They may become more again, where the policy finds an answer for the first time.
        """
        return max(0.0, 1.0 - self._left() / self._to_explore) if self._to_explore else 1.0

    def _left(self) -> int:
        return int(((self.rates > 0) & (self.rates < self.settings.hard_below)).sum())

    def _members(self, reserved: Reserved) -> list[tuple[float, list[int]]]:
        return [(share, [self._index[key] for key in keys if key in self._index]) for share, keys in reserved]

    def pending(self) -> list[list[int]]:
        """Draws that have not been settled, oldest first."""
        return [list(indices) for indices in self._pending]

    def observe(self, success: Mapping[str, float]) -> None:
        """Settle the oldest draw with the success rates of its questions.

        Raises:
            ValueError: the questions are not those of the oldest draw (rollouts and sampler have come apart).
        """
        oldest = {self.ids[i] for i in self._pending[0]} if self._pending else set()
        if oldest != set(success):
            raise ValueError("the scored questions are not those of the oldest draw")
        self._pending.popleft()
        decay = self.settings.success_decay
        for key, rate in success.items():
            i = self._index[key]
            self.success[i] = rate if self.visits[i] == 0 else decay * self.success[i] + (1.0 - decay) * rate
            self.visits[i] += 1
            known = self.rates[i] >= 0
            self.rates[i] = decay * self.rates[i] + (1.0 - decay) * rate if known else rate

    def refresh(
        self,
        rates: Mapping[str, float],
        difficulty: Sequence[float],
        kept: Collection[str],
        reserved: Reserved = (),
    ) -> None:
        """Take new pass rates as the success rates and as the order of the curriculum.

        Args:
            rates: of every question, below 0 where it was not measured.
            difficulty: of each question, in their order.
            kept: ids of the questions that stay open, at least one; the others are drawn again when a later
                refresh keeps them.
            reserved: in place of the parts of the draws so far.
        """
        self._reserved = self._members(reserved)
        measured = np.array([rates[key] for key in self.ids], dtype=np.float64)
        known = measured >= 0
        self.success = np.where(known, measured, self.success)
        self.rates = np.where(known, measured, self.rates)
        self.visits = np.where(known, np.maximum(self.visits, 1), self.visits)
        open_ = np.array([key in kept for key in self.ids])
        order = np.argsort(np.asarray(difficulty, dtype=np.float64), kind="stable")
        self._easy_first = order[open_[order]]

    def save(self, checkpoint: Path) -> None:
        """Write the whole changing state into a checkpoint."""
        state = {
            "ids": self.ids,
            "drawn": self.drawn,
            "success": self.success.tolist(),
            "visits": self.visits.tolist(),
            "easy_first": self._easy_first.tolist(),
            "pending": self.pending(),
            "rates": self.rates.tolist(),
            "to_explore": self._to_explore,
            "reserved": self._reserved,
            "rng": self._rng.bit_generator.state,
        }
        write_json_atomic(checkpoint / self.FILE, state)

    def restore(self, checkpoint: Path) -> None:
        """Go on from the state in a checkpoint.

        Raises:
            ValueError: the state belongs to other questions.
        """
        state = json.loads((checkpoint / self.FILE).read_text(encoding="utf-8"))
        if state["ids"] != self.ids:
            raise ValueError("the sampler's state belongs to another set of questions")
        self.drawn = state["drawn"]
        self.success = np.asarray(state["success"], dtype=np.float64)
        self.visits = np.asarray(state["visits"], dtype=np.int64)
        self._easy_first = np.asarray(state["easy_first"], dtype=np.int64)
        self._pending = deque(state["pending"])
        self.rates = np.asarray(state["rates"], dtype=np.float64)
        self._to_explore = state["to_explore"]
        self._reserved = [(share, members) for share, members in state["reserved"]]
        self._rng.bit_generator.state = state["rng"]


class GenerationSampler(Sampler[int]):
    """Feeds a `PromptSampler`'s draws to TRL's data loader, each question `group_size` times.

    Draws that were pending when the state was saved come first.

    Args:
        draws: in the whole training.
        count: questions in a draw.
        repeat: times that each draw is given, one for every update made from it.
    """

    def __init__(self, prompts: PromptSampler, draws: int, count: int, group_size: int, repeat: int) -> None:
        self.prompts, self.draws, self.count = prompts, draws, count
        self.group_size, self.repeat = group_size, repeat

    def __len__(self) -> int:
        return self.draws * self.count * self.group_size * self.repeat

    def __iter__(self) -> Iterator[int]:
        pending = self.prompts.pending()
        for number in range(self.draws):
            indices = pending[number] if number < len(pending) else self.prompts.draw(self.count)
            for _ in range(self.repeat):
                for index in indices:
                    yield from [index] * self.group_size
