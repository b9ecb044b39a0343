"""A Kubeflow to talk to, and the command line to talk with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from tests.pipelines.kubeflow.imitation.server import Handler, State

ROOT = Path(__file__).resolve().parents[3]
KUBECONFIG = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def host(request, state: State, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[str]:
    """Address of the server; without a fixture `cluster` there is no Kubernetes, and no object store.

    Ends with a check of every request and answer against the API's document.
    """
    for name in (
        "KFP_TOKEN",
        "KFP_TOKEN_FILE",
        "KFP_ENDPOINT",
        "KFP_CRON_TIMEZONE",
        "KF_PIPELINES_UI_ENDPOINT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # the SDK keeps its context there
    if "bucket" not in request.fixturenames:
        monkeypatch.delenv("S3_ENDPOINT", raising=False)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    if "cluster" not in request.fixturenames:
        monkeypatch.setattr(KUBECONFIG, str(tmp_path / "no-kubeconfig"))
    monkeypatch.setattr("pipelines.kubeflow.runs.follow.__defaults__", (0.01,))
    for waiting in ("runs._RACE_S", "schedules._SETTLE_S"):
        monkeypatch.setattr(f"pipelines.kubeflow.{waiting}", 0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    assert state.problems == []


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs a command; its exit code, and everything that it said."""
    monkeypatch.chdir(ROOT)

    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(arguments))
        return result.exit_code, result.output

    return call


@pytest.fixture
def kubeflow(call, host) -> Callable[..., tuple[int, str]]:
    """Runs a command against the server, in namespace `team`."""
    return lambda *arguments: call(*arguments, "--namespace", "team", "--host", host)
