"""Where shard tasks run: in a pool of processes on this machine, or as Ray tasks on a cluster.

A task is a pure function of the shared data and of its own description. So both engines give the same results
in the same order, with any number of workers.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from typing import Any, Literal, TypeVar

from pydantic import Field

from components.core.cores import sharing, usable_cores
from components.core.stage.errors import ConfigError, StageError
from components.core.stage.settings import Settings

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")

# Tasks submitted ahead for each worker: none idles, and memory does not grow with the number of tasks.
_LOOK_AHEAD = 4
_REACH_S = 10.0


class EngineSettings(Settings):
    """Where shard tasks run. Does not change the output."""

    kind: Literal["local", "ray"] = "local"
    """local: processes on this machine; ray: tasks on a Ray cluster."""
    workers: int = Field(default=0, ge=0)
    """Tasks at once; 0 takes one for each usable core, or each core of the Ray cluster."""
    address: str = ""
    """Address of a Ray cluster, e.g. `ray://raycluster-head-svc:10001` or `auto`; empty starts one here."""


def in_batches(items: Iterable[Task], size: int) -> Iterator[list[Task]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def map_tasks(
    function: Callable[[Shared, Task], Result],
    tasks: Iterable[Task],
    shared: Shared,
    settings: EngineSettings,
) -> Iterator[Result]:
    """Yield `function(shared, task)` of every task, in the tasks' order.

    Args:
        function: a function at a module's top level, without side effects that another attempt would disturb.
        tasks: descriptions of shards; read lazily, a bounded number ahead.
        shared: data that every task needs; sent to each worker once.
        settings: which engine, and how many tasks at once.

    Raises:
        StageError: a worker process died, e.g. for lack of memory, or the cluster was lost.
        ConfigError: Ray is asked for and not installed, or its cluster cannot be reached.
    """
    return (_ray if settings.kind == "ray" else _local)(function, tasks, shared, settings)


def _in_order(
    tasks: Iterable[Task], submit: Callable[[Task], Any], result: Callable[[Any], Any], workers: int
) -> Iterator[Any]:
    """Results in the tasks' order, with tasks submitted a bounded number ahead."""
    ahead: deque[Any] = deque()
    for task in tasks:
        ahead.append(submit(task))
        if len(ahead) >= workers * _LOOK_AHEAD:
            yield result(ahead.popleft())
    while ahead:
        yield result(ahead.popleft())


def _local(
    function: Callable[[Any, Any], Any], tasks: Iterable[Any], shared: Any, settings: EngineSettings
) -> Iterator[Any]:
    workers = settings.workers or usable_cores()
    tasks = iter(tasks)
    first = list(itertools.islice(tasks, 2))
    tasks = itertools.chain(first, tasks)
    if workers == 1 or len(first) < 2:
        yield from (function(shared, task) for task in tasks)
        return
    # Not fork: the parent may hold threads, of Arrow for one, and a forked lock stays locked.
    context = multiprocessing.get_context("forkserver")
    with sharing(workers):
        forkserver.ensure_running()
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(function, shared)
    ) as pool:
        try:
            yield from _in_order(tasks, lambda task: pool.submit(_run_here, task), Future.result, workers)
        except BrokenProcessPool as error:
            fault = "a worker process was killed, probably for lack of memory"
            raise StageError(f"{fault}; run again, with fewer workers") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_work: tuple[Callable[[Any, Any], Any], Any]


def _start_worker(function: Callable[[Any, Any], Any], shared: Any) -> None:
    global _work
    _work = (function, shared)


def _run_here(task: Any) -> Any:
    function, shared = _work
    return function(shared, task)


def _ray(
    function: Callable[[Any, Any], Any], tasks: Iterable[Any], shared: Any, settings: EngineSettings
) -> Iterator[Any]:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "engine.kind is 'ray', but ray is not installed here; install the `ray` extra or set kind: local"
        ) from error
    own = not ray.is_initialized()
    if own:
        _connect(ray, settings)
    try:
        where, remote = ray.put(shared), ray.remote(function)
        workers = settings.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        yield from _in_order(tasks, lambda task: remote.remote(where, task), ray.get, workers)
    except ray.exceptions.RayTaskError as error:
        cause = error.as_instanceof_cause()
        raise cause if isinstance(cause, StageError) else StageError(f"a Ray task failed: {error}") from error
    except ray.exceptions.RayError as error:
        raise StageError(f"the Ray cluster was lost ({error}); run again, finished shards stay") from error
    finally:
        if own:
            ray.shutdown()


def _connect(ray: Any, settings: EngineSettings) -> None:
    """Join the cluster at `address`, or start one here whose dashboard and usage reports are off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.address:
        options["address"] = settings.address
    else:
        options |= {"num_cpus": settings.workers or usable_cores(), "include_dashboard": False}
    try:
        _reach(settings.address)
        with sharing(settings.workers or usable_cores()):
            ray.init(**options)
    except (OSError, ValueError, RuntimeError) as error:
        where = f"engine.address '{settings.address}'"
        raise ConfigError(f"no Ray cluster at {where}: {error}; check the address") from error


def _reach(address: str) -> None:
    """Fail in seconds if no server listens: Ray itself would try for two minutes."""
    host, mark, port = address.rpartition("://")[2].rpartition(":")
    if mark and port.isdecimal():  # else "auto", or another name that Ray resolves itself
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()
