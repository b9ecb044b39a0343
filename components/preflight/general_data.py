"""Checks of training samples that otherwise fail hours later, on a GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from itertools import islice
from pathlib import Path

from components.core.conversations import GeneralData, is_dataset, open_general
from components.core.conversations.base import BadRecord
from components.core.conversations.content import read_content
from components.core.conversations.formats import ROLES
from components.core.conversations.left_out import left_out
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.data.pins import CONTENT_LIMIT_BYTES
from components.core.stage.errors import DataError, NoInputError
from components.preflight.pictures import damaged, evenly

_SHOWN = 5


def open_checked(path: Path, table: str) -> Dataset:
    """Open a dataset. Its content is verified here if it is small, and always by the stages that read it.

    Raises:
        NoInputError: it is missing or empty.
        DataError: it is damaged.
    """
    dataset = Dataset.open(path, table, verify=False)
    size = sum(int(entry["bytes"]) for entry in dataset.manifest["files"])
    if size <= CONTENT_LIMIT_BYTES:
        dataset = Dataset.open(path, table, verify=True)
    if not dataset.rows:
        raise NoInputError(f"{path}: holds no rows")
    return dataset


def check_general_data(
    root: Path,
    checked_samples: int,
    max_unusable_share: float = 0.0,
    checked_pictures: int = 0,
    control_tokens: Sequence[str] = (),
) -> str:
    """Check `<root>/images` and `<root>/samples`, or sets in a format that the training stage reads.

    Of the first `checked_samples`, a `max_unusable_share` may break a rule; training rejects those. The same
    share of `checked_pictures` may be damaged. No text may spell one of the model's `control_tokens`.

    Returns:
        A line for the report.

    Raises:
        NoInputError: a part is missing or empty.
        DataError: unknown format, wrong schema, or too many samples that break a rule; shows the first ones.
    """
    if root.exists() and not is_dataset(root) and not (root / "samples").exists():
        general = open_general(root, verify=False)
        return _check_sets(
            root, general, checked_samples, max_unusable_share, checked_pictures, control_tokens
        )
    images = open_checked(root / "images", "images")
    samples = open_checked(root / "samples", "samples")
    batches = images.iter_batches(["image_id"], 65_536)
    known = {key for batch in batches for key in batch["image_id"].to_pylist()}
    rows = samples.rows_iter(["sample_id", "messages", "image_ids"], batch_rows=4096)
    problems: list[str] = []
    for row in islice(rows, checked_samples):
        if problem := sample_problem(row["messages"], row["image_ids"], known, control_tokens):
            problems.append(f"sample {row['sample_id']}: {problem}")
    count = min(samples.rows, checked_samples)
    unusable = _unusable(root, problems, count, max_unusable_share)
    store = ImageStore(images)
    unusable += _pictures(root, evenly(sorted(known), checked_pictures), store.get, max_unusable_share)
    return f"{samples.rows:,} samples ({count:,} checked), {images.rows:,} images{unusable}"


def _check_sets(
    root: Path,
    general: GeneralData,
    checked_samples: int,
    max_unusable_share: float,
    checked_pictures: int,
    control_tokens: Sequence[str],
) -> str:
    problems: list[str] = []
    sets: Counter[str] = Counter()
    shown: dict[str, None] = {}
    count = 0
    for item in islice(general, checked_samples):
        count += 1
        if isinstance(item, BadRecord):
            problems.append(str(item))
            continue
        sets[item["set"]] += 1
        shown |= dict.fromkeys(item["image_ids"])
        # The reader has looked its images up already.
        if problem := sample_problem(item["messages"], item["image_ids"], item["image_ids"], control_tokens):
            problems.append(f"{item['sample_id']}: {problem}")
    if not count:
        raise NoInputError(f"{root}: holds no samples")
    unusable = _unusable(root, problems, count, max_unusable_share) + _left_out(root, general)
    stores = [*map(ImageStore, general.image_sets), *general.stores]

    def load(image_id: str) -> bytes:
        return next(store for store in stores if image_id in store).get(image_id)

    unusable += _pictures(root, evenly(list(shown), checked_pictures), load, max_unusable_share)
    named = ", ".join(f"{name} {found:,}" for name, found in sets.items())
    return f"{count:,} samples checked in {len(general.sets)} sets: {named}{unusable}"


def _pictures(root: Path, places: list[str], load: Callable[[str], bytes], max_share: float) -> str:
    """A sentence on damaged pictures, "" without any; too many of them are an error."""
    found = damaged(places, load)
    shown = "\n  ".join(found[:_SHOWN])
    if len(found) > max_share * len(places):
        raise DataError(
            f"{root}: {len(found)} of {len(places)} pictures that were decoded are damaged; replace them or "
            f"remove their samples, or raise preflight.max_unusable_share ({max_share:g}):\n  {shown}"
        )
    return f"; {len(found):,} of {len(places):,} decoded pictures are damaged:\n  {shown}" if found else ""


def _left_out(root: Path, general: GeneralData) -> str:
    """A sentence on files that no set takes, "" without any."""
    if not root.is_dir():
        return ""
    taken = frozenset(file for found in general.sets for file in found.files)
    found = [f"{name} ({reason})" for name, reason in left_out(root, taken)]
    shown = "\n  ".join(found[:_SHOWN])
    return f"; {len(found):,} files are not taken:\n  {shown}" if found else ""


def _unusable(root: Path, problems: list[str], count: int, max_share: float) -> str:
    """A sentence on unusable samples for the report, "" without any; too many of them are an error."""
    if not problems:
        return ""
    shown = "\n  ".join(problems[:_SHOWN])
    if len(problems) > max_share * count:
        raise DataError(
            f"{root}: {len(problems)} of {count} samples are unusable; correct or remove them, or raise "
            f"preflight.max_unusable_share ({max_share:g}):\n  {shown}"
        )
    return f"; {len(problems):,} unusable, which training rejects:\n  {shown}"


def sample_problem(
    messages: str, image_ids: list[str], known: Container[str], control_tokens: Sequence[str] = ()
) -> str:
    """Why a training sample cannot be used, "" if it can.

    Args:
        messages: JSON list of ChatML messages.
        image_ids: images of the sample, one for each placeholder, in order.
        known: ids of the images that exist.
        control_tokens: what the model's tokenizer makes pictures or turns of.
    """
    try:
        content = read_content(messages)
    except BadRecord as error:
        return f"messages are not ChatML ({error.detail})"
    roles = content.roles
    if roles[-1:] != ["assistant"] or any(role not in ROLES for role in roles):
        return f"roles must be of {', '.join(ROLES)} and end with assistant, got {roles}"
    if content.images != len(image_ids):
        return f"{content.images} image placeholders, but {len(image_ids)} image_ids"
    if token := content.spelled(control_tokens):
        return f"text contains the control token {token}"
    missing = [key for key in image_ids if key not in known]
    return f"image {missing[0]} is not in images/" if missing else ""
