"""logs, and workflows that are gone, against a server that answers as the Kubernetes API does."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from components.core.objects.directory import DirectoryStore
from tests.pipelines.kubeflow.conftest import KUBECONFIG
from tests.pipelines.kubeflow.imitation.argo import RECORDED
from tests.pipelines.kubeflow.imitation.server import run_at, run_states

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows"
DONE = '{"time": "t", "level": "info", "stage": "promotion", "message": "done in 17.3 s"}'


def pod(node: str, created: str) -> dict[str, Any]:
    """A pod as recorded: the last number of its node's name is the attempt."""
    annotations = {"workflows.argoproj.io/node-name": f"vlm-post-training-x7k2p(0).root(0).{node}"}
    metadata = {
        "name": re.sub(r"[^a-z0-9]+", "-", node).strip("-"),
        "creationTimestamp": created,
        "annotations": annotations,
    }
    return {"metadata": metadata}


class Handler(BaseHTTPRequestHandler):
    pods: list[dict[str, Any]]
    asked: list[dict[str, list[str]]]
    paths: list[str]
    workflows: list[str] = []
    """Ids of runs with a workflow."""
    status = 200

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.asked.append(parse_qs(parts.query))
        self.paths.append(parts.path)
        status, body = self.status, b"{}"
        if status == 200 and parts.path.endswith("/pods"):
            body = json.dumps({"kind": "PodList", "apiVersion": "v1", "items": self.pods}).encode()
        elif status == 200 and parts.path == WORKFLOWS:
            assert "PartialObjectMetadataList" in self.headers["Accept"]
            items = [{"metadata": {"labels": {"pipeline/runid": run}}} for run in self.workflows]
            body = json.dumps({"items": items}).encode()
        elif status == 200:
            body = f"log of {parts.path.split('/')[-2]}\nζ last".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    handler = type("Bound", (Handler,), {"pods": [], "asked": [], "paths": [], "workflows": []})
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
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "config"))
    for name in ("KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT", "S3_ENDPOINT", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    yield handler
    server.shutdown()
    server.server_close()


def test_the_latest_attempt_of_the_task(call, cluster):
    cluster.pods += [
        pod("sft-1-domain(0).executor(1)", "2026-01-01T02:00:00Z"),
        pod("sft-1-domain(0).executor(0)", "2026-01-01T01:00:00Z"),
        pod("sft-1-domain-driver(0)", "2026-01-01T03:00:00Z"),
        pod("evaluation-sft-1-domain(0).executor(0)", "2026-01-01T04:00:00Z"),
    ]
    code, said = call("logs", "r0", "sft_1_domain", "--namespace", "team", "--tail", "5")
    assert (code, said) == (0, "log of sft-1-domain-0-executor-1\nζ last\n")
    assert cluster.asked[0]["labelSelector"] == ["pipeline/runid=r0"]
    assert cluster.asked[1]["container"] == ["main"] and cluster.asked[1]["tailLines"] == ["5"]


def test_a_task_without_a_pod(call, cluster):
    code, said = call("logs", "r0", "promotion", "--namespace", "team")
    assert code == 66 and "came from the cache" in said and "set S3_ENDPOINT" in said


def test_an_unknown_task(call):
    code, said = call("logs", "r0", "promotions")
    assert code == 78 and "TASK promotions: unknown task; did you mean 'promotion'?" in said


@pytest.mark.parametrize(("status", "expected", "message"), [(403, 78, "read their logs"), (500, 69, "500")])
def test_refusals(call, cluster, status, expected, message):
    cluster.status = status
    code, said = call("logs", "r0", "promotion", "--namespace", "team")
    assert code == expected and message in said


def test_without_a_cluster(call, tmp_path, monkeypatch):
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "none"))
    code, said = call("logs", "r0", "promotion")
    assert code == 78 and "set KUBECONFIG" in said


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """Kubeflow's object store, as a directory, with what a recorded run left there."""
    monkeypatch.setenv("S3_ENDPOINT", "http://seaweedfs.test:9000")
    monkeypatch.setattr("pipelines.kubeflow.logs.S3Store", lambda name: DirectoryStore(tmp_path / name))
    store = DirectoryStore(tmp_path / "mlpipeline")
    for key in (RECORDED / "objects_of_a_run.txt").read_text(encoding="utf-8").split():
        store.put(key, key.encode())
    return store


