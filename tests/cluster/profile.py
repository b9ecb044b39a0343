"""The profile of the miniature pipeline for a cluster: the world on a claim, the teachers at an address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipelines.profile.run_profile import load_profile

ROOT = Path(__file__).resolve().parents[2]
WORLD = "/data/world"
BUCKET = "mlpipeline"
STORE = "http://seaweedfs.kubeflow.svc:9000"
"""Kubeflow's object store, as pods reach it."""
_KEYS = {"AWS_ACCESS_KEY_ID": "accesskey", "AWS_SECRET_ACCESS_KEY": "secretkey"}
_SECRET = "mlpipeline-minio-artifact"


def write_profile(path: Path, teachers: str, session: str, seed: int, store: str = STORE) -> Path:
    """Write the profile of one test session.

    Args:
        path: the YAML file.
        teachers: base URL of the demo's teachers, as pods reach it.
        session: name of the session's registry and work root, so that it begins with neither.
        seed: of the first training stage, so that trainings of earlier sessions are not in the cache.
        store: address of the object store, as pods reach it.
    """
    document = _at(yaml.safe_load(load_profile(ROOT / "configs" / "smoke.yaml").as_yaml()), teachers)
    document["name"] = "day"
    document["preflight"] |= {
        "images": f"{WORLD}/images",
        "general_data": f"{WORLD}/general",
        "base_model": f"{WORLD}/base_model",
        "benchmarks": [
            {"name": role, "role": role, "uri": f"{WORLD}/benchmarks/{role}"}
            for role in ("domain", "general", "hallucination")
        ],
    }
    # Enough to learn the domain's habits, so that the gain is above 0.
    document["sft_1_domain"] |= {"max_steps": 300, "batch_samples": 8, "save_steps": 100, "seed": seed}
    document["sft_2_restore"] |= {"max_steps": 30, "batch_samples": 8}
    document["evaluation"] |= {"items_per_benchmark": 60}
    margins = ("general_margin_points", "hallucination_margin_points", "probe_f1_margin_points")
    document["promotion"]["registry"] = f"s3://{BUCKET}/vlm-cluster-tests/{session}"
    document["promotion"]["criteria"] = dict.fromkeys(margins, 100) | {
        "rule": "point",
        "confidence": 0.55,  # the miniature has a few dozen items
        "domain_gain_points": 0,
        "length_ratio": 100,
        "unmeasured": "skip",
    }
    document["resources"] = {
        "default": {
            "cpu": "2",
            "memory": "4G",
            "retries": 1,
            "backoff_s": 5,
            "volumes": [
                {"claim": "vlm-data", "mount_path": "/data"},
                {"claim": "vlm-work", "mount_path": "/work"},
            ],
            "env": {"VLM_WORK_ROOT": f"/work/{session}", "S3_ENDPOINT": store},
            "secret_env": {name: {"secret": _SECRET, "key": key} for name, key in _KEYS.items()},
            "pod_labels": {"app.kubernetes.io/part-of": "vlm-posttrain"},
        }
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def _at(value: Any, teachers: str) -> Any:
    """The value with every endpoint at the teachers' address."""
    if isinstance(value, dict):
        return {key: teachers if key == "base_url" else _at(item, teachers) for key, item in value.items()}
    return [_at(item, teachers) for item in value] if isinstance(value, list) else value
