"""submit and status, by the SDK's own client against a server that answers as Kubeflow's API does."""

from __future__ import annotations

import pytest

from components.stages import SECTIONS
from pipelines.kubeflow.client import Kubeflow
from pipelines.kubeflow.runs import titled
from tests.pipelines.kubeflow.conftest import ROOT
from tests.pipelines.kubeflow.imitation import argo
from tests.pipelines.kubeflow.imitation.server import run_at, run_states


def test_a_run_is_submitted_and_followed(kubeflow, host, state):
    code, said = kubeflow("submit", "--service-account", "vlm-pipeline")
    assert code == 0, said
    assert f"started run r0: {host}/#/runs/details/r0" in said and "run r0: succeeded" in said
    assert said.count("1/17 preflight: running") == 1 and "17/17 promotion: succeeded" in said
    assert "driver" not in said and "executor" not in said
    assert [(p["name"], p["namespace"]) for p in state.pipelines] == [("vlm-post-training", "team")]
    (started,) = state.started
    assert started["display_name"] == "demo" and started["service_account"] == "vlm-pipeline"


def test_a_run_is_known_by_what_was_set(kubeflow, state):
    """Its name, its parameters and its version's description, which Kubeflow's pages show."""
    code, said = kubeflow("submit", "--set", "hybrid_rl.max_steps=7", "--set", "image_ingest.min_side_px=9")
    assert code == 0, said
    (started,) = state.started
    assert started["display_name"] == "demo · hybrid_rl.max_steps=7 · image_ingest.min_side_px=9"
    assert state.versions[0]["description"] == started["display_name"]
    given = started["runtime_config"]["parameters"]
    assert set(given) >= {section.parameter for section in SECTIONS.values()}
    assert given[SECTIONS["hybrid_rl"].parameter]["max_steps"] == 7
    assert kubeflow("submit", "--no-wait", "--name", "mine")[0] == 0
    assert state.started[1]["display_name"] == "mine" and state.versions[1]["description"] == "demo"


def test_a_name_stays_readable():
    assert titled("demo", []) == "demo"
    assert titled("demo", ["a.b=one\n  two"]) == "demo · a.b=one two"
    long = titled("demo", [f"sft_1_domain.x{n}=1" for n in range(20)])
    assert len(long) == 120 and long.endswith("…")


def test_two_submissions_at_once_share_no_file(kubeflow, state, monkeypatch, tmp_path):
    """Whatever the working directory is, also one that cannot be written."""
    places = []
    upload = Kubeflow.version
    monkeypatch.setattr(Kubeflow, "version", lambda *a: places.append(a[1]) or upload(*a))
    for _ in range(2):
        assert kubeflow("submit", "--no-wait")[0] == 0
    assert len({place.parent for place in places}) == 2 and not any(place.exists() for place in places)
    assert all(place.is_absolute() and ROOT not in place.parents for place in places)


def test_the_same_content_is_uploaded_once(kubeflow, state):
    for _ in range(2):
        assert kubeflow("submit", "--no-wait")[0] == 0
    assert len(state.versions) == 1 and len(state.runs) == 2
    assert kubeflow("submit", "--no-wait", "--set", "hybrid_rl.max_steps=7")[0] == 0
    assert len(state.versions) == 2 and len(state.pipelines) == 1


def test_a_version_on_a_later_page_is_found(kubeflow, state):
    state.page_size = 1
    for steps in (7, 8, 7):
        assert kubeflow("submit", "--no-wait", "--set", f"hybrid_rl.max_steps={steps}")[0] == 0
    assert len(state.versions) == 2


def test_a_quicker_submission_of_the_same_content_is_no_error(kubeflow, state, monkeypatch):
    """Between our look and our upload, somebody else uploads: the API answers 409."""
    assert kubeflow("submit", "--no-wait")[0] == 0
    seen: list[str | None] = [None]
    found = Kubeflow._version
    monkeypatch.setattr(Kubeflow, "_version", lambda *a: seen.pop() if seen else found(*a))
    code, said = kubeflow("submit", "--no-wait")
    assert code == 0, said
    assert ("POST", "/pipelines/upload_version") in state.requests[-4:] and len(state.versions) == 1


@pytest.mark.parametrize(("outcome", "expected"), [("FAILED", 1), ("CANCELED", 3)])
def test_the_exit_code_is_the_run_s(kubeflow, state, outcome, expected):
    state.outcome, state.failing = outcome, "voting_filter"
    code, said = kubeflow("submit")
    assert code == expected and f"run r0 {outcome.lower()}" in said
    if outcome == "FAILED":
        assert "vlm-posttrain logs r0 voting_filter" in said
        assert "run r0 failed: voting_filter (main: Error (exit code 1));" in said
        assert "vlm-posttrain rerun r0 --from voting_filter" in said
        assert "\nvoting_filter: failed (main: Error (exit code 1))\n" in kubeflow("status", "r0")[1]
        assert "sft_1_domain" not in said  # left out: it never began


