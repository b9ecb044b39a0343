"""Run the demo, `python -m demo.run`: build its world, start its teachers, run the pipeline, stop them.

The pipeline itself knows nothing of this: it is given a folder of pictures and the address of a model server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from components.core.cores import share_of
from components.core.stage.errors import EndpointError, StageError
from components.core.training.signals import die_with_parent
from pipelines.commands.shared import clear_errors, known_task
from pipelines.local.process import torch_defaults
from pipelines.profile.run_profile import Profile, load_profile

PORT = 8765
HOST = "127.0.0.1"
_START_LIMIT_S = 60.0


def build_world(world: Path, mini: bool = False, seed: int = 0) -> None:
    """Make the missing parts of the world: pictures, general data, benchmarks.

    Raises:
        StageError: the build failed; its own output says why.
    """
    command = [sys.executable, "-m", "demo.build", "--out", str(world), "--seed", str(seed)]
    command += ["--mini"] if mini else []
    ended = subprocess.run(command, check=False, env={**torch_defaults(), **os.environ, **share_of(1)})
    if ended.returncode:
        raise StageError(
            f"the demo world could not be built (exit code {ended.returncode}); run the same command again"
        )


@contextlib.contextmanager
def teachers(world: Path, log: Path, port: int = PORT) -> Iterator[str]:
    """The simulated teachers as a server of their own, for as long as the block runs; yields the base URL.

    Raises:
        EndpointError: the port is taken, or the server did not start.
    """
    _require_free(port)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "demo.teachers", "--world", str(world), "--port", str(port)]
    with open(log, "wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            # One thread a product: the server shares the cores with the stage that asks it. The embedder, for
            # which a stage waits, takes a core a batch.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - no threads run here
        )
    try:
        url = f"http://{HOST}:{port}/v1"
        _wait_until_ready(url, server, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _require_free(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise EndpointError(
                f"port {port} is taken; stop what listens there, or choose another with --port"
            ) from error


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise EndpointError(
                f"the simulated teachers stopped with exit code {server.returncode}; see {log}"
            )
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{url}/models", timeout=5).close()
            return
        time.sleep(0.1)
    raise EndpointError(f"the simulated teachers did not answer within {_START_LIMIT_S:.0f} s; see {log}")


def at_port(profile: Profile, port: int) -> Profile:
    """The profile with every endpoint at another port of this machine."""

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: _at(item, port) if key == "base_url" else moved(item) for key, item in value.items()}
        return [moved(item) for item in value] if isinstance(value, list) else value

    return dataclasses.replace(profile, sections=moved(profile.sections))


def _at(url: str, port: int) -> str:
    return url.replace(f"{HOST}:{PORT}", f"{HOST}:{port}")


def demo(
    profile: Annotated[Path, typer.Option(help="Run profile.")] = Path("configs/demo.yaml"),
    root: Annotated[Path, typer.Option(help="Directory of the run and of the world.")] = Path("build/demo"),
    port: Annotated[int, typer.Option(help="Port of the simulated teachers.")] = PORT,
    mini: Annotated[bool, typer.Option("--mini", help="The miniature world of the tests.")] = False,
    world_seed: Annotated[int, typer.Option(help="Seed of the world's pictures and questions.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override one setting; may be repeated.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Run this task, and what depends on it, again.")
    ] = None,
) -> None:
    """Run the demo: everything it makes is below ROOT, and a second run continues from there."""
    with clear_errors():
        checked = at_port(load_profile(profile, set_ or []), port)
        rerun = known_task(from_) if from_ else None
        build_world(root / "world", mini, world_seed)
        with teachers(root / "world", root / "logs" / "teachers.log", port):
            from pipelines.local.run import run_locally  # which imports kfp

            run_locally(checked, root, rerun)


if __name__ == "__main__":
    typer.run(demo)
