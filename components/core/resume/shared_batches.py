"""Batches that the ranks of a stage share out: each of n ranks answers every n-th, and all get all answers.

Answers go through files of the work directory: the trainer sets torch.distributed up later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from components.core.data.files import write_json_atomic
from components.core.resume.work_dir import WorkDir, mark_cache
from components.core.training.launch import launch_id, rank, wait_for, world_size

T = TypeVar("T")


class SharedBatches:
    """One list of batches, by the name under which its progress is kept.

    Args:
        work: of the stage. Every rank keeps its answers in a journal of its own.
        name: unlike that of any other list of the stage.
    """

    def __init__(self, work: WorkDir, name: str) -> None:
        self._work, self._name = work, name
        self._journal = work.journal(name)

    def answers(
        self,
        batches: Sequence[Sequence[T]],
        key: Callable[[T], str],
        answer: Callable[[int, Sequence[T]], Mapping[str, Any]],
        on_batch: Callable[[int], object] = lambda count: None,
    ) -> dict[str, Any]:
        """The answers to all items by key, from all ranks and from earlier attempts.

        Args:
            batches: the same on every rank.
            key: of an item, unlike any other's.
            answer: gives JSON-able answers to a batch by key. The batch's number seeds its random numbers.
            on_batch: called with the number of items done, as if the other ranks were as fast as this one.
        """
        own: dict[str, Any] = {}
        for number in range(rank(), len(batches), world_size()):
            batch = batches[number]
            keys = [key(item) for item in batch]
            if not all(item in self._journal for item in keys):
                self._journal.put_all(answer(number, batch))
            own |= {item: self._journal.get(item) for item in keys}
            on_batch(sum(map(len, batches[number - rank() : number - rank() + world_size()])))
        return own if world_size() == 1 else self._exchanged(own)

    def _exchanged(self, own: dict[str, Any]) -> dict[str, Any]:
        """Every rank's answers. The launch's id keeps files of an earlier attempt apart."""
        folder = mark_cache(self._work.dir("shared"))
        paths = [folder / f"{self._name}-{launch_id()}-{number}.json" for number in range(world_size())]
        write_json_atomic(paths[rank()], own)
        everyone: dict[str, Any] = {}
        for path in paths:
            everyone |= json.loads(wait_for(path).read_text(encoding="utf-8"))
        return everyone
