"""rerun: the plan, over two compiled pipelines; and the command, against the server."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from components.stages import TASKS
from pipelines.graph.compiled import Compiled
from pipelines.graph.post_training import compile_pipeline
from pipelines.kubeflow.rerun import differences, plan
from pipelines.kubeflow.workflow import Workflow
from pipelines.profile.run_profile import load_profile
from tests.pipelines.kubeflow.imitation.server import WORKFLOW, run_at, run_states

ROOT = Path(__file__).resolve().parents[3]
DEMO = ("--profile", "configs/demo.yaml")
DONE = dict.fromkeys(TASKS, "SUCCEEDED")
TRAINED = ["sft_1_domain", "sft_2_restore", "sft_3_align", "hybrid_rl"]
AFTER_VOTES = {*TRAINED, *(f"evaluation_{name}" for name in ("base", *TRAINED)), "promotion"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What the demo's profile compiles to, with overrides."""
    folder = tmp_path_factory.mktemp("ir")

    @cache
    def compiled(*overrides: str) -> Compiled:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            profile = load_profile(ROOT / "configs" / "demo.yaml", overrides)
            return Compiled.read(compile_pipeline(profile, folder / "p.yaml"))

    return compiled


def failed_at(task: str) -> dict[str, str]:
    """States of a run that failed at a task."""
    (last,) = run_states({"run_id": "r"}, "FAILED", task)[-1:]
    return {task: found.state for task, found in Workflow(last[WORKFLOW]).tasks.items()}


def test_nothing_changed_and_failed_is_a_retry(compiled):
    decided = plan(compiled(), compiled(), failed_at("sft_2_restore"), "sft_2_restore")
    assert decided.retry
    assert decided.again["sft_2_restore"] == "it failed"
    assert decided.again["promotion"] == "it had not begun"
    assert {"preflight", "voting_filter", "sft_1_domain"} <= set(decided.cached)


def test_nothing_changed_and_not_begun_is_a_retry_too(compiled):
    assert plan(compiled(), compiled(), failed_at("sft_1_domain"), "hybrid_rl").retry


def test_a_run_that_succeeded_without_the_task_is_not_retried(compiled):
    """It was skipped, because there was too little new."""
    states = {"preflight": "SUCCEEDED", "image_ingest": "SUCCEEDED", "ids_scoring": "SKIPPED"}
    decided = plan(compiled(), compiled(), states, "ids_scoring", failed=False)
    assert not decided.retry and decided.again["ids_scoring"] == "it was skipped"
    assert decided.compiled.is_cached("ids_scoring") and decided.cached == ("image_ingest",)


def test_a_changed_setting_runs_its_stage_and_what_reads_it(compiled):
    decided = plan(compiled(), compiled("sft_2_restore.seed=7"), failed_at("sft_2_restore"), "sft_2_restore")
    assert not decided.retry
    assert decided.again["sft_2_restore"] == "seed: 0 -> 7"
    assert decided.again["sft_3_align"] == "reads what sft_2_restore makes"
    assert decided.again["preflight"] == "never cached"
    assert "sft_1_domain" in decided.cached and decided.compiled.is_cached("sft_2_restore")


def test_what_the_run_did_not_reach_is_not_in_the_cache(compiled):
    decided = plan(
        compiled(), compiled("ids_scoring.endpoint.max_retries=2"), failed_at("ids_scoring"), "ids_scoring"
    )
    assert decided.again["ids_scoring"] == "endpoint.max_retries: 6 -> 2"
    assert decided.again["label_tree"] == "it had not begun"  # though nothing that it reads has changed
    assert decided.cached == ("image_ingest",)


def test_a_changed_setting_upstream_is_not_hidden(compiled):
    decided = plan(compiled(), compiled("voting_filter.posterior_threshold=0.9"), DONE, "sft_1_domain")
    assert set(decided.again) == {"preflight", "voting_filter", *AFTER_VOTES}
    assert decided.again["voting_filter"].startswith("posterior_threshold: ")


