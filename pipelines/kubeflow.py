"""Runs on Kubeflow Pipelines: submit, follow, schedule. A thin use of the kfp SDK's own client.

Where the API is and who we are comes from the environment or options, never from a profile: `KFP_ENDPOINT` (for example
http://ml-pipeline-ui.kubeflow.svc), `KFP_TOKEN` or `KFP_TOKEN_FILE`, `KFP_CA_CERT`; in a cluster without these, the pod's own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
from kfp.client import Client

from components.core.config import sha256_hex
from components.core.errors import ConfigError, EndpointError, NoInputError, StageError
from pipelines.post_training import DESCRIPTION, NAME, compile_pipeline
from pipelines.profile import Profile

EXPERIMENT = "vlm-post-training"
FINISHED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
_PATIENCE_S = 300.0
_TRANSIENT = (429, 500, 502, 503, 504)


class RunFailed(StageError):
    """A run on the cluster failed (exit code 1) or was canceled (exit code 3)."""


@dataclass(frozen=True)
class Kubeflow:
    """One installation of Kubeflow Pipelines, and a namespace in it."""

    client: Client
    namespace: str

    def version(self, profile: Profile, work: Path) -> tuple[str, str]:
        """Ids of the pipeline and of the version that this profile compiles to; it is uploaded if it is not there.

        A version is named by the content of the compiled file, so the same content is uploaded once.
        """
        ir = compile_pipeline(profile, work / "post_training.yaml")
        name = sha256_hex(ir.read_bytes())[:12]
        with explained(), quiet():
            pipeline = self._pipeline()
            if pipeline is None:
                pipeline = self._make_pipeline()
            found = self._version(pipeline, name)
            if found is None:
                try:
                    found = self.client.upload_pipeline_version(
                        str(ir), name, pipeline_id=pipeline
                    ).pipeline_version_id
                except kfp_server_api.ApiException as error:
                    # Another submission of the same content was quicker.
                    found = self._version(pipeline, name) if error.status == 409 else None
                    if found is None:
                        raise
        return pipeline, found

    def _pipeline(self) -> str | None:
        """Id of the pipeline in this namespace. (The SDK's `get_pipeline_id` looks in the shared ones only.)"""
        wanted = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": NAME}]}
        page = self.client.list_pipelines(namespace=self.namespace or None, filter=json.dumps(wanted))
        return str(page.pipelines[0].pipeline_id) if page.pipelines else None

    def _make_pipeline(self) -> str:
        """A pipeline without a version: uploading a file would make a version under the pipeline's name."""
        wanted = kfp_server_api.V2beta1Pipeline(
            display_name=NAME, description=DESCRIPTION, namespace=self.namespace or None
        )
        try:
            made = self.client._pipelines_api.pipeline_service_create_pipeline(pipeline=wanted)
            return str(made.pipeline_id)
        except kfp_server_api.ApiException as error:
            found = self._pipeline() if error.status == 409 else None  # another submission was quicker
            if found is None:
                raise
            return found

    def _version(self, pipeline: str, name: str) -> str | None:
        token = ""
        while True:
            page = self.client.list_pipeline_versions(pipeline, page_token=token, page_size=100)
            for version in page.pipeline_versions or []:
                if version.display_name == name:
                    return str(version.pipeline_version_id)
            token = page.next_page_token or ""
            if not token:
                return None

    def submit(self, profile: Profile, work: Path, name: str) -> str:
        """Start a run; its id."""
        pipeline, version = self.version(profile, work)
        with explained(), quiet():
            experiment = self.client.create_experiment(EXPERIMENT, namespace=self.namespace or None)
            run = self.client.run_pipeline(
                experiment.experiment_id, name, pipeline_id=pipeline, version_id=version
            )
        return str(run.run_id)

    def follow(self, run_id: str, say: Callable[[str], None], poll_s: float = 10.0) -> None:
        """Tell every change of a task's state until the run has finished; outages of the API are waited out.

        Raises:
            RunFailed: it failed or was canceled.
            EndpointError: the API has not answered for five minutes.
        """
        told: dict[str, str] = {}
        silent_since: float | None = None
        while True:
            try:
                with explained():
                    run = self.client.get_run(run_id)
                silent_since = None
            except EndpointError as error:
                silent_since = silent_since or time.monotonic()
                if not getattr(error, "transient", False) or time.monotonic() - silent_since > _PATIENCE_S:
                    raise
                time.sleep(poll_s)
                continue
            for task, state in task_states(run).items():
                if told.get(task) != state:
                    told[task] = state
                    say(f"{task}: {state.lower()}")
            if run.state in FINISHED:
                break
            time.sleep(poll_s)
        say(f"run {run_id}: {run.state.lower()}")
        if run.state in ("FAILED", "CANCELED"):
            failed = [task for task, state in told.items() if state == "FAILED"]
            ended = RunFailed(
                f"run {run_id} {run.state.lower()}" + (f": {', '.join(failed)}" if failed else "")
            )
            ended.exit_code = 1 if run.state == "FAILED" else 3
            raise ended

    def schedule(self, profile: Profile, work: Path, name: str, cron: str, timezone: str) -> str:
        """Make the recurring run `name`, or replace the one there is; its id.

        The new one is made disabled, the old ones are deleted, then it is enabled: at no time are two enabled. A call
        that was killed in between may leave none enabled; the next one finishes it.
        """
        pipeline, version = self.version(profile, work)
        with explained(), quiet():
            experiment = self.client.create_experiment(EXPERIMENT, namespace=self.namespace or None)
            old = [run.recurring_run_id for run in self.scheduled(experiment.experiment_id, name)]
            new = self.client.create_recurring_run(
                experiment.experiment_id,
                name,
                cron_expression=f"TZ={timezone} {cron}",
                max_concurrency=1,
                no_catchup=True,
                pipeline_id=pipeline,
                version_id=version,
                enabled=False,
            )
            for recurring in old:
                self.client.delete_recurring_run(recurring)
            self.client.enable_recurring_run(new.recurring_run_id)
        return str(new.recurring_run_id)

    def unschedule(self, name: str) -> int:
        """Delete the recurring runs of this name; how many there were."""
        with explained(), quiet():
            experiment = self.client.create_experiment(EXPERIMENT, namespace=self.namespace or None)
            found = [run.recurring_run_id for run in self.scheduled(experiment.experiment_id, name)]
            for recurring in found:
                self.client.delete_recurring_run(recurring)
        return len(found)

    def scheduled(self, experiment: str, name: str) -> Iterator[Any]:
        """The recurring runs of this name."""
        token = ""
        while True:
            page = self.client.list_recurring_runs(page_token=token, page_size=100, experiment_id=experiment)
            yield from (run for run in page.recurring_runs or [] if run.display_name == name)
            token = page.next_page_token or ""
            if not token:
                return


def connect(host: str, namespace: str) -> Kubeflow:
    """The installation at `host` ("" looks where the kfp SDK looks: KF_PIPELINES_ENDPOINT, the cluster, a kubeconfig).

    Raises:
        ConfigError: the token file cannot be read.
    """
    token = os.environ.get("KFP_TOKEN", "")
    if not token and (file := os.environ.get("KFP_TOKEN_FILE")):
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"KFP_TOKEN_FILE: {file} cannot be read ({error.strerror})") from error
    with warnings.catch_warnings(), explained():
        warnings.simplefilter("ignore")
        try:
            client = Client(
                host=host or os.environ.get("KFP_ENDPOINT"),
                existing_token=token or None,
                namespace=namespace,
                ssl_ca_cert=os.environ.get("KFP_CA_CERT") or None,
            )
        except TimeoutError as error:
            raise EndpointError("Kubeflow does not answer; set --host or KFP_ENDPOINT") from error
    return Kubeflow(client, namespace)


