"""Which version of a domain is current: a log of numbered, immutable entries, the highest of which counts.

    <domain>/pointer/000001.json   {"sequence", "version", "previous", "history", "action"}

Neither S3 nor a directory can move a pointer under a condition on its old value, but both can create an object only if
there is none of its name. So a move creates the next number: of two that saw the same entry one creates it, and the
other learns that it did not. A killed process has created the entry or has not; a reader never sees half of one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.core.objects.store import ObjectStore
from components.core.stage.errors import DataError

Action = Literal["", "promote", "rollback"]


@dataclass(frozen=True)
class Pointer:
    """One entry of the log. Version 0 with sequence 0 means that no version has been made current yet."""

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


def create(store: ObjectStore, key: str, data: bytes) -> bool:
    """Create an object that nobody may replace; whether it holds `data` now.

    Read back, because a server may report a conflict about this very write: its first answer was lost and the client
    sent it again.
    """
    store.put(key, data, if_absent=True)
    return store.get(key) == data


def highest(store: ObjectStore, prefix: str) -> int:
    """The highest number of the numbered objects below `prefix`, 0 if there is none.

    Numbers have no gaps, so the ones after the listing's last are looked for one by one: on stores whose listings
    lag behind (OpenStack Swift) an entry may be there before it is listed.
    """
    numbers = [int(name) for info in store.list(prefix) if (name := _number(info.key, prefix)).isdecimal()]
    last = max(numbers, default=0)
    while store.exists(numbered(prefix, last + 1)):
        last += 1
    return last


def numbered(prefix: str, number: int) -> str:
    """Key of a numbered object."""
    return f"{prefix}{number:06d}.json"


def _number(key: str, prefix: str) -> str:
    return key.removeprefix(prefix).removesuffix(".json")


class PointerLog:
    """The log below one prefix of a store."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    def current(self) -> Pointer:
        """The entry that counts."""
        last = highest(self._store, self._prefix)
        return self.entry(last) if last else Pointer()

    def entries(self) -> list[Pointer]:
        """All entries, oldest first."""
        return [self.entry(number) for number in range(1, highest(self._store, self._prefix) + 1)]

    def entry(self, number: int) -> Pointer:
        """One entry.

        Raises:
            DataError: it is damaged.
        """
        key = numbered(self._prefix, number)
        try:
            stored = json.loads(self._store.get(key))
            return Pointer(**{**stored, "history": tuple(stored["history"])})
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{key}: not a pointer ({error!r}); delete it to return to the entry before it"
            ) from error

    def append(self, entry: Pointer) -> bool:
        """Make `entry` count; False if another one took its number."""
        data = encode({**asdict(entry), "history": list(entry.history)})
        return create(self._store, numbered(self._prefix, entry.sequence), data)
