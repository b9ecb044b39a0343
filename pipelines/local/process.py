"""Run one stage as a child process: its output shown as it comes, signals passed on, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Protocol

from components.core.training.signals import die_with_parent

REPOSITORY = Path(__file__).resolve().parents[2]
# What components.core.stage.log writes for an error, in its form for people.
_LOGGED_ERROR = re.compile(r"^\[\w+\] error: ", flags=re.MULTILINE)
_EXIT_CODE_NOTE = re.compile(r" \(exit_code=\d+\)$")


class Process(Protocol):
    """What is asked of a child: of `subprocess.Popen` and of a warm process."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def terminate(self) -> None: ...


Start = Callable[[Sequence[str], Mapping[str, str], int], Process]
"""Starts a command in an environment, with its outputs to a descriptor."""


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    exit_code: int
    """As the shell counts: 128 + n for a child that signal n killed."""
    message: str
    """The stage's error message: the last one it logged, else the last line that is not blank."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM ended the run; what was done is kept."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted")
        self.exit_code = 128 + number


class Signals:
    """Passes SIGINT and SIGTERM on to the child that runs, as SIGTERM; a second one kills it.

    The child has a session of its own, so that a Ctrl-C in the terminal reaches it exactly once, through
    here. So training can save its progress before it ends.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._child: Process | None = None

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Take over the two signals."""
        with contextlib.ExitStack() as stack:
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, self._forward))
            yield

    @contextlib.contextmanager
    def child(self, process: Process) -> Iterator[None]:
        """Signals go to `process` in the meantime."""
        self._child = process
        if self.received is not None:
            process.terminate()
        try:
            yield
        finally:
            self._child = None

    def _forward(self, number: int, _: FrameType | None) -> None:
        first, self.received = self.received is None, number
        if self._child is None:
            raise Interrupted(number)
        if first:
            self._child.terminate()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)


def new_process(command: Sequence[str], env: Mapping[str, str], output: int) -> Process:
    """Start a command in a session of its own, with both outputs to the descriptor `output`."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(env),
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - no threads run here
    )


def run_child(
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    console: BinaryIO,
    signals: Signals,
    start: Start = new_process,
) -> Ended:
    """Run a command to its end; copy its output to `console` and to `log`, byte by byte as it comes.

    On a terminal the child gets a terminal too, so that progress bars redraw themselves; otherwise a pipe.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    reader, writer = _terminal() if console.isatty() else os.pipe()
    try:
        process = start(command, env, writer)
    finally:
        os.close(writer)
    tail = bytearray()
    with signals.child(process), open(log, "ab", buffering=0) as file:
        for chunk in _chunks(reader, process):
            console.write(chunk)
            console.flush()
            file.write(chunk)
            tail += chunk
            del tail[:-16_384]
        code = process.wait()
    os.close(reader)
    return Ended(code if code >= 0 else 128 - code, _message(bytes(tail)))


def _chunks(reader: int, process: Process) -> Iterator[bytes]:
    """The child's output until it has ended: a grandchild that keeps the pipe open cannot hold the run up."""
    while True:
        ended = process.poll() is not None
        ready, _, _ = select.select([reader], [], [], 0.0 if ended else 0.2)
        chunk = b""
        if ready:
            with contextlib.suppress(OSError):  # a terminal whose other side is closed answers EIO
                chunk = os.read(reader, 65_536)
        if chunk:
            yield chunk
        elif ready or ended:
            return


def _terminal() -> tuple[int, int]:
    """A pseudo-terminal of the size of ours that passes line ends through unchanged."""
    reader, writer = pty.openpty()
    size = shutil.get_terminal_size()
    termios.tcsetwinsize(writer, (size.lines, size.columns))
    attributes = termios.tcgetattr(writer)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(writer, termios.TCSANOW, attributes)
    return reader, writer


def with_repository(env: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a child finds this repository's packages."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    return {**env, "PYTHONPATH": path}


def torch_defaults() -> dict[str, str]:
    """Environment in which small models train well on CPU cores that are shared; the user's settings win.

    It states no number of threads. A stage finds out what it may use: `components.core.cores`.
    """
    return {
        # Threads that wait spin for some microseconds only. Without spinning a small model trains a third
        # slower; with endless spinning any other program on the cores (the model server, say) stops it
        # altogether.
        "GOMP_SPINCOUNT": "20000",
        # Keep freed memory: small models otherwise spend a third of their time on page faults.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # weights load in a moment; the stages show their own progress
    }


def start_with_torch_defaults(module: str) -> None:
    """Start `python -m MODULE` again if a default is missing: they act on a process that starts with them."""
    if missing := {name: value for name, value in torch_defaults().items() if name not in os.environ}:
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **missing})


def _message(tail: bytes) -> str:
    """The last logged error, which may have several lines; of a traceback, the last line.

    A progress bar's redraws count as lines of their own.
    """
    text = tail.decode("utf-8", errors="replace").replace("\r", "\n").strip()
    logged = _LOGGED_ERROR.split(text)
    if len(logged) > 1 and "\nTraceback " not in logged[-1]:
        return _EXIT_CODE_NOTE.sub("", logged[-1]).strip()
    return text.rsplit("\n", 1)[-1].strip()
