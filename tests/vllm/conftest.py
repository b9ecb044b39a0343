"""Real vLLM: its environment, a model that has opinions, and one server for the tests of a file.

The tests run in the project's environment; an engine runs in vLLM's, as a process of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.components.conftest import coloured_pictures  # noqa: F401
from tests.components.curriculum_sft.conftest import sft_world  # noqa: F401
from tests.components.evaluation.conftest import run_stage, stage_argv, voted, write_benchmark  # noqa: F401
from tests.components.hybrid_rl.conftest import world  # noqa: F401
from tests.house import ROOT

VENV = "VLM_VLLM_VENV"
READY_S = 600
KEY = "only-for-tests"
SPREAD = 0.3
"""Deviation of the embeddings of the tests' model; all other weights have that of their width.

So the log-probability of a token moves by 5 nats with another picture, and by 0.7 with a second one.
Its entropy is 4 nats. An untrained model as it is initialised says the same about everything.
"""


def environment_of_vllm() -> Path:
    """Folder of the virtual environment, whether it is there or not."""
    return Path(os.environ.get(VENV) or ROOT / "build" / "vllm-venv")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is marked, and skipped where there is no vLLM."""
    python = environment_of_vllm() / "bin" / "python"
    missing = pytest.mark.skip(reason=f"no vLLM at {python}: run `make vllm`, or name its folder in {VENV}")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if not python.is_file():
                item.add_marker(missing)


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def engine_environment(**more: str) -> dict[str, str]:
    """Environment of a process that runs vLLM here."""
    own = {
        "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return {**os.environ, **own, **more}


def in_vllm(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python command in vLLM's environment to its end."""
    python = str(environment_of_vllm() / "bin" / "python")
    # A port of its own: several engines on one machine would all take torch's.
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **environment}
    return subprocess.run(
        [python, *command],
        check=False,
        env=engine_environment(**environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a small Qwen3-VL in float32 whose answers depend on what it is shown; sealed."""
    import torch

    from components.core.data.checkpoint import commit_checkpoint
    from components.core.vlm import load_model, load_processor
    from demo.base_model import ensure_base_model
    from demo.base_settings import MINI

    root = tmp_path_factory.mktemp("vllm")
    ensure_base_model(root / "base", MINI)
    model: Any = load_model(root / "base", "float32", device="cpu")
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "embed_tokens" in name:
            torch.nn.init.normal_(weight.data, 0, SPREAD)
        elif weight.ndim > 1:
            torch.nn.init.normal_(weight.data, 0, weight[0].numel() ** -0.5)
        elif name.endswith("norm.weight"):
            weight.data.fill_(1)
    model.save_pretrained(root / "checkpoint")
    load_processor(root / "base").save_pretrained(root / "checkpoint")
    commit_checkpoint(root / "checkpoint")
    return root / "checkpoint"


@pytest.fixture(scope="session")
def tiny_checkpoint(checkpoint: Path) -> Path:
    """The model of the stages' worlds."""
    return checkpoint


@dataclass
class Server:
    """vLLM's OpenAI server on loopback, started and ended at will."""

    model: Path
    log: Path
    extra: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def endpoint(self, **more: Any) -> dict[str, Any]:
        """Settings of an endpoint; `VLM_TEST_KEY` holds its key."""
        named = {"base_url": self.url, "model": "teacher", "api_key_env": "VLM_TEST_KEY", "timeout_s": 300.0}
        return {**named, "max_concurrency": 4, **more}

    def start(self) -> None:
        """Start and wait until it answers."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it, on the port that it had."""
        self.port = self.port or free_port()
        structured = json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})
        self.process = subprocess.Popen(
            [
                str(environment_of_vllm() / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server",
                "--model", str(self.model), "--served-model-name", "teacher", "--api-key", KEY,
                "--host", "127.0.0.1", "--port", str(self.port), "--dtype", "float32", "--enforce-eager",
                "--max-model-len", "4096", "--max-num-batched-tokens", "4096", "--no-enable-chunked-prefill",
                "--generation-config", "vllm", "--structured-outputs-config", structured, *self.extra,
            ],
            env=engine_environment(), cwd=ROOT, stdout=self.log.open("ab"), stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def wait(self) -> None:
        """Wait until it answers."""
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            assert self.process is not None and self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                with urllib.request.urlopen(self.url.removesuffix("/v1") + "/health", timeout=5):
                    return
            except OSError:
                time.sleep(1)
        raise AssertionError(f"vLLM is not ready after {READY_S} s: {self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End it and its engine at once, as a lost machine would."""
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the checkpoint; a start takes minutes, so tests share it."""
    started = Server(checkpoint, tmp_path_factory.mktemp("server") / "log")
    try:
        started.start()
        yield started
    finally:
        started.kill()


def whole(text: str) -> str:
    """A text without a last character that was cut: vLLM leaves it out, transformers writes a stand-in."""
    return text.rstrip("\ufffd").strip()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's key, where endpoints look for it."""
    monkeypatch.setenv("VLM_TEST_KEY", KEY)
