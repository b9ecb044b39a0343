"""Run a compiled pipeline on this machine, with or without containers: a thin adapter around `kfp.local`.

`kfp.local` brings the orchestration: it reads the compiled IR, resolves placeholders, wires outputs to
inputs, retries, and keeps the cache. Four seams are changed, all in `_adapted`, for as long as a run lasts:

- Its subprocess runner refuses container components, by one validation method. Ours accepts them, because the
  command of a stage (`python3 -m components.<stage> ...`) is the same inside and outside a container.
- The stage runs through `pipelines.local.process`, so progress bars, Ctrl-C and exit codes arrive. A
  containerised stage runs through `pipelines.local.containers`, likewise.
- Ready tasks run in the pipeline's own order instead of alphabetically.
- Each finished task is recorded, with its outputs, for the report.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

from kfp import components, dsl, local
from kfp.local import cache, graph_utils, pipeline_orchestrator, status, subprocess_task_handler
from kfp.local.orchestrator import task_executor

from components.core.stage.errors import PERMANENT_EXIT_CODES, StageError
from components.stages import STAGES, section_of
from pipelines.graph.components import task_name
from pipelines.local.arguments import SETTINGS, by_file
from pipelines.local.containers import Containers
from pipelines.local.process import (
    Ended,
    Interrupted,
    Signals,
    Start,
    new_process,
    run_child,
    torch_defaults,
    with_repository,
)
from pipelines.local.storage import work_environment
from pipelines.local.warm import WarmStart


class _Skipped(BaseException):
    """The condition of a task is false; the rest of the run depends on it."""


class TaskFailed(StageError):
    """A task ended with an error; message and `exit_code` are the stage's own."""

    def __init__(self, task: str, ended: Ended) -> None:
        super().__init__(ended.message or f"{task} ended with exit code {ended.exit_code}")
        self.task = task
        self.exit_code = ended.exit_code


@dataclass(frozen=True)
class TaskResult:
    """A task that succeeded."""

    task: str
    cached: bool
    seconds: float
    outputs: Mapping[str, str]
    """Output name -> path of the artifact, or value of the parameter."""


