"""Running again from a stage: the run is read, the plan made and said, then carried out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.graph.compiled import Compiled
from pipelines.graph.post_training import compile_pipeline
from pipelines.kubeflow import runs
from pipelines.kubeflow.client import Kubeflow, connect, explained
from pipelines.kubeflow.rerun import Plan, plan
from pipelines.profile.run_profile import Profile


@dataclass(frozen=True)
class Decision:
    """A plan for one run, ready to be carried out."""

    kubeflow: Kubeflow
    run: Any
    start: str
    plan: Plan
    ir: Path
    """Where a new version is written before it is uploaded."""

    def explanation(self) -> Iterator[str]:
        """What will happen, task by task."""
        if self.plan.retry:
            yield f"nothing has changed since run {self.run.run_id}: Kubeflow's Retry"
        for task, why in self.plan.again.items():
            yield f"  again  {task}: {why}"
        order = self.plan.compiled.order
        before = order[: order.index(self.start)]
        earlier = [task for task in before if self.plan.again.get(task, "never cached") != "never cached"]
        if self.plan.retry:
            yield f"  kept   {', '.join(self.plan.cached) or 'nothing'}"
            return
        yield f"  cache  {', '.join(self.plan.cached) or 'nothing'}"
        yield "the cache holds as long as preflight finds the data outside as it was"
        if earlier:
            yield f"note: not only {self.start} and what follows: {', '.join(earlier)} too"
        if "asked for" in self.plan.again.values():
            yield (
                f"note: {self.start} changed nothing, so it runs with its cache off; later runs with these settings find the "
                "earlier results in the cache again"
            )

    def carry_out(self, service_account: str = "") -> str:
        """Retry the run or start a new one; the id of the run to follow."""
        if self.plan.retry:
            runs.retry(self.kubeflow, self.run.run_id)
            return str(self.run.run_id)
        with explained():
            pipeline, version = self.kubeflow.version(self.plan.compiled.write(self.ir))
            return runs.start(
                self.kubeflow,
                pipeline,
                version,
                f"{self.run.display_name} from {self.start}",
                service_account or str(self.run.service_account or ""),
                str(self.run.experiment_id or ""),
            )


def decide(run_id: str, start: str, profile: Profile, host: str, namespace: str, ir: Path) -> Decision:
    """Read a run and decide how to run again from its task `start` with what the profile says now.

    Raises:
        ConfigError: the run is under way.
        NoInputError: there is no such run, or it is of another pipeline.
    """
    kubeflow = connect(host, namespace)
    run = runs.get(kubeflow, run_id)
    runs.require_finished(run)
    with explained(f"the pipeline version of run {run_id}"):
        before = kubeflow.compiled(run)
    now = Compiled.read(compile_pipeline(profile, ir))
    decided = plan(before, now, runs.task_states(run), start, failed=run.state in ("FAILED", "CANCELED"))
    return Decision(kubeflow, run, start, decided, ir)
