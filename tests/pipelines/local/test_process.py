"""A stage as a child process: its message, its exit code, its children."""

from __future__ import annotations

import io
import sys

import pytest

from pipelines.local.process import Signals, run_child, torch_defaults


def ended(tmp_path, code: str):
    command = [sys.executable, "-c", code]
    return run_child(command, torch_defaults(), tmp_path / "log", io.BytesIO(), Signals())


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "[ingest] read\n[ingest] error: no images; check the folder (exit_code=66)\n",
            "no images; check the folder",
        ),
        ("[preflight] error: 2 problems:\none\ntwo (exit_code=78)\n", "2 problems:\none\ntwo"),
        ("[a] error: first (exit_code=1)\n[a] error: second (exit_code=1)\n", "second"),
        (
            "[a] error: failed unexpectedly\nTraceback (most recent call last):\n  x\nKeyError: 'y'\n",
            "KeyError: 'y'",
        ),
        (" 10%|#\r 20%|##\rKilled\n\n", "Killed"),
        ("", ""),
    ],
)
def test_the_message_is_the_stage_s_own(tmp_path, written, message):
    result = ended(tmp_path, f"import sys; sys.stderr.write({written!r}); sys.exit(3)")
    assert (result.exit_code, result.message) == (3, message)


def test_a_killed_child_has_the_shell_s_exit_code(tmp_path):
    assert ended(tmp_path, "import os; os.kill(os.getpid(), 9)").exit_code == 137


def test_a_grandchild_that_lives_on_does_not_hold_the_run_up(tmp_path):
    sleeper = "[sys.executable, '-c', 'import time; time.sleep(30)']"
    code = f"import subprocess, sys; subprocess.Popen({sleeper}); print('end')"
    assert ended(tmp_path, code).message == "end"
