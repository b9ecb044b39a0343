"""Stages as warm processes: forked from one that has imported torch and transformers.

These imports take seven seconds, most of the time of a tiny training. A warm process has an own process id,
environment, arguments and exit code; signals end it like any other. It starts its ranks by forking, as their
parent. Modules of this project are imported anew. Warm processes share a hash seed, so a test that compares
runs starts one of them cold or from another server.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("components", "pipelines", "demo")
_POLL_S = 0.005


def cold(module: str, argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """`python -m MODULE ARGV`, as anyone starts it; its stderr can be read."""
    command = [sys.executable, "-m", module, *argv]
    return subprocess.Popen(command, env=dict(environment), stderr=subprocess.PIPE, text=True)


class _Awaited:
    """What `subprocess.Popen` does with a process, by a function that asks for its exit code."""

    def __init__(self, pid: int, ask: Callable[[int], int | None]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ask = ask

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._ask(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Warm(_Awaited):
    """The same as `cold`, forked."""

    server = "first"

    def __init__(self, module: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        descriptor, self._errors = tempfile.mkstemp()
        os.close(descriptor)
        server = _server(self.server)
        super().__init__(server.start(module, argv, environment, self._errors), server.exit_code)

    @property
    def stderr(self) -> TextIO:
        return open(self._errors, encoding="utf-8", errors="replace")

    def communicate(self, timeout: float | None = None) -> tuple[None, str]:
        self.wait(timeout)
        with self.stderr as file:
            return None, file.read()


class OtherWarm(Warm):
    """As `Warm`, with another hash seed: the run that warm ones are compared with."""

    server = "second"


Process = subprocess.Popen[str] | Warm


def run(
    command: Sequence[str], *, check: bool, env: Mapping[str, str], stdout: BinaryIO, stderr: BinaryIO
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of `python -m MODULE ARGV`, for code under test that starts its stages so.

    What the process writes to its standard error is in `stderr` when it has ended; `stdout` gets nothing.
    """
    process = Warm(command[2], command[3:], env)
    stderr.write(process.communicate()[1].encode())
    ended = subprocess.CompletedProcess(list(command), process.wait(), "", "")
    if check:
        ended.check_returncode()
    return ended


class _Server:
    """The process that warm ones are forked from. It ends with the tests and kills what it has forked."""

    def __init__(self) -> None:
        seed = str(random.SystemRandom().randrange(1, 2**32))
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": seed,
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.processes.warm"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, module: str, argv: Sequence[str], environment: Mapping[str, str], errors: str) -> int:
        return int(self._ask({"start": [module, list(argv), dict(environment), os.getcwd(), errors]}))

    def exit_code(self, pid: int) -> int | None:
        return self._ask({"exit_code": [pid]})

    def _ask(self, request: dict[str, list[Any]]) -> int | None:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer

    def end(self) -> None:
        self._process.communicate()


@cache
def _server(_: str) -> _Server:
    """The one of this name; each has a hash seed of its own."""
    made = _Server()
    atexit.register(made.end)
    return made


def children(process: int) -> set[int]:
    """Processes that a process has started."""
    listed = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    return {int(child) for text in listed for child in text.split()}


def has_ended(process: int) -> bool:
    """Whether there is no such process, or only its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _serve() -> None:
    """Take requests, one a line, and answer each."""
    import tests.processes.preload  # noqa: F401

    _loggers()
    running: set[int] = set()
    for line in sys.stdin:
        [(name, arguments)] = json.loads(line).items()
        if name == "start":
            running.add(answer := _forked(*arguments))
        else:
            answer = _exit_code(*arguments)
            running -= {arguments[0]} if answer is not None else set()
        print(json.dumps(answer), flush=True)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _forked(module: str, argv: Sequence[str], environment: Mapping[str, str], where: str, errors: str) -> int:
    if not (pid := os.fork()):
        _redirect((subprocess.DEVNULL, subprocess.DEVNULL, os.open(errors, os.O_WRONLY)))
        os.chdir(where)
        _become(module, argv, environment)
    return pid


def _redirect(files: Sequence[int | None]) -> None:
    """Standard input, output and error of this process; None leaves one as it is."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for target, file in enumerate(files):
        if file is not None:
            os.dup2(nothing if file == subprocess.DEVNULL else file, target)


def _exit_code(pid: int) -> int | None:
    """Of a child: as `subprocess` has it; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _become(module: str, argv: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Go on as `python -m module argv` would in this environment, and end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = [module, *argv]
    for name in [name for name in sys.modules if name.split(".")[0] in PROJECT]:
        del sys.modules[name]
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if name not in _loggers() and isinstance(logger, logging.Logger):
            logger.handlers.clear()
    random.seed()
    sys.modules["numpy"].random.seed()
    subprocess.Popen = _Forking  # type: ignore[misc, assignment]
    code: Any = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - the process boundary
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


@cache
def _loggers() -> frozenset[str]:
    """Names of the loggers that the imports have made."""
    return frozenset(logging.Logger.manager.loggerDict)


class _Forking(subprocess.Popen):  # type: ignore[type-arg]
    """Forks where a module of this project is to be started: a rank, or a stage of a pipeline."""

    def __new__(cls, args: Any, *more: Any, **options: Any) -> Any:
        if list(args[:2]) != [sys.executable, "-m"] or args[2].split(".")[0] not in PROJECT:
            return super().__new__(cls)
        if pid := os.fork():
            return _Awaited(pid, _exit_code)
        _redirect([options.get(name) for name in ("stdin", "stdout", "stderr")])
        if options.get("start_new_session"):
            os.setsid()
        if prepare := options.get("preexec_fn"):
            prepare()
        return _become(args[2], args[3:], options["env"])


if __name__ == "__main__":
    _serve()
