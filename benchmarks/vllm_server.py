"""A real vLLM beside this process: its environment, and its OpenAI server on loopback.

vLLM needs an environment of its own (`make vllm`). `VLM_VLLM_VENV` names its folder.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import ROOT

VENV = "VLM_VLLM_VENV"
READY_S = 600


def python_of_vllm() -> Path:
    """Interpreter of vLLM's environment, whether it is there or not."""
    return Path(os.environ.get(VENV) or ROOT / "build" / "vllm-venv") / "bin" / "python"


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def engine_environment(**more: str) -> dict[str, str]:
    """Environment of a process that runs vLLM on a CPU that others use too."""
    own = {
        "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        # Ports of its own: several engines on one machine would all take torch's.
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    return {**os.environ, **own, **more}


def in_vllm(
    command: Sequence[str], timeout_s: float = 1800, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python command in vLLM's environment to its end; the result holds what it said."""
    return subprocess.run(
        [str(python_of_vllm()), *command],
        check=False,
        env=engine_environment(**environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


@dataclass
class Server:
    """vLLM's OpenAI server on loopback, started and ended at will. It keeps its port."""

    model: Path
    log: Path
    key: str = ""
    """Its API key; "" asks for none."""
    extra: tuple[str, ...] = ()
    """Further flags."""
    names: tuple[str, ...] = ("teacher",)
    """Under which it serves the model."""
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def command(self) -> list[str]:
        """How it is started; docs/vllm.md says what each flag is for."""
        structured = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
        return [
            str(python_of_vllm()), "-m", "vllm.entrypoints.openai.api_server",
            "--model", str(self.model), "--served-model-name", *self.names,
            "--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32", "--enforce-eager",
            "--max-num-batched-tokens", "4096", "--no-enable-chunked-prefill",
            "--generation-config", "vllm", "--structured-outputs-config", structured,
            *(("--api-key", self.key) if self.key else ()), *self.extra,
        ]  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer in time; with the end of its log.
        """
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it."""
        self.port = self.port or free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=engine_environment(),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            RuntimeError: see `start`.
        """
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"vLLM ended: {self.log.read_text(encoding='utf-8')[-3000:]}")
            try:
                with urllib.request.urlopen(self.url.removesuffix("/v1") + "/health", timeout=5):
                    return
            except OSError:
                time.sleep(1)
        raise RuntimeError(
            f"vLLM is not ready after {READY_S} s: {self.log.read_text(encoding='utf-8')[-3000:]}"
        )

    def kill(self) -> None:
        """End it and its engine at once, as a lost machine would."""
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None