def test_nothing_changed_and_succeeded_runs_with_the_cache_off(compiled):
    now = compiled()
    decided = plan(now, now, DONE, "sft_3_align")
    followers = {"sft_3_align", "hybrid_rl", "evaluation_sft_3_align", "evaluation_hybrid_rl", "promotion"}
    assert not decided.retry
    assert {task for task, why in decided.again.items() if why == "asked for"} == followers
    off = {task for task in TASKS if not decided.compiled.is_cached(task)}
    assert off == followers | {"preflight"}
    assert set(decided.cached) == set(TASKS) - off
    assert all(decided.compiled.key_parts(task) == now.key_parts(task) for task in TASKS)


def test_more_memory_alone_runs_what_failed_and_nothing_else(compiled):
    """Retry would use the old pod settings; a new run takes everything finished from the cache."""
    now = compiled("resources.sft_1_domain.memory=64G")
    decided = plan(compiled(), now, failed_at("sft_1_domain"), "sft_1_domain")
    assert not decided.retry
    assert decided.again["sft_1_domain"] == "it failed"
    assert "voting_filter" in decided.cached and "preflight" in decided.again


def test_another_claim_is_another_cache_key(compiled):
    now = compiled("resources.voting_filter.volumes=[{claim: a, mount_path: /a}]")
    assert differences(compiled(), now, "voting_filter") == ["its claims changed"]
    assert differences(compiled(), now, "ids_scoring") == []


def test_parameters_that_the_run_was_started_with_count(compiled):
    started = compiled().with_parameters(
        {"s10_hybrid_rl": {**parameter(compiled(), "s10_hybrid_rl"), "max_steps": 3.0}}
    )
    assert differences(started, compiled("hybrid_rl.max_steps=3"), "hybrid_rl") == []
    assert differences(started, compiled(), "hybrid_rl")[0].startswith("max_steps: 3 -> ")


def parameter(compiled: Compiled, name: str) -> dict:
    return compiled.spec["root"]["inputDefinitions"]["parameters"][name]["defaultValue"]


def test_many_changes_are_counted(compiled):
    now = compiled(
        "hybrid_rl={max_steps: 3, seed: 7, learning_rate: 0.5, weight_decay: 0.5}",
        "hybrid_rl={dtype: bfloat16, rollout: vllm}",
    )
    said = differences(compiled(), now, "hybrid_rl")
    assert len(said) == 5 and said[-1].endswith("more settings")


def test_retry_from_the_command_line(kubeflow, state):
    state.outcome, state.failing = "FAILED", "sft_1_domain"
    assert kubeflow("submit")[0] == 1
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "sft_1_domain")
    assert code == 0, said
    assert "Kubeflow's Retry" in said and "retrying run r0" in said and "run r0: succeeded" in said
    assert ("POST", "/runs/r0:retry") in state.requests and len(state.runs) == 1


def test_a_new_run_from_the_command_line(kubeflow, state):
    state.outcome, state.failing = "FAILED", "sft_1_domain"
    assert kubeflow("submit", "--service-account", "vlm-pipeline")[0] == 1
    state.outcome = "SUCCEEDED"
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "sft_1_domain", "--set", "sft_1_domain.seed=7")
    assert code == 0, said
    assert "  again  sft_1_domain: seed: 0 -> 7" in said and "started run r1" in said
    (cache,) = [line for line in said.splitlines() if line.startswith("  cache")]
    assert "voting_filter" in cache and "sft" not in cache
    assert len(state.versions) == 2
    assert state.started[1]["display_name"] == "demo from sft_1_domain · sft_1_domain.seed=7"
    assert state.started[1]["service_account"] == "vlm-pipeline"
    assert state.started[1]["experiment_id"] == state.started[0]["experiment_id"]


def test_a_forced_stage_from_the_command_line(kubeflow, state):
    assert kubeflow("submit")[0] == 0
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "promotion")
    assert code == 0 and "promotion: asked for" in said and "cache off" in said
    found = Compiled.received(state.versions[1]["pipeline_spec"])
    assert [task for task in TASKS if not found.is_cached(task)] == ["preflight", "promotion"]


