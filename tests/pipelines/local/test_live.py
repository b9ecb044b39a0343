"""The view of a local run: what is done, running, next, and left; plain lines where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from components.stages import TASKS
from pipelines.local.live import LastLine, LiveView, PlainLines, clock, seconds_left, view_for

BEFORE = dict.fromkeys(TASKS, 60.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time_() -> Clock:
    return Clock()


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=40, color_system=None)


def text_of(view: LiveView) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(view.shown())
    return console.file.getvalue().splitlines()


def test_the_view_says_what_is_done_where_it_is_what_is_next_and_what_is_left(screen, time_):
    """Of 17 tasks of a minute each, two have ended and one runs for 20 s: 14 minutes and 40 s are left."""
    with LiveView(TASKS, BEFORE, screen, time_) as view:
        view.start(TASKS[0])
        view.done(TASKS[0], 61.0)
        view.done(TASKS[1], None)
        view.start(TASKS[2])
        view.console.write(b"[ids_scoring] score: 10%\r[ids_scoring] score: 50%\r")
        time_.now = 20.0
        lines = text_of(view)
    assert len(TASKS) == 17
    assert "1:01" in lines[0] and lines[0].startswith("✓")
    assert "cached" in lines[1]
    assert lines[2].startswith("▶") and "0:20" in lines[2]
    assert "next" in lines[3] and "next" not in lines[4]
    assert lines[17] == "2 of 17 done, 0:20 so far, about 14:40 left"
    assert lines[18].strip() == "[ids_scoring] score: 50%"


def test_lines_that_are_said_stay_above_the_view(screen):
    with LiveView(TASKS, BEFORE, screen) as view:
        view.say("warning: not saved [yet]")
    assert "warning: not saved [yet]" in screen.file.getvalue()


def test_time_left_is_not_known_before_every_open_task_has_run():
    assert seconds_left(["a", "b"], {}, "", 0, {"a": 5.0}) is None
    assert seconds_left(["a", "b"], {"b": 1}, "", 0, {"a": 5.0}) == 5.0
    assert seconds_left(["a", "b"], {}, "a", 9.0, {"a": 5.0, "b": 2.0}) == 2.0
    assert seconds_left(["a"], {"a": 1}, "", 0, {}) == 0.0


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_a_clock_has_hours_where_there_are_any(seconds, shown):
    assert clock(seconds) == shown


def test_the_last_line_is_without_what_moves_a_cursor():
    line = LastLine(lambda: None)
    line.write(b"one\n\x1b[2K\x1b[1;32mtwo \xff\x1b[0m\r\n \n")
    assert str(line) == "two \ufffd"


def test_without_a_terminal_there_are_plain_lines(capfd, monkeypatch):
    with view_for(["a", "b"], {}) as view:
        assert isinstance(view, PlainLines)
        view.start("a")
        view.console.write(b"its output\n")
        view.console.flush()
        view.done("a", 1.25)
        view.done("b", None)
    assert capfd.readouterr().out == " 1/2 a ...\nits output\n 1/2 a: done in 1.2 s\n 2/2 b: cached\n"
