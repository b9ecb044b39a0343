"""Numbered, immutable objects below a prefix: a log that several processes append to without locks.

    <prefix>000001.json, <prefix>000002.json, ...

A process appends by creating the next number under the condition that it does not exist. Of two processes
that saw the same highest number, one creates the next object and the other learns that it did not.
"""

from __future__ import annotations

from components.core.objects.store import ObjectStore


def create(store: ObjectStore, key: str, data: bytes) -> bool:
    """Create an object that nobody may replace; whether it holds `data` now.

    The object is read back: a server may report a conflict with this very write, if its first answer was
    lost and the client sent the write twice.
    """
    store.put(key, data, if_absent=True)
    return store.get(key) == data


def highest(store: ObjectStore, prefix: str) -> int:
    """The highest number of the numbered objects below `prefix`, 0 if there is none.

    Listings of some stores (OpenStack Swift) lag behind. Numbers have no gaps, so the objects after the
    listing's last are asked for one by one.
    """
    names = [info.key.removeprefix(prefix).removesuffix(".json") for info in store.list(prefix)]
    last = max((int(name) for name in names if name.isdecimal()), default=0)
    while store.exists(numbered(prefix, last + 1)):
        last += 1
    return last


def numbered(prefix: str, number: int) -> str:
    """Key of a numbered object."""
    return f"{prefix}{number:06d}.json"
