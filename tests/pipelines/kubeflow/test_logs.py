"""logs, by the Kubernetes client against a server that answers as the Kubernetes API does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

PODS = "/api/v1/namespaces/team/pods"


def pod(node: str, created: str) -> dict[str, Any]:
    annotations = {"workflows.argoproj.io/node-name": f"vlm-post-training-x7k2p.root.{node}"}
    metadata = {
        "name": node.replace(".", "-").replace("(", "-").rstrip(")"),
        "creationTimestamp": created,
        "annotations": annotations,
    }
    return {"metadata": metadata}


class Handler(BaseHTTPRequestHandler):
    pods: list[dict[str, Any]]
    asked: list[dict[str, list[str]]]
    status = 200

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.asked.append(parse_qs(parts.query))
        if self.status != 200:
            body, status = b"{}", self.status
        elif parts.path == PODS:
            body, status = (
                json.dumps({"kind": "PodList", "apiVersion": "v1", "items": self.pods}).encode(),
                200,
            )
        else:
            name = parts.path.removeprefix(f"{PODS}/").removesuffix("/log")
            body, status = f"log of {name}\nζ last".encode(), 200
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    handler = type("Bound", (Handler,), {"pods": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    named = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [named],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    yield handler
    server.shutdown()
    server.server_close()


def test_the_latest_attempt_of_the_task(call, cluster):
    cluster.pods += [
        pod("sft-1-domain.executor(1)", "2026-01-01T02:00:00Z"),
        pod("sft-1-domain.executor(0)", "2026-01-01T01:00:00Z"),
        pod("sft-1-domain-driver", "2026-01-01T03:00:00Z"),
        pod("evaluation-sft-1-domain.executor", "2026-01-01T04:00:00Z"),
    ]
    code, said = call("logs", "r0", "sft_1_domain", "--namespace", "team", "--tail", "5")
    assert (code, said) == (0, "log of sft-1-domain-executor-1\nζ last\n")
    assert cluster.asked[0]["labelSelector"] == ["pipeline/runid=r0"]
    assert cluster.asked[1]["container"] == ["main"] and cluster.asked[1]["tailLines"] == ["5"]


def test_a_task_without_a_pod(call, cluster):
    code, said = call("logs", "r0", "promotion", "--namespace", "team")
    assert code == 66 and "came from the cache" in said


def test_an_unknown_task(call):
    code, said = call("logs", "r0", "promotions")
    assert code == 78 and "TASK promotions: unknown task; did you mean 'promotion'?" in said


@pytest.mark.parametrize(("status", "expected", "message"), [(403, 78, "read their logs"), (500, 69, "500")])
def test_refusals(call, cluster, status, expected, message):
    cluster.status = status
    code, said = call("logs", "r0", "promotion", "--namespace", "team")
    assert code == expected and message in said


def test_without_a_cluster(call, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    code, said = call("logs", "r0", "promotion")
    assert code == 78 and "set KUBECONFIG" in said
