"""Resources of a profile put on a task: limits, retries, and the pod settings of `kfp.kubernetes`."""

from __future__ import annotations

from typing import Any

from kfp import kubernetes

from pipelines.profile.resources import Resources


def apply_resources(task: Any, wanted: Resources) -> None:
    """Set on a KFP task everything that `wanted` says; what it does not say is left to the cluster."""
    if wanted.cpu:
        task.set_cpu_limit(wanted.cpu)
    if wanted.memory:
        task.set_memory_limit(wanted.memory)
    if wanted.gpu:
        task.set_accelerator_type(wanted.gpu_type).set_accelerator_limit(wanted.gpu)
    if wanted.retries:
        task.set_retry(
            num_retries=wanted.retries,
            backoff_duration=f"{wanted.backoff_s}s",
            backoff_factor=float(wanted.backoff_factor),
            backoff_max_duration=f"{wanted.retry_within_s}s",
        )
    if wanted.timeout_s:
        kubernetes.set_timeout(task, wanted.timeout_s)
    for name, value in sorted(wanted.env.items()):
        task.set_env_variable(name, value)
    _apply_pod_settings(task, wanted)


def _apply_pod_settings(task: Any, wanted: Resources) -> None:
    if wanted.shared_memory:
        size = wanted.shared_memory
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=size)
    for label, value in sorted(wanted.node_selector.items()):
        kubernetes.add_node_selector(task, label, value)
    for taint in wanted.tolerations:
        effect = taint.effect or None
        kubernetes.add_toleration(task, taint.key, taint.operator, taint.value, effect, taint.seconds)
    for volume in wanted.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.mount_path, volume.sub_path)
    if wanted.run_as_non_root:  # a namespace that enforces the standard `restricted` refuses any other pod
        kubernetes.set_security_context(task, run_as_non_root=True)
    for variable, source in sorted(wanted.secret_env.items()):
        kubernetes.use_secret_as_env(task, source.secret, {source.key: variable})
    if wanted.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, wanted.image_pull_secrets)
    for label, value in sorted(wanted.pod_labels.items()):
        kubernetes.add_pod_label(task, label, value)
