"""Order of the questions: easy to hard, then by how often the policy still fails. State travels in the checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np

from .config import Prompts


class PromptSampler:
    """Draws the questions of each generation.

    Open questions are the easiest share of all, growing from `curriculum_start` to 1. Among the open ones, questions
    are drawn without replacement in proportion to 1 - running success rate (never less than `priority_floor`).

    Draws are made ahead of their use, by the data loader's prefetching. `observe` settles the oldest draw; draws not
    yet settled belong to the state, so a resumed run draws exactly what the uninterrupted one would.
    """

    def __init__(
        self, ids: Sequence[str], difficulty: Sequence[float], settings: Prompts, generations: int, seed: int
    ):
        """A sampler over questions.

        Args:
            ids: question ids.
            difficulty: of each question, in [0, 1]; ties keep their order.
            settings: curriculum and priority.
            generations: draws in the whole training.
            seed: of the draws.
        """
        self.ids = list(ids)
        self.settings = settings
        self.generations = generations
        self.drawn = 0
        self.success = np.zeros(len(self.ids))
        self.visits = np.zeros(len(self.ids), dtype=np.int64)
        self._index = {key: i for i, key in enumerate(self.ids)}
        self._easy_first = np.argsort(np.asarray(difficulty, dtype=np.float64), kind="stable")
        self._rng = np.random.default_rng(seed)
        self._pending: deque[list[int]] = deque()

    def open_questions(self) -> int:
        """How many questions, easiest first, the next draw may take."""
        start = self.settings.curriculum_start
        ramp = self.settings.curriculum_finish * self.generations
        share = 1.0 if self.drawn >= ramp else start + (1.0 - start) * self.drawn / ramp
        return max(1, ceil(share * len(self._easy_first)))

    def draw(self, count: int) -> list[int]:
        """Indices of the next `count` questions; one comes twice only when fewer are open."""
        open_ = self._easy_first[: max(self.open_questions(), count)]
        weights = np.ones(len(open_))
        if self.settings.prioritised:
            weights = np.maximum(1.0 - self.success[open_], self.settings.priority_floor)
        chosen = self._rng.choice(open_, size=count, replace=count > len(open_), p=weights / weights.sum())
        indices = [int(i) for i in chosen]
        self._pending.append(indices)
        self.drawn += 1
        return indices

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

    def refresh(self, rates: Mapping[str, float], difficulty: Sequence[float], kept: Collection[str]) -> None:
        """Take pass rates that were measured anew: they are the success rates now, and order the curriculum.

        Args:
            rates: of every question.
            difficulty: of each question, in their order.
            kept: ids of the questions that stay open, at least one; the others are drawn again when a later
                refresh keeps them.
        """
        self.success = np.array([rates[key] for key in self.ids], dtype=np.float64)
        self.visits = np.maximum(self.visits, 1)
        open_ = np.array([key in kept for key in self.ids])
        order = np.argsort(np.asarray(difficulty, dtype=np.float64), kind="stable")
        self._easy_first = order[open_[order]]

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, JSON-able."""
        return {
            "ids": self.ids,
            "drawn": self.drawn,
            "success": self.success.tolist(),
            "visits": self.visits.tolist(),
            "easy_first": self._easy_first.tolist(),
            "pending": self.pending(),
            "rng": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: the state belongs to other questions.
        """
        if list(state["ids"]) != self.ids:
            raise ValueError("the sampler's state belongs to another set of questions")
        self.drawn = int(state["drawn"])
        self.success = np.asarray(state["success"], dtype=np.float64)
        self.visits = np.asarray(state["visits"], dtype=np.int64)
        self._easy_first = np.asarray(state["easy_first"], dtype=np.int64)
        self._pending = deque([list(indices) for indices in state["pending"]])
        self._rng.bit_generator.state = state["rng"]