RECORDED_RUN = "77c42a2c-f3db-47ec-8c68-207611ba207f"


def test_where_the_pod_is_gone_the_launcher_s_copy_is_read(call, cluster, bucket):
    code, said = call("logs", RECORDED_RUN, "sft_1_domain", "--namespace", "kubeflow")
    assert code == 0 and f"{RECORDED_RUN}/sft-1-domain/" in said and "/executor-logs-0" in said
    code, said = call("logs", RECORDED_RUN, "image_ingest", "--namespace", "kubeflow")
    assert code == 66 and "came from the cache" in said and "s3://mlpipeline" in said


def test_the_latest_attempt_s_copy(call, cluster, bucket):
    for attempt in (0, 2, 10):
        bucket.put(f"v2/artifacts/vlm-post-training/r/promotion/x/executor-logs-{attempt}", b"%d" % attempt)
    assert call("logs", "r", "promotion") == (0, "10\n")


def test_argo_s_archived_log_where_the_workflow_names_it(call, cluster, host, state, bucket):
    state.runs["r0"] = run_states({"run_id": "r0"}, "FAILED", "promotion")[-1:]
    key = "private-artifacts/kubeflow/vlm-post-training-r0/promotion/main.log"
    bucket.put(key, f"first\n{DONE}\nlast".encode())
    code, said = call("logs", "r0", "promotion", "--host", host, "--namespace", "team", "--tail", "2")
    assert (code, said) == (0, f"{DONE}\nlast\n")
    # and with a failed run, the stage's own words
    code, said = call("status", "r0", "--host", host, "--namespace", "team")
    assert "promotion: failed (main: Error (exit code 1); done in 17.3 s)" in said


def test_without_kubernetes_the_object_store_is_enough(call, cluster, bucket, monkeypatch, tmp_path):
    monkeypatch.setattr(KUBECONFIG, str(tmp_path / "none"))
    assert call("logs", RECORDED_RUN, "promotion")[0] == 0


def test_without_keys_the_log_s_place_is_named(call, cluster, host, state):
    state.runs["r0"] = run_states({"run_id": "r0"}, "FAILED", "promotion")[-1:]
    code, said = call("logs", "r0", "promotion", "--host", host, "--namespace", "team")
    key = "s3://mlpipeline/private-artifacts/kubeflow/vlm-post-training-r0/promotion/main.log"
    assert code == 66 and key in said and "AWS_ACCESS_KEY_ID" in said


def test_a_kubeflow_for_one_user_has_its_pods_in_its_own_namespace(call, cluster, host, state):
    """Whatever --namespace says."""
    state.multi_user = False
    state.runs["r0"] = run_states({"run_id": "r0"}, "SUCCEEDED")[-1:]
    cluster.pods += [pod("promotion(0).executor(0)", "2026-01-01T01:00:00Z")]
    code, said = call("logs", "r0", "promotion", "--host", host, "--namespace", "team")
    assert code == 0 and "means nothing here" in said and "log of promotion" in said
    assert {path.split("/")[4] for path in cluster.paths} == {"kubeflow"}


def test_a_workflow_that_kubernetes_no_longer_has(kubeflow, cluster, host, state):
    """It was deleted with kubectl; other runs of this Kubeflow show that the cluster is the right one."""
    state.runs["r0"] = [run_at({"run_id": "r0"}, "RUNNING", {"preflight": "RUNNING"})]
    state.runs["r1"] = run_states({"run_id": "r1"}, "SUCCEEDED")[-1:]
    for there, is_gone in (
        (["r0", "r1"], False),
        (["r1"], True),
        (["of-another-cluster"], False),
        ([], False),
    ):
        cluster.workflows[:] = there
        assert ("its workflow is gone" in kubeflow("status", "r0")[1]) == is_gone, there
    cluster.workflows[:] = ["r1"]
    code, said = kubeflow("status", "r0", "--wait")
    assert code == 1 and "Kubernetes has no workflow of it in namespace kubeflow" in said
    cluster.status = 403
    assert "its workflow is gone" not in kubeflow("status", "r0")[1]


def test_a_kubeflow_that_is_down_keeps_nobody_from_the_pods(call, cluster):
    cluster.pods += [pod("promotion(0).executor(0)", "2026-01-01T01:00:00Z")]
    code, said = call("logs", "r0", "promotion", "--namespace", "team", "--host", "http://127.0.0.1:1")
    assert code == 0 and said.startswith("log of promotion")
