"""Warm processes behave as new ones do: output, exit code, signals, environment, and their parent's end."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from pipelines.local.process import REPOSITORY, Signals, run_child, with_repository
from pipelines.local.spent import largest_process
from pipelines.local.warm import SWITCH_ENV, WarmProcess, WarmStart

PROBE = """
import os, sys, time
print(sys.argv[1:], os.environ["COLOUR"], "trl" in sys.modules, os.getsid(0) == os.getpid())
print("errors", file=sys.stderr)
import torch
held = torch.ones(2**26)  # 256 MiB
time.sleep(1)  # it is looked at five times a second
print(torch.get_num_threads())
raise SystemExit(int(sys.argv[1]))
"""
WAITING = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""
LAUNCHER = """
import os, sys
from pathlib import Path
from pipelines.local.spent import largest_process
from pipelines.local.warm import WarmStart
if __name__ == "__main__":
    folder, pid = sys.argv[1:]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.environ['PYTHONPATH']}"}
    WarmStart(environment).start([sys.executable, "-m", "waiting", pid], environment, 1).wait()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = tmp_path_factory.mktemp("modules")
    (found / "probe.py").write_text(PROBE)
    (found / "waiting.py").write_text(WAITING)
    (found / "launcher.py").write_text(LAUNCHER)
    return found


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    path = with_repository({**os.environ, "COLOUR": "green"})
    return {**path, "PYTHONPATH": f"{folder}{os.pathsep}{path['PYTHONPATH']}"}


@pytest.fixture(scope="module")
def warm(environment: dict[str, str]) -> Iterator[WarmStart]:
    end_fork_server()  # a test that ran before may have left one, without the libraries
    yield WarmStart(environment)
    end_fork_server()  # later tests start theirs, with their own environment


def end_fork_server() -> None:
    """A process has at most one, and the first use decides what it has imported."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("code", [0, 3])
def test_arguments_environment_outputs_and_exit_code_are_a_new_processs(
    warm: WarmStart, environment: dict[str, str], tmp_path: Path, code: int
) -> None:
    shown = io.BytesIO()
    command = [sys.executable, "-m", "probe", str(code), "b c"]
    own = {**environment, "OMP_NUM_THREADS": "1"}
    ended = run_child(command, own, tmp_path / "log", shown, Signals(), warm.start)
    assert ended.exit_code == code
    lines = sorted(shown.getvalue().decode().split("\n"))
    assert lines == ["", "1", f"['{code}', 'b c'] green True True", "errors"]
    assert (tmp_path / "log").read_bytes() == shown.getvalue()
    assert largest_process() > 400 * 2**20


def test_a_signal_ends_it(warm: WarmStart, environment: dict[str, str], tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        command = [sys.executable, "-m", "waiting", str(tmp_path / "pid")]
        process = warm.start(command, environment, log.fileno())
    assert isinstance(process, WarmProcess)
    until((tmp_path / "pid").exists)
    assert process.poll() is None
    process.terminate()
    assert process.wait() == -signal.SIGTERM


def test_it_ends_with_the_process_that_asked_for_it(
    environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-m", "launcher", str(folder), str(tmp_path / "pid")],
        env=environment,
        cwd=REPOSITORY,
    )
    until(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
    stage = int((tmp_path / "pid").read_text())
    assert alive(stage)
    launcher.kill()
    launcher.wait()
    until(lambda: not alive(stage))


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH_ENV, "off")
    assert not WarmStart.wanted()
    monkeypatch.delenv(SWITCH_ENV)
    assert WarmStart.wanted()
