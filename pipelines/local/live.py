"""What a local run shows: one live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.stages import title_of

_REDRAW_S = 0.2
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


class View(Protocol):
    """How a run tells a person what happens."""

    console: BinaryIO
    """Where the stages' output goes."""

    def say(self, text: str = "") -> None:
        """A line that stays."""

    def start(self, task: str) -> None:
        """A task starts to run."""

    def done(self, task: str, seconds: float | None) -> None:
        """A task has ended; `seconds` is None where it came from the cache."""

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view_for(tasks: Sequence[str], before: Mapping[str, Mapping[str, Any]], plain: bool = False) -> View:
    """The live view where standard output is a terminal, else plain lines.

    Args:
        tasks: every task of the run, in order.
        before: task -> what it used when it last ran (`seconds`).
        plain: lines on a terminal too.
    """
    console = Console(file=sys.stdout)  # bound now: the run redirects sys.stdout
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainLines(tasks)
    return LiveView(tasks, {task: float(used.get("seconds", 0)) for task, used in before.items()}, console)


class PlainLines:
    """One line an event, and the stages' output as it comes."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self._place = {task: f"{n:2d}/{len(tasks)} {task}" for n, task in enumerate(tasks, start=1)}
        self._out = sys.stdout
        self.console: BinaryIO = sys.stdout.buffer

    def say(self, text: str = "") -> None:
        """A line that stays."""
        print(text, file=self._out, flush=True)

    def start(self, task: str) -> None:
        """A task starts to run."""
        self.say(f"{self._place[task]} ...")

    def done(self, task: str, seconds: float | None) -> None:
        """A task has ended."""
        self.say(f"{self._place[task]}: {'cached' if seconds is None else f'done in {seconds:.1f} s'}")

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""


class LiveView:
    """The tasks with what is done, where the run is, what is next and how long it takes.

    It is redrawn when a task begins, ends or writes something: without a thread, because children are forked.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        before: Mapping[str, float],
        console: Console,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks, self._before, self._now = tasks, before, now
        self._ended: dict[str, float | None] = {}
        self._running, self._since, self._began = "", 0.0, now()
        self.console: BinaryIO = LastLine(self._redraw)
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )

    def say(self, text: str = "") -> None:
        """A line that stays, above the view."""
        self._live.console.print(Text(text), soft_wrap=True)

    def start(self, task: str) -> None:
        """A task starts to run."""
        self._running, self._since = task, self._now()
        self._redraw()

    def done(self, task: str, seconds: float | None) -> None:
        """A task has ended."""
        self._ended[task], self._running = seconds, ""
        self._redraw()

    def __enter__(self) -> LiveView:
        self._live.start()
        self._redraw()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the view away; the lines that were said stay."""
        self._live.stop()

    def _redraw(self) -> None:
        self._live.update(self.shown(), refresh=True)

    def shown(self) -> RenderableType:
        """The view as it is now."""
        table = Table.grid(padding=(0, 2))
        waiting = [task for task in self._tasks if task not in self._ended and task != self._running]
        for task in self._tasks:
            if task in self._ended:
                seconds = self._ended[task]
                took = "cached" if seconds is None else clock(seconds)
                table.add_row(Text("✓", "green"), title_of(task), Text(task, "dim"), took)
            elif task == self._running:
                took = clock(self._now() - self._since)
                table.add_row(Text("▶", "cyan"), Text(title_of(task), "bold"), Text(task, "dim"), took)
            else:
                word = "next" if waiting and task == waiting[0] else ""
                table.add_row(Text("·", "dim"), Text(title_of(task), "dim"), Text(task, "dim"), word)
        elapsed = self._now() - self._since if self._running else 0.0
        left = seconds_left(self._tasks, self._ended, self._running, elapsed, self._before)
        known = "time left not known" if left is None else f"about {clock(left)} left"
        done = f"{len(self._ended)} of {len(self._tasks)} done"
        counted = f"{done}, {clock(self._now() - self._began)} so far, {known}"
        said = Text(str(self.console), "dim", no_wrap=True, overflow="ellipsis")
        return Group(table, Text(counted), said)


def seconds_left(
    tasks: Sequence[str],
    ended: Mapping[str, object],
    running: str,
    elapsed: float,
    before: Mapping[str, float],
) -> float | None:
    """Time left if every task takes as long as it last did; None where one has not run before."""
    open_ = [task for task in tasks if task not in ended]
    if any(task not in before for task in open_):
        return None
    return sum(max(0.0, before[task] - elapsed) if task == running else before[task] for task in open_)


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class LastLine(io.BytesIO):
    """Keeps the last line of what is written, for the view; all of it is in the task's log."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._line, self._changed, self._drawn = "", changed, 0.0

    def write(self, data: Any) -> int:
        """Take the last line that is not blank; redraw, but not too often."""
        text = bytes(data).decode("utf-8", errors="replace").replace("\r", "\n")
        lines = [line for line in (_CONTROL.sub("", part).strip() for part in text.split("\n")) if line]
        if lines:
            self._line = lines[-1]
        if time.monotonic() - self._drawn > _REDRAW_S:
            self._drawn = time.monotonic()
            self._changed()
        return len(data)

    def __str__(self) -> str:
        return self._line
