"""The adapter around kfp.local: order, cache, retries, exit codes, signals, output."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl

from pipelines.local.arguments import LONG, by_file
from pipelines.local.kfp_local import LocalRun, TaskFailed
from pipelines.local.process import REPOSITORY
from pipelines.profile.run_profile import load_profile

ORDER = ("aside", "first", "second")


def local_run(root: Path, **changes) -> LocalRun:
    return LocalRun(root=root, order=ORDER, console=io.BytesIO(), **changes)


def calls(root: Path) -> list[str]:
    return (root / "work" / "calls").read_text().split()


def test_runs_in_the_given_order_and_wires_outputs(toy_pipeline, tmp_path):
    run = local_run(tmp_path / "run")
    results = run.execute(toy_pipeline())
    assert [result.task for result in results] == list(ORDER)
    assert not any(result.cached for result in results)
    assert (tmp_path / "run" / "outputs" / "second" / "made").read_text() == "two"
    assert b"wrote one to a pipe" in run.console.getvalue()
    assert b"wrote one" in (tmp_path / "run" / "logs" / "first.log").read_bytes()


def test_a_task_starts_only_after_what_it_needs(toy_pipeline, tmp_path):
    run = LocalRun(root=tmp_path / "run", order=("second", "first", "aside"), console=io.BytesIO())
    assert [result.task for result in run.execute(toy_pipeline())] == ["first", "second", "aside"]


def test_second_run_comes_from_the_cache(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline())
    assert all(result.cached for result in local_run(root).execute(toy_pipeline()))
    assert calls(root) == ["aside", "one", "two"]


def test_changed_setting_reruns_what_depends_on_it(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline())
    results = local_run(root).execute(toy_pipeline(text="other"))
    assert {result.task: result.cached for result in results} == {
        "aside": True,
        "first": False,
        "second": False,
    }


def test_lost_output_is_made_again(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline())
    (root / "outputs" / "first" / "made").unlink()
    results = local_run(root).execute(toy_pipeline())
    assert {result.task for result in results if not result.cached} == {"first", "second"}


def test_rerun_bypasses_the_cache_and_refreshes_it(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline())
    results = local_run(root, rerun="first").execute(toy_pipeline())
    assert {result.task for result in results if not result.cached} == {"first", "second"}
    assert all(result.cached for result in local_run(root).execute(toy_pipeline()))


def test_permanent_failure_is_not_retried_and_keeps_its_code_and_message(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    with pytest.raises(TaskFailed, match="^no rows left; check the folder$") as caught:
        local_run(root).execute(toy_pipeline(do="bad-data", retries=3))
    assert (caught.value.exit_code, caught.value.task) == (65, "first")
    assert calls(root).count("one") == 1


def test_transient_failure_is_retried(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline(do="flaky", retries=2))
    assert calls(root).count("one") == 2


def test_retries_end(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    with pytest.raises(TaskFailed, match="out of memory") as caught:
        local_run(root).execute(toy_pipeline(do="crash", retries=2))
    assert caught.value.exit_code == 1
    assert calls(root).count("one") == 3


def test_kfp_is_left_as_it_was(toy_pipeline, tmp_path):
    from kfp.local import graph_utils, subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    before = (
        graph_utils.topological_sort_tasks,
        subprocess_task_handler.SubprocessTaskHandler,
        task_executor.execute_single_task,
    )
    local_run(tmp_path / "run").execute(toy_pipeline())
    assert before == (
        graph_utils.topological_sort_tasks,
        subprocess_task_handler.SubprocessTaskHandler,
        task_executor.execute_single_task,
    )


def test_the_stage_sees_a_terminal_when_the_user_has_one(toy_pipeline, tmp_path):
    reader, writer = pty.openpty()
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 4096):
            received.extend(chunk)

    threading.Thread(target=read, daemon=True).start()
    with open(writer, "wb", closefd=False) as console:
        LocalRun(root=tmp_path / "run", order=ORDER, console=console).execute(toy_pipeline())
    time.sleep(0.2)
    assert b"wrote one on a terminal" in received


CHILD = """
import sys
from pathlib import Path
from pipelines.local.kfp_local import LocalRun
from pipelines.local.process import Interrupted
try:
    LocalRun(root=Path(sys.argv[2]), order=("aside", "first", "second")).execute(Path(sys.argv[1]))
