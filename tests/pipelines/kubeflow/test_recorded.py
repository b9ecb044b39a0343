"""What a real Kubeflow answered: that we read it rightly, and that the test server answers like it."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from components.stages import TASKS
from pipelines.kubeflow.reasons import last_line, reason, retries_note
from pipelines.kubeflow.workflow import Workflow, is_executor_of
from tests.pipelines.kubeflow.imitation import argo
from tests.pipelines.kubeflow.imitation.argo import RECORDED, recorded
from tests.pipelines.kubeflow.imitation.openapi import answer_problems
from tests.pipelines.kubeflow.imitation.server import bare

ENDED_EARLY = ("out_of_memory", "refused_by_pod_security")
CACHED = ["image_ingest", "ids_scoring", "label_tree", "topic_matching", "qa_synthesis", "voting_filter",
          "evaluation_base", "sft_1_domain", "evaluation_sft_1_domain"]  # fmt: skip


def workflow(name: str) -> Workflow:
    found = Workflow.received(recorded(f"{name}.v1"))
    assert found is not None
    return found


def listed(details: list[dict]) -> Counter:
    """Task details by what we read of them. Those of launchers, without a name, stand beside the nodes."""
    named = (d for d in details if "display_name" in d)
    return Counter(
        (d["display_name"], d.get("state"), len(d.get("child_tasks", [])), bool(d.get("error")))
        for d in named
    )


@pytest.mark.parametrize("name", ENDED_EARLY)
def test_the_test_server_lists_nodes_as_kubeflow_does(name):
    nodes = {node["id"]: node for node in workflow(name).nodes}
    assert listed(argo.details(nodes)) == listed(recorded(f"{name}.run")["run_details"]["task_details"])


@pytest.mark.parametrize("name", ENDED_EARLY)
def test_the_test_server_s_nodes_are_argo_s(name):
    """Our workflow with the same states has the nodes that Argo had, by path, type and phase."""
    found = workflow(name)
    states = {task: "CACHED" if state.cached else state.state for task, state in found.tasks.items()}
    left_out = {task: "OMITTED" for task in TASKS if task not in states}
    made = argo.workflow("x", {**states, **left_out})["status"]["nodes"].values()

    def shape(nodes) -> set[tuple[str, str, str]]:
        phases = {"Error": "Failed"}
        inner = ((n["name"].partition(".root(0).")[2], n) for n in nodes)
        return {(path, n["type"], phases.get(n["phase"], n["phase"])) for path, n in inner if path}

    # A pod that was refused was tried three times; the test server makes one attempt.
    again = ("executor(1)", "executor(2)")
    assert {n for n in shape(found.nodes) if not n[0].endswith(again)} == shape(made)


@pytest.mark.parametrize("name", ["succeeded", "failed_at_promotion", "out_of_memory", "workflow_gone"])
def test_recorded_answers_are_those_of_the_published_api(name):
    assert answer_problems("GET", "/apis/v2beta1/runs/x", 200, recorded(f"{name}.run")) == []


def test_a_kill_for_memory():
    found = workflow("out_of_memory")
    assert [task for task, state in found.tasks.items() if state.cached] == CACHED
    failed = {task: state for task, state in found.tasks.items() if state.state == "FAILED"}
    assert list(failed) == ["sft_2_restore"] and failed["sft_2_restore"].memory == "350M"
    assert reason("sft_2_restore", failed["sft_2_restore"]) == (
        "main: OOMKilled (exit code 1); it needs more memory than its limit of 350M: "
        "raise resources.sft_2_restore.memory"
    )
    assert failed["sft_2_restore"].log_key.endswith("impl-2641379883/main.log")
    assert found.problems == {} and "sft_3_align" not in found.tasks


def test_a_refusal_by_pod_security():
    found = workflow("refused_by_pod_security")
    why = reason("preflight", found.tasks["preflight"])
    assert why.startswith('pods "vlm-post-training-pf56t') and "must set securityContext.runAsNonRoot" in why
    assert "pod-security.kubernetes.io/enforce" in why
    assert found.tasks.keys() == {"preflight", "label_tree"}


def test_compressed_nodes_tell_what_kubeflow_s_list_does_not():
    run, found = recorded("failed_at_promotion.run"), workflow("failed_at_promotion")
    names = {task.get("display_name") for task in run["run_details"]["task_details"]}
    assert "compressedNodes" in found.manifest["status"] and "sft-1-domain" not in names
    assert list(found.tasks) == list(TASKS)
    states = {task: state.state for task, state in found.tasks.items()}
    assert states == dict.fromkeys(TASKS[:-1], "SUCCEEDED") | {"promotion": "FAILED"}
    assert found.namespace == "kubeflow" and found.bucket == "mlpipeline"


@pytest.mark.parametrize(
    ("name", "policy", "said"),
    [("out_of_memory", "OnError", "are NOT repeated"), ("refused_by_pod_security", "Always", "are repeated")],
)
def test_the_policy_of_retries(name, policy, said):
    found = workflow(name)
    assert found.asks_for_retries and found.retry_policy == policy and said in retries_note(found)


def test_too_little_new_data_is_a_success_with_skipped_tasks():
    run = recorded("too_little_new_data.run")
    states = {d.get("display_name"): d.get("state") for d in run["run_details"]["task_details"]}
    assert run["state"] == "SUCCEEDED" and states["ids-scoring"] == states["label-tree"] == "SKIPPED"
    assert states["promotion"] is None


def test_every_attempt_s_pod_is_found_by_its_node():
    pods = recorded("pods")["items"]
    names = [pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"] for pod in pods]
    counts = {task: sum(is_executor_of(name, task) for name in names) for task in TASKS}
    # Two whole runs from the trainings on, and one that took all before sft_2_restore from the cache.
    assert (
        counts["sft_2_restore"] == 3 and counts["promotion"] == 2 and counts["evaluation_sft_2_restore"] == 2
    )
    assert sum(counts.values()) == len([name for name in names if ".executor(" in name])
    assert all(pod["metadata"]["labels"]["pipeline/runid"] for pod in pods)


@pytest.mark.parametrize(
    "path",
    [
        "run.root.sft-1-domain.executor",  # without retries
        "run(0).root(0).sft-1-domain(0).executor(3)",
        "run.root.training.sft-1-domain.executor(1)",  # in a sub-pipeline
        "run(0).root(0).training(0).sft-1-domain(0).executor(0)",
    ],
)
def test_names_of_nodes_whatever_stands_in_front(path):
    assert is_executor_of(path, "sft_1_domain")
    assert not is_executor_of(path, "evaluation_sft_1_domain") and not is_executor_of(path, "hybrid_rl")


def test_the_stage_s_own_words_in_a_pod_s_log():
    lines = (RECORDED / "pod.main.log").read_text(encoding="utf-8").splitlines()
    assert last_line(lines) == "done in 17.3 s"


def test_the_test_server_s_answers_hold_no_workflow():
    found = json.dumps(bare({"run_id": "x", "_workflow": {"secret": 1}}))
    assert "secret" not in found
