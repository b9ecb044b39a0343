"""A user's day on a real Kubeflow, in the order of the day: run with `-x`."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from components.core.data.manifest import content_digest
from components.core.registry import DomainRegistry
from components.stages import TASKS
from tests.cluster.conftest import Cluster, eventually

DOMAIN = "instrument_cluster"
BEFORE_RESTORE = TASKS[1 : TASKS.index("sft_1_domain") + 1]
NEVER = "0 0 0 1 1 *"
EVERY_MINUTE = "0 * * * * *"


@dataclass
class Run:
    """One run that came to its end."""

    run_id: str
    code: int
    said: str


@pytest.fixture(scope="module")
def first(cluster) -> Run:
    """The miniature pipeline, from `submit` to the last task."""
    code, said, run_id = cluster.submit()
    return Run(run_id, code, said)


@pytest.fixture(scope="module")
def killed(cluster, first) -> Run:
    """A run in which a training stage has too little memory."""
    code, said, run_id = cluster.submit(
        "resources.sft_2_restore.memory=350M", f"sft_2_restore.seed={cluster.seed + 1}"
    )
    return Run(run_id, code, said)


def test_a_run_is_followed_to_its_last_task(first):
    assert first.code == 0, first.said
    for number, task in enumerate(TASKS, 1):
        assert f"{number:2d}/{len(TASKS)} {task}: succeeded" in first.said
    assert f"run {first.run_id}: succeeded" in first.said and "retries: " in first.said


def test_a_stage_continues_the_checkpoint_before_it(cluster, first):
    def manifest(task: str) -> dict:
        return json.loads(cluster.store.get(cluster.key(first.run_id, task, "/checkpoint/_MANIFEST.json")))

    for before, after in (("sft_1_domain", "sft_2_restore"), ("sft_2_restore", "sft_3_align")):
        assert manifest(after)["provenance"]["inputs"]["init_checkpoint"] == content_digest(manifest(before))


def test_promotion_moved_the_pointer(cluster, first):
    root = f"s3://mlpipeline/vlm-cluster-tests/{cluster.session}"
    assert DomainRegistry(root, DOMAIN).pointer().version == 1


def test_the_log_of_a_finished_task(cluster, first):
    code, said = cluster.call("logs", first.run_id, "sft_2_restore")
    assert code == 0 and '"stage": "curriculum_sft"' in said and "done in" in said


def test_the_same_again_comes_from_the_cache(cluster, first):
    code, said, _ = cluster.submit()
    assert code == 0, said
    assert [task for task in TASKS if f"{task}: succeeded (from the cache)" not in said] == ["preflight"]


def test_a_kill_for_memory_is_told_with_its_setting(cluster, killed):
    assert killed.code == 1 and f"run {killed.run_id} failed: sft_2_restore (" in killed.said
    assert "OOMKilled" in killed.said and "raise resources.sft_2_restore.memory" in killed.said
    assert "raise resources.sft_2_restore.memory" in cluster.call("status", killed.run_id)[1]


def test_the_log_of_a_failed_task(cluster, killed):
    code, said = cluster.call("logs", killed.run_id, "sft_2_restore")
    assert code == 0 and said.strip()


def test_it_is_run_again_from_there_with_more_memory(cluster, killed):
    code, said = cluster.call(
        "rerun", killed.run_id, "--from", "sft_2_restore", "--profile", str(cluster.profile),
        "--set", f"sft_2_restore.seed={cluster.seed + 1}",
    )  # fmt: skip
    assert code == 0, said
    assert "again  sft_2_restore: it failed" in said
    for task in BEFORE_RESTORE:
        assert f"{task}: succeeded (from the cache)" in said
    assert "promotion: succeeded" in said


def _scheduled(cluster: Cluster, name: str, how: str, cron: str, *overrides: str) -> str:
    settings = [part for override in overrides for part in ("--set", override)]
    code, said = cluster.call(
        "schedule", how, name, "--profile", str(cluster.profile), "--cron", cron, *settings
    )
    assert code == 0, said
    return said


def test_a_schedule_waits_for_new_data(cluster, first):
    name = f"waits-{cluster.session}"
    _scheduled(cluster, name, "create", EVERY_MINUTE, "image_ingest.min_new_images=100000")
    (run, *_) = eventually(lambda: cluster.runs_of(name), 300)
    code, said = cluster.call("schedule", "replace", name, "--profile", str(cluster.profile), "--cron", NEVER)
    assert code == 0, said
    code, said = cluster.call("status", run.run_id, "--wait")
    assert code == 0 and "ids_scoring: skipped" in said and "promotion" not in said
    cluster.call("schedule", "delete", name)


def test_replacing_a_schedule_lets_its_run_go_on(cluster, first):
    name = f"goes-on-{cluster.session}"
    _scheduled(cluster, name, "create", EVERY_MINUTE, f"sft_1_domain.seed={cluster.seed + 2}")
    (run, *_) = eventually(lambda: cluster.runs_of(name), 300)
    said = _scheduled(cluster, name, "replace", NEVER)
    assert "is disabled and not deleted" in said and run.run_id in said
    code, followed = cluster.call("status", run.run_id, "--wait")
    assert code == 0 and f"run {run.run_id}: succeeded" in followed, followed
    listed = cluster.call("schedule", "list")[1]
    assert listed.count(f"{name}  ") == 1 and "note" not in listed
    assert cluster.call("schedule", "delete", name) == (0, f"deleted 1 recurring run named {name}\n")
