"""Launch of a training stage as several processes of one machine, one a GPU, by the stage's usual command.

A stage whose settings have the field `processes` is started as any other. With more than one process, its
command starts itself again for every rank and waits. The ranks find each other by torch.distributed's
environment variables, as under `torchrun`. Rank 0 alone writes outputs, report and metrics.

SIGTERM and SIGINT go on to every rank, which save and stop in their own time. When one rank fails, the others
are stopped, and the stage ends with the failed rank's exit code. When the command itself is killed, its ranks
end with it (on Linux): the next attempt must not meet them at work in the same directories.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.core.cores import share_of
from components.core.stage.errors import PERMANENT_EXIT_CODES
from components.core.stage.settings import Settings
from components.core.training.signals import die_with_parent, handling

RANK_ENV = "RANK"
LAUNCH_ENV = "VLM_LAUNCH"
"""The environment variable that processes which were started together have in common."""
_GRACE_S = 30.0
_POLL_S = 0.1


def rank() -> int:
    """This process's rank; 0 where there is only one."""
    return int(os.environ.get(RANK_ENV, "0"))


def world_size() -> int:
    """Processes that the stage runs as. accelerate knows their number only once a trainer has been made."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launch_id() -> str:
    """Id of the launch that started this rank; "" without one. In a file's name it tells attempts apart."""
    return os.environ.get(LAUNCH_ENV, "")


def wait_for(path: Path) -> Path:
    """`path`, once another rank has written it. The launcher stops the ranks if one of them fails."""
    while not path.exists():
        time.sleep(_POLL_S)
    return path


def processes_wanted(config: Settings) -> int:
    """Processes that a stage is to run as: 1 in a rank, and for a stage without the setting `processes`."""
    if RANK_ENV in os.environ:
        return 1
    wanted = getattr(config, "processes", 1)
    return int(wanted) or max(1, gpus(os.environ))


def gpus(environment: Mapping[str, str]) -> int:
    """GPUs that a process may use: `CUDA_VISIBLE_DEVICES`, else NVIDIA's device files. Loads no torch."""
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
              "MASTER_PORT": str(_free_port()), LAUNCH_ENV: uuid.uuid4().hex,
              **share_of(processes)}  # fmt: skip
    if not gpus(os.environ):
        shared["ACCELERATE_USE_CPU"] = "true"
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, RANK_ENV: str(n), "LOCAL_RANK": str(n)},
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock
        )
        for n in range(processes)
    ]

    def forward(number: int) -> None:
        for process in ranks:
            if process.poll() is None:
                process.send_signal(number)

    with handling(forward):
        return _wait(ranks, log)


def exit_code(codes: Sequence[int]) -> int:
    """The stage's exit code from its ranks': a permanent error's first, then rank 0's, then any failure's."""
    failed = [code for code in codes if code]
    permanent = [code for code in failed if code in PERMANENT_EXIT_CODES]
    code = next(filter(None, (*permanent, codes[0], *failed)), 0)
    return code if code >= 0 else 128 - code


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