except Interrupted as error:
    sys.exit(error.exit_code)
"""


def start(ir: Path, root: Path) -> subprocess.Popen[bytes]:
    """A run in a process of its own, waiting in its second task."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(ir), str(root)], stdout=subprocess.PIPE, cwd=REPOSITORY
    )
    assert process.stdout is not None
    while b"waiting" not in process.stdout.readline():
        pass
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_lets_the_stage_save_and_the_next_run_continue(toy_pipeline, tmp_path, number):
    root = tmp_path / "run"
    process = start(toy_pipeline(do="wait"), root)
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert b"saved" in output
    assert process.returncode == 128 + number
    results = local_run(root).execute(toy_pipeline())
    assert {result.task: result.cached for result in results} == {
        "aside": True,
        "first": False,
        "second": False,
    }


def test_killed_run_leaves_no_stage_behind(toy_pipeline, tmp_path):
    process = start(toy_pipeline(do="wait"), tmp_path / "run")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}/cmdline").is_file() and _alive(child) for child in children):
        assert time.monotonic() < deadline, "the stage outlived its run"
        time.sleep(0.05)


def _alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_outputs_are_the_latest_run_s_alone(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline())
    with pytest.raises(TaskFailed):
        local_run(root).execute(toy_pipeline(text="other", do="bad-data"))
    assert [link.name for link in (root / "outputs").iterdir()] == ["aside"]


def test_what_is_for_a_cluster_changes_nothing_here(toy_pipeline, tmp_path):
    root = tmp_path / "run"
    local_run(root).execute(toy_pipeline())
    documents = list(yaml.safe_load_all(toy_pipeline().read_text()))
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        executor["container"]["env"] = [{"name": "VLM_WORK_ROOT", "value": "/nowhere"}]
    mounts = {"exec-first": {"pvcMount": [{"constant": "data", "mountPath": "/data"}]}}
    documents.append({"platforms": {"kubernetes": {"deploymentSpec": {"executors": mounts}}}})
    ir = tmp_path / "cluster.yaml"
    ir.write_text(yaml.safe_dump_all(documents))
    assert all(result.cached for result in local_run(root).execute(ir))
    fresh = tmp_path / "fresh"
    local_run(fresh).execute(ir)
    assert calls(fresh) == ["aside", "one", "two"]


def test_settings_that_no_command_line_holds_reach_a_stage_by_file(tmp_path, monkeypatch, profile_sections):
    """A domain of 400 KB: the compiled task runs, the real stage reads it, and only its endpoint is amiss."""
    labels = [{"name": f"label {n}", "dimension": "domain", "description": "é" * 400} for n in range(500)]
    section = {**profile_sections["label_tree"], "experts": labels}
    section["model"] = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "max_retries": 0}
    section["embedder"] = section["model"]
    assert len(json.dumps(section)) > 3 * 2**17
    from pipelines.graph.components import component

    @dsl.pipeline(name="long")
    def long():
        component("label_tree", ["config"])(config=section)

    compiler.Compiler().compile(long, str(tmp_path / "long.yaml"))
    run = LocalRun(root=tmp_path / "run", order=("label_tree",), console=io.BytesIO())
    with pytest.raises(TaskFailed) as caught:
        run.execute(tmp_path / "long.yaml")
    assert caught.value.exit_code == 69, run.console.getvalue()[-500:]
    assert "ClientConnectorError" in str(caught.value)
    written = tmp_path / "run" / "settings" / "label_tree"
    assert {path.name for path in written.iterdir()} == {"executor-input.json"}


def test_short_settings_stay_on_the_command_line(tmp_path):
    command = ["python3", "-m", "x", "--config", "{}", "--text", "a" * LONG]
    assert by_file(command, tmp_path / "none") == command
    assert not (tmp_path / "none").exists()


@pytest.fixture
def profile_sections():
    return load_profile(REPOSITORY / "configs/smoke.yaml").sections
