"""Cores that this process may use, and the threads of every library that would count the machine's instead.

`os.cpu_count` and the affinity mask ignore a container's CPU limit. The limit is a quota of the cgroup, of
which `loky.cpu_count` reads both versions. More threads than that wait for each other: the kernel stops them
all once the quota of a period is used up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from loky import cpu_count

from components.core.stage.errors import ConfigError

THREADS_ENV = "OMP_NUM_THREADS"
_VARIABLES = (
    THREADS_ENV,  # OpenMP, and with it torch, Arrow and OpenBLAS
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "RAYON_NUM_THREADS",  # tokenizers
    "TORCHINDUCTOR_COMPILE_THREADS",
)
_chosen: set[str] = set()
"""The variables that this process has set because its user had not."""


def usable_cores() -> int:
    """Cores for this process: the least of the machine's, the affinity mask's and the cgroup's quota.

    A quota that is no whole number is rounded up.
    """
    return int(cpu_count())


def threads_wanted() -> int:
    """Threads for computing: the first number of `OMP_NUM_THREADS`, or the usable cores.

    Raises:
        ConfigError: the variable holds no number.
    """
    text = os.environ.get(THREADS_ENV, "").split(",")[0].strip()
    if not text:
        return usable_cores()
    if not text.isdecimal() or not int(text):
        raise ConfigError(f"${THREADS_ENV} is '{text}'; it must be a number of threads above 0")
    return int(text)


def limit_threads() -> None:
    """Set every library's number of threads where the user has not. Call it before they are imported.

    A user who sets `OMP_NUM_THREADS` alone means all of them.
    """
    threads = str(threads_wanted())
    _chosen.update(name for name in _VARIABLES if not os.environ.get(name))
    os.environ.update(dict.fromkeys(_chosen, threads))


def share_of(processes: int) -> dict[str, str]:
    """Environment of each of `processes` children that work at once and share the cores.

    Numbers that the user has set stay, and are each child's.
    """
    users = THREADS_ENV not in _chosen and os.environ.get(THREADS_ENV)
    threads = threads_wanted() if users else max(1, usable_cores() // processes)
    return {name: str(threads) for name in _VARIABLES if name in _chosen or not os.environ.get(name)}


@contextmanager
def sharing(processes: int) -> Iterator[None]:
    """Children that start inside the block share the cores among `processes`."""
    ours = share_of(processes)
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
