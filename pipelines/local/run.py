"""A whole run on this machine: compile the profile's pipeline, run that file, write report and summary."""

from __future__ import annotations

import time
from pathlib import Path

from components.stages import TASKS
from pipelines.graph.post_training import compile_pipeline
from pipelines.local.containers import Containers
from pipelines.local.kfp_local import LocalRun, TaskFailed, TaskResult
from pipelines.local.live import view_for
from pipelines.local.record import RunRecord
from pipelines.local.spent import largest_process, spent
from pipelines.local.storage import StoredRun
from pipelines.profile.run_profile import Profile
from pipelines.report.page import conclude


def run_locally(
    profile: Profile,
    root: Path,
    rerun: str | None = None,
    network: str | None = None,
    storage: str = "",
    plain: bool = False,
) -> None:
    """Compile the pipeline for `profile` and run that very file below `root`.

    Args:
        profile: a checked run profile.
        root: directory of the run, in which later runs find what this one finished.
        rerun: a task whose cached outputs are not used.
        network: network of the containers; None runs the stages as subprocesses.
        storage: an `s3://` URI, from which the run goes on, and which has every task's outputs before the
            next begins.
        plain: lines on a terminal too, in place of the live view.

    Raises:
        TaskFailed: with the message and exit code of the stage that failed.
        Interrupted: by Ctrl-C or SIGTERM.
    """
    started = time.monotonic()

    def say(text: str) -> None:
        view.say(text)  # the view begins once the run's directory is there

    stored = StoredRun(root, storage, say) if storage else None
    record = RunRecord(root, profile, containers=network is not None)
    view = view_for(TASKS, record.before, plain)
    ir = compile_pipeline(profile, root / "post_training.yaml", nested=False)
    place = {task: f"{number:2d}/{len(TASKS)} {task}" for number, task in enumerate(TASKS, start=1)}
    seconds_by_task: dict[str, float] = {}

    def start(task: str) -> None:
        record.start()
        view.start(task)

    def done(result: TaskResult) -> None:
        if not result.cached:
            seconds_by_task[result.task] = result.seconds
            record.done(result.task, result.seconds)
        view.done(result.task, None if result.cached else result.seconds)
        if stored and not result.cached:
            stored.save()

    run = LocalRun(
        root=root,
        order=TASKS,
        rerun=rerun,
        on_start=start,
        on_done=done,
        containers=Containers(profile, network, storage=storage) if network else None,
        storage=storage,
        console=view.console,
    )
    try:
        with view:
            run.execute(ir)
    except TaskFailed as error:
        say(f"{place[error.task]}: failed; its output is in {root}/logs/{error.task}.log")
        raise
    seconds = time.monotonic() - started
    if run.skipped:
        say(f"too few new pictures: the other tasks are skipped; {seconds:.1f} s")
        return
    say(f"all {len(TASKS)} tasks done in {seconds:.1f} s")
    say(spent(seconds_by_task, largest_process()))
    record.write()
    conclude(root, say)
    if stored:
        stored.save(last=True)
