"""Checks of training samples that otherwise fail hours later, on a GPU."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Container
from itertools import islice
from pathlib import Path
from typing import Any

from components.core.data.dataset import Dataset
from components.core.data.pins import CONTENT_LIMIT_BYTES
from components.core.stage.errors import DataError, NoInputError

CONTROL_TOKENS = (
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|im_start|>",
    "<|im_end|>",
)
"""Texts that the tokenizer turns into control tokens: in a sample they would be an image or a turn that is not there."""
_ROLES = ("system", "user", "assistant")
_SHOWN = 5


def open_checked(path: Path, table: str) -> Dataset:
    """Open a dataset; its content is verified too where that is quick, and by the stages that read it in any case."""
    dataset = Dataset.open(path, table, verify=False)
    size = sum(int(entry["bytes"]) for entry in dataset.manifest["files"])
    if size <= CONTENT_LIMIT_BYTES:
        dataset = Dataset.open(path, table, verify=True)
    if not dataset.rows:
        raise NoInputError(f"{path}: holds no rows")
    return dataset


def training_reader() -> Any:
    """The readers of the stage that trains on general data: what is accepted here is what is read there.

    Found by name, as the stages' settings are (`core.config.stage_config`): this stage's image carries all code.
    """
    return importlib.import_module("components.core.conversations")


def check_general_data(root: Path, checked_samples: int, max_unusable_share: float = 0.0) -> str:
    """Check `<root>/images` and `<root>/samples`, or sets in a format that the training stage reads.

    Args:
        root: the general data.
        checked_samples: samples looked at, from the first on.
        max_unusable_share: share of them that may break an invariant; training rejects those.

    Returns:
        What was found, for the report.

    Raises:
        NoInputError: a part is missing or empty.
        DataError: unknown format, wrong schema, or too many samples that break an invariant; says how many and shows the
            first ones.
    """
    reader = training_reader()
    if root.exists() and not reader.is_dataset(root) and not (root / "samples").exists():
        return _check_sets(root, reader.open_general(root, verify=False), checked_samples, max_unusable_share)
    images = open_checked(root / "images", "images")
    samples = open_checked(root / "samples", "samples")
    known = {
        key for batch in images.iter_batches(["image_id"], 65_536) for key in batch["image_id"].to_pylist()
    }
    problems: list[str] = []
    count = 0
    for row in samples.rows_iter(["sample_id", "messages", "image_ids"], batch_rows=4096):
        if count == checked_samples:
            break
        count += 1
        problem = sample_problem(row["messages"], row["image_ids"], known)
        if problem:
            problems.append(f"sample {row['sample_id']}: {problem}")
    unusable = _unusable(root, problems, count, max_unusable_share)
    return f"{samples.rows:,} samples ({count:,} checked), {images.rows:,} images{unusable}"


def _check_sets(root: Path, general: Any, checked_samples: int, max_unusable_share: float) -> str:
    problems: list[str] = []
    sets: Counter[str] = Counter()
    count = 0
    for item in islice(general, checked_samples):
        count += 1
        if isinstance(item, DataError):
            problems.append(str(item))
            continue
        sets[item["set"]] += 1
        # Which images exist has been looked up already.
        if problem := sample_problem(item["messages"], item["image_ids"], item["image_ids"]):
            problems.append(f"{item['sample_id']}: {problem}")
    if not count:
        raise NoInputError(f"{root}: holds no samples")
    unusable = _unusable(root, problems, count, max_unusable_share)
    named = ", ".join(f"{name} {found:,}" for name, found in sets.items())
    return f"{count:,} samples checked in {len(general.sets)} sets: {named}{unusable}"


def _unusable(root: Path, problems: list[str], count: int, max_share: float) -> str:
    """What the report says of unusable samples, "" where there are none; too many of them are an error."""
    if not problems:
        return ""
    shown = "\n  ".join(problems[:_SHOWN])
    if len(problems) > max_share * count:
        raise DataError(
            f"{root}: {len(problems)} of {count} samples are unusable; correct or remove them, or raise "
            f"preflight.max_unusable_share ({max_share:g}):\n  {shown}"
        )
    return f"; {len(problems):,} unusable, which training rejects:\n  {shown}"


def sample_problem(messages: str, image_ids: list[str], known: Container[str]) -> str:
    """Why a training sample cannot be used, "" if it can.

    Args:
        messages: JSON list of ChatML messages.
        image_ids: images of the sample, one for each placeholder, in order.
        known: ids of the images that exist.
    """
    try:
        turns = json.loads(messages)
        parts = [part for turn in turns for part in _parts(turn)]
        roles = [turn["role"] for turn in turns]
    except (ValueError, KeyError, TypeError) as error:
        return f"messages are not ChatML ({type(error).__name__}: {error})"
    if not roles or roles[-1] != "assistant" or any(role not in _ROLES for role in roles):
        return f"roles must be of {', '.join(_ROLES)} and end with assistant, got {roles}"
    placeholders = sum(part["type"] == "image" for part in parts)
    if placeholders != len(image_ids):
        return f"{placeholders} image placeholders, but {len(image_ids)} image_ids"
    for part in parts:
        found = [token for token in CONTROL_TOKENS if token in part.get("text", "")]
        if found:
            return f"text contains the control token {found[0]}"
    missing = [key for key in image_ids if key not in known]
    return f"image {missing[0]} is not in images/" if missing else ""


def _parts(turn: dict[str, Any]) -> list[dict[str, Any]]:
    content = turn["content"]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for part in content:
        if part["type"] not in ("image", "text"):
            raise ValueError(f"content of type {part['type']!r}")
        if part["type"] == "text" and not isinstance(part["text"], str):
            raise ValueError("text that is not a string")
    return list(content)