def test_outages_are_waited_out_while_following(kubeflow, state):
    assert kubeflow("submit", "--no-wait")[0] == 0
    state.fail_next = [0, 503, 500, 502]
    code, said = kubeflow("status", "r0", "--wait")
    assert code == 0 and "run r0: succeeded" in said


def test_an_outage_at_the_start_is_an_error(kubeflow, state):
    state.fail_next = [503]
    code, said = kubeflow("submit")
    assert code == 69 and "503" in said and "asked to fail" in said and not state.runs


def test_an_interruption_ends_the_following_and_not_the_run(kubeflow, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.kubeflow.runs.time.sleep", interrupt)
    code, said = kubeflow("submit")
    assert code == 130
    assert said.endswith("the run goes on; follow it with: vlm-posttrain status r0 --wait\n")


@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED", "CANCELED"])
def test_a_finished_run_is_told_at_once(kubeflow, state, outcome):
    state.runs["done"] = run_states({"run_id": "done"}, outcome)[-1:]
    code, said = kubeflow("status", "done", "--wait")
    assert code == {"SUCCEEDED": 0, "FAILED": 1, "CANCELED": 3}[outcome]
    assert f"1/17 preflight: {outcome.lower()}" in said
    code, said = kubeflow("status", "done")
    assert code == 0 and f"run done: {outcome.lower()}: http" in said


def test_refusals_say_what_to_do(kubeflow, state, monkeypatch):
    code, said = kubeflow("status", "nothing")
    assert code == 66 and "does not know a run nothing (404)" in said
    state.token = "secret-token"
    code, said = kubeflow("status", "nothing")
    assert code == 78 and "KFP_TOKEN" in said
    monkeypatch.setenv("KFP_TOKEN", "secret-token")
    code, said = kubeflow("status", "nothing")
    assert code == 66 and "secret-token" not in said
    state.fail_next = [0, 403]
    assert "namespace" in kubeflow("status", "nothing")[1]
    state.fail_next = [0, 400]
    code, said = kubeflow("submit")
    assert code == 78 and said == "error: Kubeflow refuses the request (400): asked to fail\n"


def test_without_a_namespace(call, host, state, monkeypatch, tmp_path):
    state.runs["r0"] = run_states({"run_id": "r0"}, "SUCCEEDED")[-1:]
    state.token = "secret-token"  # said at once, after one request
    code, said = call("status", "r0", "--host", host)
    assert code == 78 and "401" in said and state.requests == [("GET", "/healthz")]
    state.token = ""
    code, said = call("status", "r0", "--host", host)
    assert code == 78 and "say --namespace" in said
    (tmp_path / "namespace").write_text("team")
    monkeypatch.setattr("pipelines.kubeflow.client._POD_NAMESPACE", tmp_path / "namespace")
    assert call("submit", "--no-wait", "--host", host)[0] == 0 and state.pipelines[0]["namespace"] == "team"


def test_a_kubeflow_for_one_user_has_one_namespace_and_says_so(kubeflow, call, host, state):
    """As recorded: it takes any namespace and means its own."""
    state.multi_user = argo.recorded_text("healthz.json")["multi_user"]
    code, said = kubeflow("submit", "--no-wait")
    assert (
        code == 0 and "--namespace team means nothing here" in said and "its own namespace, kubeflow" in said
    )
    assert not state.pipelines[0].get("namespace") and not state.experiments[0].get("namespace")
    for quiet in ((), ("--namespace", "kubeflow")):
        code, said = call("submit", "--no-wait", "--host", host, *quiet)
        assert code == 0 and "means nothing" not in said
    assert len(state.pipelines) == len(state.experiments) == len(state.versions) == 1


def test_a_token_file_that_is_not_there(kubeflow, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN_FILE", "/nowhere/token")
    code, said = kubeflow("status", "r0")
    assert code == 78 and "/nowhere/token cannot be read" in said


def test_nobody_there(call):
    code, said = call("status", "r0", "--host", "http://127.0.0.1:1", "--namespace", "team")
    assert code == 69 and "not reachable" in said


def test_links_lead_to_the_ui_where_it_is_elsewhere(kubeflow, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline")
    assert "https://kubeflow.example/pipeline/#/runs/details/r0" in kubeflow("submit", "--no-wait")[1]


@pytest.mark.parametrize(
    "command", [("submit", "--no-wait"), ("schedule", "create", "weekly"), ("schedule", "replace", "weekly")]
)
def test_texts_that_kubeflow_changes_are_refused_before_anything_is_uploaded(kubeflow, state, command):
    """A run with such a text answers 500 on a real Kubeflow, and goes on unrecorded."""
    code, said = kubeflow(*command, "--set", "label_tree.domain=costs $$")
    assert code == 78
    assert "label_tree.domain: has '$$'; Kubernetes makes one '$' of two; say it another way;" in said
    assert "a file of their own" in said
    assert not state.versions and not state.runs


def test_such_texts_are_not_compiled_either(call, tmp_path):
    code, said = call("compile", "--output", str(tmp_path / "p.yaml"), "--set", "label_tree.domain=a {{x}}")
    assert code == 78 and "label_tree.domain: has '{{'" in said
    assert not (tmp_path / "p.yaml").exists()


def test_names_that_kubeflow_cannot_keep_are_refused(kubeflow, state):
    code, said = kubeflow("submit", "--no-wait", "--name", "good \U0001f340")
    assert code == 78 and "--name: has '\\U0001f340'" in said
    code, said = kubeflow("schedule", "create", "weekly \U0001f340")
    assert code == 78 and "NAME: has '\\U0001f340'" in said
    assert not state.versions


def test_a_run_is_followed_when_its_nodes_are_compressed(kubeflow, state):
    """Kubeflow's list of tasks stands still then (seen: at task 7 to 11 of 17)."""
    state.compressed, state.outcome, state.failing = True, "FAILED", "hybrid_rl"
    code, said = kubeflow("submit")
    assert code == 1 and "sft_3_align: succeeded" in said and "hybrid_rl: failed" in said
    assert (
        "run r0 failed: hybrid_rl (main: Error (exit code 1)); see: vlm-posttrain logs r0 hybrid_rl" in said
    )
    listed = [task.get("display_name") for task in state.runs["r0"][-1]["run_details"]["task_details"]]
    assert "hybrid-rl" not in listed


def test_a_kubeflow_without_the_old_api_is_followed_by_its_own_list(kubeflow, state, monkeypatch):
    monkeypatch.setattr("pipelines.kubeflow.client.Kubeflow.workflow", lambda *_: None)
    state.outcome, state.failing = "FAILED", "voting_filter"
    code, said = kubeflow("submit")
    assert code == 1 and "voting_filter: failed" in said and "run r0 failed: voting_filter; see:" in said


def test_a_kill_for_memory_names_the_setting(kubeflow, state):
    state.outcome, state.failing, state.message = "FAILED", "hybrid_rl", "main: OOMKilled (exit code 1)"
    code, said = kubeflow("submit")
    assert code == 1 and "raise resources.hybrid_rl.memory" in said and "its limit of 4G" in said
    assert "raise resources.hybrid_rl.memory" in kubeflow("status", "r0")[1]


@pytest.mark.parametrize(
    ("retries", "policy", "expected"),
    [
        (0, "OnError", ""),
        (2, "OnError", "are NOT repeated"),
        (2, "Always", "attempts that failed are repeated"),
    ],
)
def test_the_policy_of_retries_in_force_is_said(kubeflow, state, retries, policy, expected):
    state.retries, state.policy = retries, policy
    said = kubeflow("submit")[1] + kubeflow("status", "r0")[1]
    assert said.count("retries:") == (2 if expected else 0)
    assert said.count(f"retryPolicy {policy}") == (2 if expected else 0) and expected in said


def test_results_from_the_cache_and_waiting_tasks_are_told(kubeflow, state):
    full = "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    tasks = {"preflight": "SUCCEEDED", "image_ingest": "CACHED", "label_tree": "PENDING"}
    state.runs["r0"] = [run_at({"run_id": "r0"}, "RUNNING", tasks, messages={"label_tree": full})]
    said = kubeflow("status", "r0")[1]
    assert "image_ingest: succeeded (from the cache)\n" in said
    assert f"label_tree: pending ({full}; no node has room for it" in said


def test_a_run_whose_schedule_was_deleted_is_recognised(kubeflow, state):
    """Kubernetes collected its workflow; Kubeflow says RUNNING, and CANCELING after it was told to end."""
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    run_id = state.schedule_starts_a_run(state.recurring[0]["recurring_run_id"])
    assert "gone" not in kubeflow("status", run_id)[1]
    state.recurring.clear()
    for api_state in ("RUNNING", "CANCELING"):
        state.runs[run_id][0]["state"] = api_state
        code, said = kubeflow("status", run_id)
        assert code == 0 and f"its workflow is gone, though Kubeflow calls it {api_state.lower()}" in said
        code, said = kubeflow("status", run_id, "--wait")
        assert code == 1 and "the schedule that started it was deleted" in said
        assert f"vlm-posttrain rerun {run_id} --from preflight" in said