@dataclass
class LocalRun:
    """One run of a compiled pipeline below one directory, in which later runs find what this one finished.

    root/artifacts/<run>/<task>/<output>   outputs
    root/outputs/<task>                    link to the latest run's outputs, made or taken from the cache
    root/cache, root/work                  kfp.local's cache; the stages' progress
    root/logs/<task>.log                   the stage's output
    root/settings/<task>                   settings that are too long for a command line
    """

    root: Path
    order: Sequence[str]
    """Task names in the order in which ready tasks start."""
    rerun: str | None = None
    """A task whose cached outputs are not used."""
    on_start: Callable[[str], None] = lambda task: None
    """Called when a task starts to run (not for one answered from the cache)."""
    on_done: Callable[[TaskResult], None] = lambda result: None
    console: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    containers: Containers | None = None
    """How to run each task in a container of its image; without it, tasks are subprocesses."""
    storage: str = ""
    """`s3://bucket/prefix` below which the stages keep their progress; by default below `root`."""

    skipped: bool = field(default=False, init=False)
    """Whether the run ended early, as a success, because there was too little new to train on."""

    def __post_init__(self) -> None:
        self.root = self.root.absolute()
        self.results: list[TaskResult] = []
        self._signals = Signals()
        self._task = ""
        self._executed = False
        self._failure: TaskFailed | None = None
        self._conditional: set[str] = set()
        self._warm: WarmStart | None = None

    def execute(self, ir: Path) -> list[TaskResult]:
        """Run the IR file with its default parameters.

        Raises:
            TaskFailed: a task failed for good (at once for a permanent error, else after its retries).
            Interrupted: by SIGINT or SIGTERM.
        """
        spec = components.load_component_from_file(str(ir)).pipeline_spec
        self._conditional = _without_conditions(spec)
        for executor in spec.deployment_spec["executors"].values():
            executor["container"].fields.pop("env", None)  # a cluster's: it would change the cache key
        self.skipped = False
        if self.containers:
            self.containers.prepare(self.root)
        local.init(
            runner=local.DockerRunner() if self.containers else local.SubprocessRunner(use_venv=False),
            pipeline_root=str(self.root / "artifacts"),
            workspace_root=str(self.root / "workspace"),
            enable_caching=True,
            cache_root=str(self.root / "cache"),
        )
        self.results.clear()
        for link in (self.root / "outputs").glob("*"):
            link.unlink()
        with self._signals.watch(), self._adapted():
            try:
                pipeline_orchestrator.run_local_pipeline(spec, {})
            except RuntimeError as error:
                if self._failure is None:
                    raise
                raise self._failure from error
            except _Skipped:
                self.skipped = True
        return list(self.results)

    @contextlib.contextmanager
    def _adapted(self) -> Iterator[None]:
        """kfp.local with its four seams changed, and without its own log lines, rules and warnings."""
        run_command = self._run_command

        class Handler(subprocess_task_handler.SubprocessTaskHandler):
            """Runs the command of a container component, in a subprocess or in a container of its image."""

            def validate_not_container_component(self, full_command: list[str]) -> None:
                """Accept container components."""

            def validate_image(self, image: str) -> None:
                """Accept every image."""

            def run(self) -> status.Status:
                return run_command(self.full_command, self.env_vars, self.image)

        run_task = functools.partial(self._run_task, task_executor.execute_single_task)
        with (
            contextlib.ExitStack() as stack,
            mock.patch.object(subprocess_task_handler, "SubprocessTaskHandler", Handler),
            mock.patch.object(graph_utils, "topological_sort_tasks", self._stack_of_tasks),
            mock.patch.object(task_executor, "execute_single_task", run_task),
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),  # the stages' output passes this by
            warnings.catch_warnings(action="ignore"),
        ):
            if self.containers:
                from kfp.local import docker_task_handler  # which imports docker

                stack.enter_context(mock.patch.object(docker_task_handler, "DockerTaskHandler", Handler))
                # What kfp makes must be writable for the stages' user, who has group 0 in common with us.
                stack.callback(os.umask, os.umask(0o002))
            stack.callback(logging.disable, logging.root.manager.disable)
            logging.disable(logging.ERROR)
            yield

    def _stack_of_tasks(self, tasks: Mapping[str, Any]) -> list[str]:
        """Topological order, among ready tasks by the rank in `order`, as the stack that kfp pops."""
        rank = {task: position for position, task in enumerate(self.order)}
        waiting = {name: set(spec.dependent_tasks) for name, spec in tasks.items()}
        ordered: list[str] = []
        while waiting:
            ready = [name for name, needs in waiting.items() if needs.issubset(ordered)]
            ordered.append(min(ready, key=lambda name: (rank.get(task_name(name), len(rank)), name)))
            del waiting[ordered[-1]]
        return ordered[::-1]

    def _run_task(self, execute: Callable[..., Any], **kwargs: Any) -> Any:
        """kfp's execution of one task, with its result recorded."""
        if self._signals.received is not None:
            raise Interrupted(self._signals.received)
        self._task, self._executed = task_name(kwargs["task_name"]), False
        if self._task in self._conditional and any(r.outputs.get("enough") == "false" for r in self.results):
            raise _Skipped
        started = time.monotonic()
        # Cached outputs of a task to run again are not found; new ones are still stored in their place.
        cached = mock.patch.object(cache.LocalCache, "get", lambda _self, _key: None)
        with cached if self._task == self.rerun else contextlib.nullcontext():
            outputs, task_status = execute(**kwargs)
        if task_status == status.Status.SUCCESS:
            values = {k: v.uri if isinstance(v, dsl.Artifact) else str(v) for k, v in outputs.items()}
            result = TaskResult(self._task, not self._executed, time.monotonic() - started, values)
            self._link_outputs(result)
            self.results.append(result)
            self.on_done(result)
        return outputs, task_status

    def _run_command(self, command: Sequence[str], env: Mapping[str, str], image: str) -> status.Status:
        if not self._executed:
            self._executed = True
            self.on_start(self._task)
        shown = (self.console, self._signals)
        command = by_file(command, self.root / SETTINGS / self._task)
        if self.containers:
            ended = self.containers.run(self.root, self._task, image, command, env, *shown)
        else:
            program = sys.executable if command[0] == "python3" else command[0]
            log = self.root / "logs" / f"{self._task}.log"
            environment = self._environment(env)
            ended = run_child(
                [program, *command[1:]], environment, log, *shown, start=self._start(environment)
            )
        if ended.exit_code == 0:
            return status.Status.SUCCESS
        if self._signals.received is not None:
            raise Interrupted(self._signals.received)
        self._failure = TaskFailed(self._task, ended)
        if ended.exit_code in PERMANENT_EXIT_CODES:
            raise self._failure
        return status.Status.FAILURE

    def _start(self, environment: Mapping[str, str]) -> Start:
        """How this task's process is started: those that train or evaluate are warm."""
        if not WarmStart.wanted():
            return new_process
        if self._warm is None:
            self._warm = WarmStart(environment)
            self._warm.prepare()  # beside the data stages
        trains = STAGES[section_of(self._task).stage].group == "train"
        return self._warm.start if trains else new_process

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The stage's environment: ours, over the pipeline's, over the user's, over defaults."""
        ours = {"PYTHONUNBUFFERED": "1", **work_environment(self.root, self.storage)}
        return with_repository({**torch_defaults(), **os.environ, **env, **ours})

    def _link_outputs(self, result: TaskResult) -> None:
        """Point outputs/<task> at this result's artifacts, in one step."""
        made = f"{self.root / 'artifacts'}{os.sep}"  # parameters may name paths elsewhere below the root
        paths = [Path(value) for value in result.outputs.values() if value.startswith(made)]
        if not paths:
            return
        link = self.root / "outputs" / result.task
        link.parent.mkdir(parents=True, exist_ok=True)
        fresh = link.with_name(f".{link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.path.relpath(paths[0].parent, link.parent))
        fresh.replace(link)


def _without_conditions(spec: Any) -> set[str]:
    """Take the tasks' conditions out of a pipeline; the names of the tasks that had one.

    For a pipeline with conditions kfp.local takes another orchestrator, which goes on behind a skipped task.
    """
    conditional = {name: task for name, task in spec.root.dag.tasks.items() if task.trigger_policy.condition}
    for task in conditional.values():
        task.trigger_policy.condition = ""
    return set(map(task_name, conditional))
