"""A model server as a child process of this one: started, watched until it answers, ended."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from components.core.cores import share_of
from components.core.stage.errors import ConfigError, EndpointError
from components.core.training.signals import die_with_parent
from pipelines.local.process import torch_defaults, with_repository

Engine = Literal["auto", "vllm", "transformers"]
START_LIMIT_S = 900.0
"""Longest wait for a server's first answer: a large model takes minutes to load."""
END_LIMIT_S = 20.0
_HOST = "127.0.0.1"


def chosen_engine(engine: Engine) -> str:
    """The engine by name; `auto` is vLLM where it is installed, else transformers.

    Raises:
        ConfigError: its packages are not installed.
    """
    if engine == "auto":
        engine = "vllm" if shutil.which("vllm") else "transformers"
    if engine == "vllm" and not shutil.which("vllm"):
        raise ConfigError("--engine vllm: vllm is not installed here; pip install vllm, or take transformers")
    missing = [name for name in ("fastapi", "uvicorn", "openai") if importlib.util.find_spec(name) is None]
    if engine == "transformers" and missing:
        needed = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        raise ConfigError(f"serving with transformers: {needed}; pip install 'vlm-posttrain[serve]'")
    return engine


def command(engine: str, models: Mapping[str, Path], port: int, extra: Sequence[str] = ()) -> list[str]:
    """The command of a server for checkpoints by name; vLLM takes one, and `extra` arguments."""
    if engine == "vllm":
        ((name, path),) = models.items()
        where = ["--host", _HOST, "--port", str(port), "--served-model-name", name]
        return ["vllm", "serve", str(path), *where, *extra]
    named = [part for name, path in models.items() for part in ("--model", f"{name}={path}")]
    return [sys.executable, "-m", "pipelines.serving.local_server", *named, "--port", str(port), *extra]


class Server:
    """A model server on a free port of loopback. It ends with this process."""

    def __init__(self, engine: str, models: Mapping[str, Path], log: Path, extra: Sequence[str] = ()) -> None:
        port = free_port()
        self.url = f"http://{_HOST}:{port}/v1"
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                command(engine, models, port, extra),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=with_repository({**torch_defaults(), **os.environ, **share_of(1)}),
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - forked by the main thread, which lives on
            )

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def answers(self) -> bool:
        """Whether it answers now.

        Raises:
            EndpointError: its process ended; the log says why.
        """
        if self.ended:
            why = f"exit code {self._process.returncode}"
            raise EndpointError(f"the model server ended ({why}); its output is in {self.log}")
        try:
            urllib.request.urlopen(f"{self.url}/models", timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True

    def wait(self, limit_s: float = START_LIMIT_S) -> None:
        """Return when it answers.

        Raises:
            EndpointError: it ended, or did not answer in time; its log says why.
        """
        deadline = time.monotonic() + limit_s
        while not self.answers():
            if time.monotonic() > deadline:
                raise EndpointError(f"the model server did not answer in {limit_s:.0f} s; see {self.log}")
            time.sleep(0.2)

    def stop(self) -> None:
        """End it: politely, then for sure."""
        if self.ended:
            return
        self._process.terminate()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
