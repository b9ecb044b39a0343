"""The connection to Kubeflow's API: experiment, pipeline and version there, and its errors in plain words.

Address and identity come from the environment or options, never from a profile: `KFP_ENDPOINT` (for example
http://ml-pipeline-ui.kubeflow.svc), `KFP_TOKEN` or `KFP_TOKEN_FILE`, `KFP_CA_CERT`. In a cluster without
these, they are the pod's own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
from kfp.client import Client

from components.core.stage.errors import ConfigError, EndpointError, NoInputError
from pipelines.graph.compiled import Compiled, version_name
from pipelines.graph.post_training import DESCRIPTION, NAME
from pipelines.kubeflow.workflow import Workflow

EXPERIMENT = "vlm-post-training"
OWN_NAMESPACE = "kubeflow"
"""Where a Kubeflow for one user keeps and runs everything, whatever a request says."""
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class OutageError(EndpointError):
    """Kubeflow does not answer for now: asked again later, it may."""


@dataclass(frozen=True)
class Kubeflow:
    """One installation of Kubeflow Pipelines, and a namespace in it."""

    client: Client
    namespace: str
    """Of runs, pipelines and schedules in the API; "" for a Kubeflow for one user, which has no other."""
    note: str = ""
    """What somebody should know who asked for another namespace; "" if nothing."""

    @property
    def pods(self) -> str:
        """Namespace in which the pods of runs are."""
        return self.namespace or OWN_NAMESPACE

    def link(self, kind: str, identifier: str) -> str:
        """Address of a page of the UI; kind: `runs`, `recurringrun`.

        KF_PIPELINES_UI_ENDPOINT says where the UI is if it is not where the API is.
        """
        return f"{self.client._get_url_prefix().rstrip('/')}/#/{kind}/details/{identifier}"

    def experiment(self, make: bool = True) -> str | None:
        """Id of the experiment that holds the runs; None if there is none and none is to be made."""
        if make:
            made = self.client.create_experiment(EXPERIMENT, namespace=self.namespace or None)
            return str(made.experiment_id)
        page = self.client._experiment_api.experiment_service_list_experiments(
            filter=_named(EXPERIMENT), **({"namespace": self.namespace} if self.namespace else {})
        )
        return str(page.experiments[0].experiment_id) if page.experiments else None

    def version(self, ir: Path, description: str = "") -> dict[str, str]:
        """The version with this file's content, uploaded if missing: its `pipeline_id` and `version_id`.

        Args:
            ir: the compiled pipeline.
            description: of a version that is uploaded; its name is only a hash of the content.
        """
        name = version_name(ir)
        pipeline = _found_or_made(self._pipeline, self._make_pipeline)

        def upload() -> str:
            made = self.client.upload_pipeline_version(
                str(ir), name, pipeline_id=pipeline, description=description or None
            )
            return str(made.pipeline_version_id)

        version = _found_or_made(lambda: self._version(pipeline, name), upload)
        return {"pipeline_id": pipeline, "version_id": version}

    def _pipeline(self) -> str | None:
        """Id of the pipeline in this namespace. (The SDK's `get_pipeline_id` finds shared ones only.)"""
        page = self.client.list_pipelines(namespace=self.namespace or None, filter=_named(NAME))
        return str(page.pipelines[0].pipeline_id) if page.pipelines else None

    def _make_pipeline(self) -> str:
        """A pipeline without a version: uploading a file would make a version under the pipeline's name."""
        wanted = kfp_server_api.V2beta1Pipeline(
            name=NAME, display_name=NAME, description=DESCRIPTION, namespace=self.namespace or None
        )
        made = self.client._pipelines_api.pipeline_service_create_pipeline(pipeline=wanted)
        return str(made.pipeline_id)

    def _version(self, pipeline: str, name: str) -> str | None:
        fetch = partial(self.client.list_pipeline_versions, pipeline, page_size=100)
        versions = pages(fetch, "pipeline_versions")
        return next((str(v.pipeline_version_id) for v in versions if v.display_name == name), None)

    def workflow(self, run_id: str) -> Workflow | None:
        """The workflow of a run; None if this Kubeflow does not tell. (The SDK has no v1beta1 any more.)"""
        try:
            answer = self.client._run_api.api_client.call_api(
                "/apis/v1beta1/runs/{run_id}",
                "GET",
                path_params={"run_id": run_id},
                header_params={"Accept": "application/json"},
                response_type="object",
                auth_settings=["Bearer"],
                _return_http_data_only=True,
            )
        except kfp_server_api.ApiException as error:
            if error.status in (404, 501):
                return None
            raise
        return Workflow.received(answer) if isinstance(answer, dict) else None

    def compiled(self, run: Any) -> Compiled:
        """The compiled pipeline of a run or recurring run, with the parameters that it was started with.

        Raises:
            NoInputError: it is of a pipeline with other tasks than ours, or its version was deleted.
        """
        kept, version = run, run.pipeline_version_reference
        if not run.pipeline_spec and version:
            kept = self.client.get_pipeline_version(version.pipeline_id, version.pipeline_version_id)
        found = Compiled.received(kept.pipeline_spec or {})
        if found.spec.get("pipelineInfo", {}).get("name") != NAME:
            raise NoInputError(f"it is no run of the pipeline {NAME}; give the id of one that is")
        parameters = run.runtime_config.parameters if run.runtime_config else None
        return found.with_parameters(parameters or {})


def _found_or_made(find: Callable[[], str | None], make: Callable[[], str]) -> str:
    """The id of something, made if missing; if another submission was quicker (409), that one's."""
    try:
        return find() or make()
    except kfp_server_api.ApiException as error:
        found = find() if error.status == 409 else None
        if found is None:
            raise
        return found


def _named(name: str) -> str:
    """The API's filter for things of exactly this name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def pages(fetch: Callable[..., Any], items: str) -> Iterator[Any]:
    """The items of every page of a list; `fetch` takes the token of a page as `page_token`."""
    token: str | None = ""
    while token is not None:
        page = fetch(page_token=token)
        yield from getattr(page, items) or []
        token = page.next_page_token or None


def address(host: str = "") -> str:
    """Where the API is, by option or environment; "" if neither says."""
    return host or os.environ.get("KFP_ENDPOINT") or os.environ.get("KF_PIPELINES_ENDPOINT") or ""


def connect(host: str, namespace: str) -> Kubeflow:
    """The installation at `host`.

    Args:
        host: address of the API; "" looks where the kfp SDK looks: KF_PIPELINES_ENDPOINT, the cluster, a
            kubeconfig.
        namespace: of the runs; "" is the pod's own. A Kubeflow for one user has one only, whatever is said.

    Raises:
        ConfigError: the token file cannot be read, or several users share this Kubeflow and no namespace is
            given.
        EndpointError: nobody answers.
    """
    token = os.environ.get("KFP_TOKEN", "")
    if not token and (file := os.environ.get("KFP_TOKEN_FILE")):
        token = _read(Path(file))
        if not token:
            raise ConfigError(f"KFP_TOKEN_FILE: {file} cannot be read, or is empty")
    host = address(host)
    with warnings.catch_warnings(), explained():
        warnings.simplefilter("ignore")
        try:
            client = Client(
                host=host or None,
                existing_token=token or None,
                # To the SDK this is where Kubeflow itself is. Another name than its default keeps it from
                # asking for the API's health five times, five seconds apart, when that answers 401.
                namespace="-" if host else "kubeflow",
                ssl_ca_cert=os.environ.get("KFP_CA_CERT") or None,
            )
        except TimeoutError as error:
            raise EndpointError("Kubeflow does not answer; set --host or KFP_ENDPOINT") from error
        client._context_setting["namespace"] = namespace
        several = client._healthz_api.healthz_service_get_healthz().multi_user
        if several and not namespace:
            namespace = _read(_POD_NAMESPACE)
            if not namespace:
                raise ConfigError("several users share this Kubeflow: say --namespace")
        if not several:
            client._context_setting["namespace"] = ""
            return Kubeflow(client, "", _ignored(namespace))
    return Kubeflow(client, namespace)


def _ignored(namespace: str) -> str:
    """The note that a Kubeflow for one user has no use for a namespace."""
    if namespace in ("", OWN_NAMESPACE):
        return ""
    return (
        f"note: --namespace {namespace} means nothing here: this Kubeflow is for one user, and keeps runs, "
        f"schedules, claims and secrets in its own namespace, {OWN_NAMESPACE}"
    )


def _read(file: Path) -> str:
    """The text of a file; "" if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


@contextlib.contextmanager
def explained(what: str = "it") -> Iterator[None]:
    """API errors as errors of ours, with what to do; the SDK's own output is kept back.

    Args:
        what: the thing that is asked for, as the message is to call it.

    Raises:
        ConfigError: the API does not know who we are, does not let us, or refuses what we ask.
        NoInputError: there is no such thing.
        EndpointError: it is in trouble or not there.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except kfp_server_api.ApiException as error:
        raise _in_plain_words(error, what) from error
    except urllib3.exceptions.HTTPError as error:
        if isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError):
            raise ConfigError(
                f"Kubeflow's certificate is not trusted ({error}); set KFP_CA_CERT to your authority's file"
            ) from error
        raise OutageError(f"Kubeflow is not reachable ({error}); set --host or KFP_ENDPOINT") from error


def _in_plain_words(error: kfp_server_api.ApiException, what: str) -> Exception:
    said = _said(error)
    refused = {
        401: "Kubeflow asks who you are (401): set KFP_TOKEN or KFP_TOKEN_FILE",
        403: f"Kubeflow refuses (403): this identity may not act in the namespace; see --namespace{said}",
        409: f"Kubeflow has one of this name already (409){said}",
        400: f"Kubeflow refuses the request (400){said}",
    }
    if error.status in refused:
        return ConfigError(refused[error.status])
    if error.status == 404:
        return NoInputError(f"Kubeflow does not know {what} (404): check the id, and --host")
    kind = OutageError if error.status in (429, 500, 502, 503, 504) else EndpointError
    return kind(f"Kubeflow answered {error.status} {error.reason}{said}")


def _said(error: kfp_server_api.ApiException) -> str:
    """The message in the body of an answer, which says more than the status."""
    try:
        body = json.loads(error.body or "")
        text = str(body.get("message") or body.get("error") or body.get("error_message") or "")
    except (ValueError, AttributeError):
        return ""
    return f": {text[:500]}" if text else ""
