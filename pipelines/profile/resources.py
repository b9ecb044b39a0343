"""Resources: a task's needs of the cluster, from the profile. `pipelines/graph/pods.py` applies them.

    resources:
      default:                              # holds for every task that does not say otherwise
        cpu: 4
        image_pull_secrets: [registry]
        volumes: [{claim: vlm-data, mount_path: /data}]
      evaluation: {gpu: 1}                  # all evaluation tasks
      hybrid_rl:
        gpu: 8
        node_selector: {nvidia.com/gpu.product: NVIDIA-H200}
        tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
        shared_memory: 64Gi
        secret_env: {HF_TOKEN: {secret: hugging-face, key: token}}

Mappings are merged key by key from default over evaluation to the task, lists are replaced. Only a cluster
reads this, but for cpu, memory and gpu, which limit containers on this machine too. Claims alone belong to
Kubeflow's cache key: anything else changes without running a finished task again.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from components.core.stage.settings import Settings


def _text(value: Any) -> Any:
    """Numbers and booleans of YAML as a user wrote them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


Text = Annotated[str, BeforeValidator(_text)]
Quantity = Annotated[Text, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kMGT]i?)?$")]
ObjectName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", max_length=253)
]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""
ClaimName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
"""Name of a claim, which becomes that of the pod's volume: an RFC 1123 label, so without dots."""
_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
LabelKey = Annotated[str, Field(pattern=rf"^([a-z0-9][a-z0-9.-]{{0,252}}/)?{_NAME}$")]
LabelValue = Annotated[Text, Field(pattern=rf"^({_NAME})?$")]
_SECRET_NAME = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|KEY|KEY_ID)$")
_RESERVED_LABELS = ("pipelines.kubeflow.org/", "workflows.argoproj.io/", "pipeline/")


def _mount_path(path: str) -> str:
    if not path.startswith("/") or path == "/" or ".." in path.split("/"):
        raise ValueError("has to be an absolute path below /, without '..'")
    return path.rstrip("/")


def _sub_path(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("has to be a relative path, without '..'")
    return path


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("is not the name of an environment variable")
    return name


def _plain_variable(name: str) -> str:
    if _SECRET_NAME.search(name.upper()):
        raise ValueError("looks like a secret, and a compiled pipeline is readable by all: use secret_env")
    return _variable(name)


def _own_label(key: str) -> str:
    if key.startswith(_RESERVED_LABELS):
        raise ValueError("belongs to Kubeflow")
    return key


Variable = Annotated[str, AfterValidator(_variable)]
PlainVariable = Annotated[str, AfterValidator(_plain_variable)]
OwnLabel = Annotated[LabelKey, AfterValidator(_own_label)]


class SecretKey(Settings):
    """One key of an existing Kubernetes secret in the run's namespace. The value stays in the cluster."""

    secret: ObjectName
    """Name of the secret."""
    key: str = Field(pattern=r"^[-._a-zA-Z0-9]+$")
    """Key in the secret."""


class Volume(Settings):
    """An existing persistent volume claim in the namespace of the run. Kubeflow mounts it writable."""

    claim: ClaimName
    """Name of the claim. Part of the cache key: another one runs the task again."""
    mount_path: Annotated[str, AfterValidator(_mount_path)]
    """Where it appears."""
    sub_path: Annotated[str, AfterValidator(_sub_path)] = ""
    """Directory in the volume; empty is all of it."""


class Toleration(Settings):
    """A taint of nodes that the task's pod tolerates."""

    key: str = ""
    """Key of the taint; empty, with operator Exists, is every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Exists takes any value."""
    value: str = ""
    """Value of the taint."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint; empty is every effect."""
    seconds: int | None = Field(default=None, ge=0)
    """How long a NoExecute taint is tolerated, in seconds; without it, for ever."""

    @model_validator(mode="after")
    def _consistent(self) -> Toleration:
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists takes no value")
        if self.operator == "Equal" and not self.key:
            raise ValueError("without a key the operator has to be Exists")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds only go with effect NoExecute")
        return self


class RunSettings(Settings):
    """What a run as a whole asks of Kubeflow. Set when the pipeline is compiled."""

    ttl_seconds_after_finished: int = Field(default=7 * 24 * 3600, ge=1, le=2**31 - 1)
    """Seconds for which Kubernetes keeps a run's workflow and pods, and with them their logs, after its end.
    Kubeflow's own default is an hour."""


class Resources(Settings):
    """What one task asks of the cluster. Set when the pipeline is compiled."""

    run_as_non_root: bool = True
    """Whether Kubernetes refuses to start the pod as root; the stages' images run as another user. Set it to
    false for images of your own that need root."""
    gpu: int = Field(default=0, ge=0)
    """Number of GPUs."""
    gpu_type: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9_.-]+$")
    """The extended resource that a GPU counts as."""
    cpu: Quantity | None = None
    """CPU limit as a Kubernetes quantity, e.g. `8` or `500m`."""
    memory: Quantity | None = None
    """Memory limit as a Kubernetes quantity, e.g. `32G`. Shared memory counts towards it."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm, by which data loaders and GPUs talk; by default the container runtime's (64 MB)."""
    retries: int = Field(default=0, ge=0)
    """How often a failed attempt is repeated. A stage continues where it was."""
    backoff_s: int = Field(default=30, ge=0)
    """Seconds before the first repetition."""
    backoff_factor: int = Field(default=2, ge=1)
    """By how much the wait grows from one repetition to the next; Argo takes whole numbers."""
    retry_within_s: int = Field(default=30 * 24 * 3600, ge=1)
    """Seconds from the start of the first attempt in which repetitions may begin, and by which they have to
    end. Argo's `maxDuration` is the deadline of a repeated attempt too, so it has to hold all of them."""
    timeout_s: int = Field(default=0, ge=0)
    """Seconds after which the pod of one attempt is killed (its active deadline); 0 is no limit."""
    node_selector: dict[LabelKey, LabelValue] = Field(default_factory=dict)
    """Labels that the node has to have."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints of nodes that do not keep the task away."""
    volumes: list[Volume] = Field(default_factory=list)
    """Existing claims to mount."""
    env: dict[PlainVariable, Text] = Field(default_factory=dict)
    """Environment variables, e.g. VLM_WORK_ROOT or S3_ENDPOINT."""
    secret_env: dict[Variable, SecretKey] = Field(default_factory=dict)
    """Environment variables from secrets, by reference."""
    image_pull_secrets: list[ObjectName] = Field(default_factory=list)
    """Secrets with which the images are pulled."""
    pod_labels: dict[OwnLabel, LabelValue] = Field(default_factory=dict)
    """Labels of the task's pod, e.g. for cost accounts, queues and network policies."""

    @model_validator(mode="after")
    def _consistent(self) -> Resources:
        twice = sorted(set(self.env) & set(self.secret_env))
        if twice:
            raise ValueError(f"in env and in secret_env: {', '.join(twice)}")
        paths = [volume.mount_path for volume in self.volumes]
        paths += ["/dev/shm"] if self.shared_memory else []
        if len(set(paths)) != len(paths):
            raise ValueError(f"two volumes are mounted at one path: {', '.join(sorted(paths))}")
        claims = [volume.claim for volume in self.volumes]
        if len(set(claims)) != len(claims):  # Kubeflow names the pod's volume after the claim
            raise ValueError(f"a claim can be mounted once: {', '.join(sorted(claims))}")
        return self
