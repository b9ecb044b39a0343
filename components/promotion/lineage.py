"""Lineage of a registered model: digests of all that went into it, back to the hashes of its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.core.data.dataset import Dataset
from components.core.data.hashing import sha256_hex
from components.core.data.manifest import MANIFEST_NAME
from components.core.data.pins import fingerprint
from components.core.stage.errors import DataError

TRAINING_IMAGES = "training_images.txt"


def lineage(
    checkpoint: Path, predictions: dict[str, Dataset], qa_kept: Dataset, general_data: str
) -> tuple[dict[str, Any], bytes]:
    """The lineage record, and the training pictures: one SHA-256 of the stored bytes a line.

    Args:
        checkpoint: the final model; its manifest names the digests of what it was trained on.
        predictions: by evaluated model's name; their manifests name benchmarks and base model.
        qa_kept: the questions and answers it was trained on; their rows name the pictures.
        general_data: pinned reference of the general data.

    Raises:
        DataError: the checkpoint was trained on other questions than `qa_kept`.
    """
    trained = provenance(checkpoint)
    kept = fingerprint(qa_kept.path)
    inputs = trained.get("inputs", {})
    if inputs.get("qa_kept", kept) != kept:
        raise DataError(
            f"{qa_kept.path} holds other questions ({kept}) than the checkpoint was trained on "
            f"({inputs['qa_kept']}); give those of the same run"
        )
    rows = qa_kept.rows_iter(columns=("image_id", "split"))
    pictures = sorted({row["image_id"] for row in rows if row["split"] == "train"})
    listed = "".join(f"{image_id}\n" for image_id in pictures).encode()
    made = qa_kept.manifest.get("provenance") or {}
    origin = {key: made[key] for key in ("stage", "code_version", "config_hash", "inputs") if key in made}
    record = {
        "checkpoint": trained,
        "evaluation": {name: provenance(dataset.path) for name, dataset in predictions.items()},
        "general_data": general_data,
        "qa_kept": {"digest": kept, "rows": qa_kept.rows, **origin},
        "training_images": {
            "file": TRAINING_IMAGES,
            "count": len(pictures),
            "sha256": sha256_hex(listed),
            "dataset": inputs.get("images", ""),
        },
    }
    return record, listed


def provenance(directory: Path) -> dict[str, Any]:
    """What a manifest says about how its directory came to be; empty if it says nothing."""
    manifest = json.loads((directory / MANIFEST_NAME).read_text(encoding="utf-8"))
    return dict(manifest.get("provenance") or {})
