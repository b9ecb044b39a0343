"""A training stage as several processes of one machine, one a GPU: the stage's command stays the same.

A stage whose settings have the field `processes` is started by its usual command; with more than one process, that
command starts itself again for every rank and waits. torch.distributed's environment variables tell the ranks of each
other, so accelerate, TRL and DeepSpeed find them as under `torchrun`. Rank 0 alone writes outputs, report and metrics: the
runner gives the others a scratch directory.

SIGTERM and SIGINT go on to every rank, which save and stop in their own time. When one rank fails the others are stopped,
and the stage ends with the failed rank's exit code. When the command itself is killed, the kernel ends its ranks with it (on
Linux): the next attempt must not meet them at work in the same directories.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from components.core.stage.errors import PERMANENT_EXIT_CODES
from components.core.stage.settings import Settings

RANK_ENV = "RANK"
LAUNCH_ENV = "VLM_LAUNCH"
"""What the processes that were started together have in common."""
_GRACE_S = 30.0
_POLL_S = 0.1


def rank() -> int:
    """This process's rank; 0 where there is only one."""
    return int(os.environ.get(RANK_ENV, "0"))


def world_size() -> int:
    """How many processes the stage runs as. (accelerate knows it only once a trainer has been made.)"""
    return int(os.environ.get("WORLD_SIZE", "1"))


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank: signals do not reach all of them in the same step. Every rank has to ask."""
    import torch
    from accelerate import PartialState
    from accelerate.utils import reduce

    state = PartialState()
    if state.num_processes == 1:
        return flag
    return bool(reduce(torch.tensor(float(flag), device=state.device), "sum") > 0)


@cache  # torch cannot order two of them
def cpu_ranks_load() -> None:
    """Let torch load what was saved onto ranks without GPUs: accelerate calls their devices `cpu:0`, `cpu:1`, where torch
    knows `cpu` alone. Saved optimizer states could not be continued from otherwise."""
    import torch

    torch.serialization.register_package(
        0, lambda storage: None, lambda storage, location: storage if location.startswith("cpu:") else None
    )


def processes_wanted(config: Settings) -> int:
    """How many processes a stage is to run as; 1 inside one of several, and for stages that cannot."""
    if RANK_ENV in os.environ:
        return 1
    wanted = getattr(config, "processes", 1)
    return int(wanted) or max(1, gpus(os.environ))


def gpus(environment: Mapping[str, str]) -> int:
    """GPUs that a process may use, without loading torch: `CUDA_VISIBLE_DEVICES`, else NVIDIA's device files."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return sum(path.name[6:].isdigit() for path in Path("/dev").glob("nvidia*"))


def launch(stage: str, argv: Sequence[str], processes: int, log: logging.Logger) -> int:
    """Run the stage as `processes` ranks; returns the stage's exit code.

    Args:
        stage: name of the component.
        argv: the stage's own arguments.
        processes: more than one.
        log: of the stage.
    """
    log.info("starting %d processes", processes)
    command = [sys.executable, "-m", f"components.{stage}", *argv]
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": str(_free_port()), LAUNCH_ENV: uuid.uuid4().hex}  # fmt: skip
    if not gpus(os.environ):
        shared["ACCELERATE_USE_CPU"] = "true"
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, RANK_ENV: str(n), "LOCAL_RANK": str(n)},
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - it makes two system calls and takes no lock
        )
        for n in range(processes)
    ]
    with _forwarding(ranks):
        return _wait(ranks, log)


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a rank does before it starts: ask to be killed when the thread that started it is gone."""
    if sys.platform != "linux":
        return None
    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1

    def ask() -> None:
        prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed meanwhile
            os._exit(1)

    return ask


def exit_code(codes: Sequence[int]) -> int:
    """The stage's exit code from its ranks': a permanent error's first, then rank 0's, then any failure's."""
    failed = [code for code in codes if code]
    permanent = [code for code in failed if code in PERMANENT_EXIT_CODES]
    for code in (*permanent, codes[0], *failed):
        if code:
            return code if code > 0 else 128 - code
    return 0


def _wait(ranks: Sequence[subprocess.Popen[bytes]], log: logging.Logger) -> int:
    """Wait for all ranks. The first failure stops the others, which would wait for it forever."""
    while all(process.poll() in (None, 0) for process in ranks) and any(p.poll() is None for p in ranks):
        time.sleep(_POLL_S)
    codes = [process.poll() for process in ranks]
    if any(codes):
        first = next(n for n, code in enumerate(codes) if code)
        if any(code is None for code in codes):
            log.warning("rank %d ended with exit code %s: stopping the others", first, codes[first])
        deadline = time.monotonic() + _GRACE_S
        for process in ranks:
            # A rank that stopped in order, at a signal, has peers that are about to do the same.
            try:
                process.wait(timeout=max(0.1, min(deadline - time.monotonic(), _GRACE_S / 10)))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return exit_code([code if code is not None else p.wait() for code, p in zip(codes, ranks, strict=True)])


@contextmanager
def _forwarding(ranks: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Hand SIGTERM and SIGINT on to every rank while the block runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, frame: object) -> None:
        for process in ranks:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
