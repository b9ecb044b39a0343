"""Stages as warm processes: forked from one that has imported the training libraries.

These imports take seven seconds of a processor, for each of the ten tasks that train or evaluate. A warm
process has its own process id, session, environment and exit code, and signals end it like any other. It
imports this project's modules itself, so it runs the code as it is now.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

from components.core.cores import share_of, threads_wanted
from pipelines.local.process import Process, new_process

SWITCH_ENV = "VLM_WARM_STAGES"
"""`off` starts every stage as a new Python."""
PRELOADED = "pipelines.local.preloaded"
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class WarmProcess:
    """What this package asks of a `subprocess.Popen`, of a forked process."""

    largest = 0
    """Largest resident set of any of them that was seen, bytes: the kernel counts them as no child's."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def poll(self) -> int | None:
        """The exit code, -n for one that signal n ended; None while it runs."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
            if found := _PEAK.search(status):
                WarmProcess.largest = max(WarmProcess.largest, int(found[1]) * 1024)
        return self._process.exitcode

    def wait(self) -> int:
        """The exit code, once there is one."""
        self._process.join()
        return self._process.exitcode or 0

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()


class WarmStart:
    """Forks stages; the process that they leave from begins to import with `prepare`, beside other work.

    Args:
        environment: of the process that they leave from. Libraries read some of it when they are imported.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, **share_of(1)}
        self._context = multiprocessing.get_context("forkserver")

    @staticmethod
    def wanted() -> bool:
        """Whether the user has left it switched on."""
        return os.environ.get(SWITCH_ENV, "on") != "off"

    def prepare(self) -> None:
        """Begin to import; a second call does nothing."""
        self._context.set_forkserver_preload([PRELOADED])
        with mock.patch.dict(os.environ, self._environment, clear=True):
            forkserver.ensure_running()

    def start(self, command: Sequence[str], environment: Mapping[str, str], output: int) -> Process:
        """As `new_process`, for a command `python -m MODULE ...`; where no process can be forked, that."""
        module, argv = command[2], list(command[3:])
        try:
            self.prepare()
            with connection.Connection(os.dup(output), readable=False) as passed:
                arguments = (module, argv, dict(environment), passed)
                process = self._context.Process(target=_stage, args=arguments)
                process.start()
        except (OSError, EOFError):  # the libraries are missing, say: the stage itself tells it best
            return new_process(command, environment, output)
        return WarmProcess(process)


def _stage(
    module: str, argv: Sequence[str], environment: Mapping[str, str], output: connection.Connection
) -> None:
    """Go on as the stage; runs in the forked process."""
    os.setsid()
    with output:
        for target in (1, 2):
            os.dup2(output.fileno(), target)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    threading.Thread(target=_die_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads_wanted())
    sys.argv = [module, *argv]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _die_with_parent() -> None:
    """Wait for the end of the process that asked for this one. A killed run must not leave work going on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)
