"""Pointer to a domain's current version: a log of numbered, immutable entries; the highest counts.

    <domain>/pointer/000001.json   {"sequence", "version", "previous", "history", "action"}

Neither S3 nor a directory can move a pointer under a condition on its old value. So a move creates the next
entry (see `components.core.objects.numbered`). A reader never sees half of an entry.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.core.objects import ObjectStore
from components.core.objects.numbered import create, highest, numbered
from components.core.stage.errors import DataError

Action = Literal["", "promote", "rollback"]


@dataclass(frozen=True)
class Pointer:
    """One entry of the log. Version 0 and sequence 0: no version has been made current yet."""

    sequence: int = 0
    version: int = 0
    previous: int | None = None
    """The version that a rollback returns to."""
    history: tuple[int, ...] = ()
    """Every version that was ever promoted to current, in that order."""
    action: Action = ""

    def promoted(self, version: int) -> Pointer:
        """The next entry, after `version` passed."""
        return Pointer(self.sequence + 1, version, self.version or None, (*self.history, version), "promote")


def encode(value: dict[str, Any]) -> bytes:
    """JSON with sorted keys: equal values give equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


class PointerLog:
    """The log below one prefix of a store."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def current(self) -> Pointer:
        """The newest entry."""
        last = highest(self._store, self._prefix)
        return self.entry(last) if last else Pointer()

    def entries(self) -> list[Pointer]:
        """All entries, oldest first."""
        return [self.entry(number) for number in range(1, highest(self._store, self._prefix) + 1)]

    def entry(self, number: int) -> Pointer:
        """One entry.

        Raises:
            DataError: the entry is damaged.
        """
        key = numbered(self._prefix, number)
        try:
            stored = json.loads(self._store.get(key))
            return Pointer(**{**stored, "history": tuple(stored["history"])})
        except (ValueError, KeyError, TypeError) as error:
            fault = f"not a pointer ({error!r})"
            raise DataError(f"{key}: {fault}; delete it to return to the entry before it") from error

    def append(self, entry: Pointer) -> bool:
        """Add the newest entry; False if another process took its number."""
        return create(self._store, numbered(self._prefix, entry.sequence), encode(asdict(entry)))
