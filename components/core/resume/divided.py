"""A list of batches that the processes of a stage share out: each answers every n-th of them, and all get all the answers.

Answers go through files of the work directory and not through torch.distributed, which the trainer has yet to set up in its
own way. Nobody waits forever for a rank that failed: the launcher stops the others.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from components.core.data.files import write_json_atomic
from components.core.resume.work import WorkDir, mark_cache
from components.core.training.launch import LAUNCH_ENV, rank, world_size

T = TypeVar("T")
_POLL_S = 0.1
_SHARED = "shared"


class Divided:
    """One such list, by the name under which its progress is kept.

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
        """The answers to all items by key, from whichever rank; those that an earlier attempt gave are not asked again.

        Args:
            batches: the same on every rank.
            key: of an item, unlike any other's.
            answer: JSON-able answers to a batch by key; gets the batch's number, for its random numbers to depend on that
                alone.
            on_batch: called with the number of items done, by any rank.
        """
        own: dict[str, Any] = {}
        for number in range(rank(), len(batches), world_size()):
            batch = batches[number]
            keys = [key(item) for item in batch]
            if not all(item in self._journal for item in keys):
                self._journal.put_all(answer(number, batch))
            own |= {item: self._journal.get(item) for item in keys}
            # The other ranks are as far as this one, as near as it can tell.
            on_batch(sum(map(len, batches[number - rank() : number - rank() + world_size()])))
        return own if world_size() == 1 else self._exchanged(own)

    def _exchanged(self, own: dict[str, Any]) -> dict[str, Any]:
        """Every rank's answers. Files carry the launch's id: those of an earlier attempt are not waited for."""
        folder = mark_cache(self._work.dir(_SHARED))
        paths = [
            folder / f"{self._name}-{os.environ.get(LAUNCH_ENV, '')}-{number}.json"
            for number in range(world_size())
        ]
        write_json_atomic(paths[rank()], own)
        everyone: dict[str, Any] = {}
        for path in paths:
            while not path.exists():
                time.sleep(_POLL_S)
            everyone |= json.loads(path.read_text(encoding="utf-8"))
        return everyone