def test_dry_run_changes_nothing(kubeflow, state):
    assert kubeflow("submit")[0] == 0
    before = len(state.requests)
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "promotion", "--dry-run")
    assert code == 0 and "promotion: asked for" in said
    assert {method for method, _ in state.requests[before:]} == {"GET"}


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (("r9", "--from", "promotion"), 66, "does not know a run r9 (404)"),
        (("r0", "--from", "promotions"), 78, "did you mean 'promotion'"),
        (("r0", "--from", "promotion", "--set", "promotion.gates=1"), 78, "promotion.gates"),
    ],
)
def test_what_cannot_be_run_again(kubeflow, arguments, expected, message):
    assert kubeflow("submit")[0] == 0
    code, said = kubeflow("rerun", *DEMO, *arguments)
    assert code == expected and message in said


def test_a_run_under_way_is_not_run_again(kubeflow, state):
    state.runs["r0"] = run_states({"run_id": "r0"}, "SUCCEEDED")[:1]
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "promotion")
    assert code == 78 and "run r0 is running" in said


def test_states_are_those_of_a_compressed_workflow(kubeflow, state):
    """Kubeflow's list of tasks stands still then: a plan from it would call finished tasks not begun."""
    state.compressed = True
    assert kubeflow("submit")[0] == 0
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "promotion", "--dry-run")
    assert code == 0 and "had not begun" not in said and "promotion: asked for" in said


def test_a_run_whose_workflow_is_gone_is_run_again(kubeflow, state):
    """It says RUNNING for ever, and Kubeflow's Retry knows nothing to retry."""
    assert kubeflow("submit")[0] == 0
    assert kubeflow("schedule", "create", "nightly")[0] == 0
    run_id = state.schedule_starts_a_run(state.recurring[0]["recurring_run_id"])
    state.recurring.clear()
    tasks = dict.fromkeys(TASKS[:3], "SUCCEEDED") | {TASKS[3]: "RUNNING"}
    state.runs[run_id] = [run_at(state.runs[run_id][0], "CANCELING", tasks)]
    code, said = kubeflow("rerun", *DEMO, run_id, "--from", TASKS[3])
    assert code == 0, said
    assert "ended without Kubeflow's knowledge: the schedule that started it was deleted" in said
    assert f"again  {TASKS[3]}: it was running" in said and f"cache  {TASKS[1]}, {TASKS[2]}\n" in said
    assert not any("retry" in path for _, path in state.requests)


@pytest.mark.parametrize(("races", "expected"), [(1, 0), (2, 69)])
def test_a_race_with_argo_is_tried_once_more(kubeflow, state, races, expected):
    """Kubeflow answers 500 where Argo changed the workflow meanwhile."""
    state.outcome, state.failing = "FAILED", "sft_1_domain"
    assert kubeflow("submit")[0] == 1
    state.races = races
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "sft_1_domain", "--no-wait")
    assert code == expected and ("object has been modified" in said) == (expected != 0)
    assert state.requests.count(("POST", "/runs/r0:retry")) == 2


def test_a_run_of_another_pipeline(kubeflow, state):
    spec = {"pipelineInfo": {"name": "other"}, "root": {"inputDefinitions": {"parameters": {}}}}
    state.runs["r0"] = run_states({"run_id": "r0", "pipeline_spec": spec}, "FAILED")[-1:]
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "preflight")
    assert code == 66 and "no run of the pipeline vlm-post-training" in said


def test_a_version_that_was_deleted(kubeflow, state):
    assert kubeflow("submit")[0] == 0
    state.versions.clear()
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "preflight")
    assert code == 66 and "pipeline version of run r0" in said


def test_a_retry_that_kubeflow_refuses(kubeflow, state):
    state.outcome = "FAILED"
    assert kubeflow("submit")[0] == 1
    state.fail_next = []
    run = state.runs["r0"][-1]
    state.runs["r0"] = [run, {**run, "state": "SUCCEEDED"}]
    code, said = kubeflow("rerun", *DEMO, "r0", "--from", "preflight")
    assert code == 78 and "Workflow must be Failed/Error to retry" in said
