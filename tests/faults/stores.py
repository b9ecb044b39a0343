"""Object stores whose process is killed in the middle of what it does."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from components.core.stage.errors import NoInputError


class Dying:
    """A store whose process is killed right before its n-th change."""

    def __init__(self, store: Any, moment: int) -> None:
        self._store, self._moment, self._count = store, moment, itertools.count(1)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._counted(method) if name in ("put", "upload", "delete") else method

    def _counted(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*args: Any, **kwargs: Any) -> Any:
            if next(self._count) == self._moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **kwargs)

        return changing


def newest_snapshot(store: Any, prefix: str) -> tuple[str, dict[str, list[list[Any]]]]:
    """Base key and files of the one work directory below a prefix, read beside its writer; else "" and {}."""
    while True:
        indexes = sorted(info.key for info in store.list(prefix) if "/index/" in info.key)
        if not indexes:
            return "", {}
        try:
            files: dict[str, list[list[Any]]] = json.loads(store.get(indexes[-1]))["files"]
            return indexes[-1].rpartition("/index/")[0], files
        except NoInputError:  # it was replaced meanwhile
            continue


def in_process(work: Callable[..., object], *args: Any) -> int:
    """Do `work` in a forked process; returns its exit code."""
    process = multiprocessing.get_context("fork").Process(target=work, args=args)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode
