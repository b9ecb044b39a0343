"""The miniature world, its teachers, and the command line against them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.run import HOST, PORT, build_world, teachers
from tests.processes.warm import Warm

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Miniature:
    """A profile whose paths and port are this test session's, and the command line that runs it."""

    profile: Path
    world: Path
    root: Path
    port: int
    cwd = ROOT
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "PYTHONPATH": str(ROOT),
    }

    def command(self, *arguments: str, profile: Path | None = None, root: Path | None = None) -> list[str]:
        """`python -m pipelines run ...`."""
        where = ["--profile", str(profile or self.profile), "--root", str(root or self.root)]
        return [sys.executable, "-m", "pipelines", "run", *where, *arguments]

    def run(self, *arguments: str, **where: Path) -> subprocess.CompletedProcess[str]:
        """Run to the end; output and errors are captured."""
        command = self.command(*arguments, **where)
        return subprocess.run(
            command, cwd=self.cwd, env=self.environment, capture_output=True, text=True, check=False
        )

    def run_warm(self, *arguments: str, **where: Path) -> tuple[int | None, str]:
        """Run to the end, every stage forked from a process that has its imports; exit code and errors."""
        process = Warm("pipelines", self.command(*arguments, **where)[3:], self.environment)
        _, errors = process.communicate()
        return process.returncode, errors

    def derived(self, name: str) -> Path:
        """A profile of the repository with the paths and the port of this test run."""
        text = (ROOT / "configs" / f"{name}.yaml").read_text()
        for port in (PORT, 8000):
            text = text.replace(f"{HOST}:{port}", f"{HOST}:{self.port}")
        path = self.root.parent / f"{name}.yaml"
        text = text.replace("../build/smoke", str(self.world.parent))
        path.write_text(text.replace("domain: domains", f"domain: {ROOT / 'configs' / 'domains'}"))
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    return _free_port()


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> Iterator[Miniature]:
    """Builds the world (about half a minute) and serves the teachers until the session ends."""
    folder = tmp_path_factory.mktemp("miniature")
    world = folder / "world"
    build_world(world, mini=True)
    port = _free_port()
    made = Miniature(folder / "smoke.yaml", world, folder / "run", port)
    made.derived("demo")  # which smoke extends
    made.derived("smoke")
    with teachers(world, folder / "teachers.log", port):
        yield made
