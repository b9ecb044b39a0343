"""Signals of a run and its processes: handled for a while, and a child's end when its parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1


@contextmanager
def handling(handler: Callable[[int], None], once: bool = False) -> Iterator[None]:
    """Handle SIGTERM and SIGINT inside the block (in the main thread; elsewhere Python allows no handlers).

    Args:
        handler: gets the signal's number.
        once: leave a second signal to the handlers from before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def restore() -> None:
        for number, previous in before.items():
            signal.signal(number, previous)

    def handle(number: int, frame: object) -> None:
        if once:
            restore()
        handler(number)

    try:
        for number in STOPPING:
            signal.signal(number, handle)
        yield
    finally:
        restore()


def die_with_parent() -> Callable[[], None] | None:
    """For `Popen(preexec_fn=...)`: the kernel kills the child when the thread that started it ends.

    A killed run must not leave work going on beside its successor. None where the system is not Linux.
    The function makes two system calls and takes no lock.
    """
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent was killed meanwhile
            os._exit(1)

    return ask