def task_states(run: Any) -> dict[str, str]:
    """Task name -> state of a run's tasks, without the drivers that Kubeflow adds."""
    details = run.run_details.task_details if run.run_details else None
    return {
        str(task.display_name): str(task.state)
        for task in details or []
        if task.state and task.display_name and not task.display_name.endswith(("-driver", "root"))
    }


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """API errors as errors of ours, with what to do.

    Raises:
        ConfigError: the API does not know who we are, or does not let us.
        NoInputError: there is no such thing.
        EndpointError: it is in trouble or not there.
    """
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status == 401:
            raise ConfigError("Kubeflow asks who you are (401): set KFP_TOKEN or KFP_TOKEN_FILE") from error
        if error.status == 403:
            raise ConfigError(
                "Kubeflow refuses (403): this identity may not act in the namespace; see --namespace"
            ) from error
        if error.status == 404:
            raise NoInputError("Kubeflow does not know it (404): check the id, and --host") from error
        failure = EndpointError(f"Kubeflow answered {error.status} {error.reason}")
        failure.transient = error.status in _TRANSIENT  # type: ignore[attr-defined]
        raise failure from error
    except urllib3.exceptions.HTTPError as error:
        if isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError):
            raise ConfigError(
                f"Kubeflow's certificate is not trusted ({error}); set KFP_CA_CERT to your authority's file"
            ) from error
        failure = EndpointError(f"Kubeflow is not reachable ({error}); set --host or KFP_ENDPOINT")
        failure.transient = True  # type: ignore[attr-defined]
        raise failure from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the SDK's links to itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
