"""Items of an evaluation: rows of benchmarks and of the voted held-out set; pictures are read on demand."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from components.core.answers import normalise
from components.core.benchmarks import BenchmarkReader, open_benchmark
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.kinds import kind_for, rules_of
from components.core.benchmarks.rules import Item, Role
from components.core.data.dataset import Dataset
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.image_store import ImageStore
from components.core.sources.copies import has_changed, local_copy
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.core.stage.settings import parse_settings
from components.core.vlm.messages import numbered_images
from components.evaluation.config import BenchmarkRef

__all__ = ["Item", "Questions", "build_items", "parse_benchmarks", "read_questions", "rotations", "subset"]

VOTED_HELDOUT = "voted_heldout"
ROTATION_STRIDE = 1_000_000
"""Distance of the indices of an item's rotations in VLMEvalKit's circular files."""
_SHOWN = 5


class VotedHeldout(BenchmarkReader):
    """The kept questions about held-out images.

    An image is a cluster; the category is the item's first skill, or its answer type if none is given.
    Questions whose answer is none of its type cannot be scored and are left out.
    """

    format = "dataset"

    def __init__(self, images: Dataset, qa_kept: Dataset) -> None:
        super().__init__(images.path)
        self.digest = sha256_hex(canonical_json([images.digest, qa_kept.digest]))
        columns = ("qa_id", "image_id", "split", "question", "answer", "answer_type", "choices", "skills")
        self.items = [
            BenchmarkItem(
                item_id=row["qa_id"],
                question=row["question"],
                answer=row["answer"],
                image_group=row["image_id"],
                pictures=(row["image_id"],),
                choices=tuple(row["choices"] or ()),
                answer_type=row["answer_type"],
                category=row["skills"][0] if row["skills"] else row["answer_type"],
            )
            for row in qa_kept.rows_iter(columns=columns)
            if row["split"] == "heldout"
            and normalise(row["answer"], row["answer_type"], tuple(row["choices"] or ()))
        ]
        self._images = images

    @cached_property
    def _store(self) -> ImageStore:
        return ImageStore(self._images)

    def load(self, picture: str) -> bytes:
        """Encoded picture of this id."""
        return self._store.get(picture)


class Questions:
    """All items of an evaluation, in order of benchmarks and rows, and their pictures."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.sources: list[dict[str, Any]] = []
        """Name, role, format, kind, digest and item count of each benchmark, for the scores' settings."""
        self._loaders: list[Callable[[Any], bytes]] = []

    def pictures(self, item: Item) -> list[bytes]:
        """Encoded pictures of an item, in order."""
        return [self._loaders[source](key) for source, key in item.pictures]

    def of_role(self, role: Role) -> list[int]:
        """Indices of the items of benchmarks with this role."""
        return [i for i, item in enumerate(self.items) if item.role == role]

    def add_benchmark(self, benchmark: BenchmarkRef, limit: int | None) -> None:
        """Read a benchmark of any format.

        Args:
            benchmark: what to read.
            limit: most questions, None for all; the rotations of a circular question count as one.

        Raises:
            NoInputError, DataError: it is missing, damaged, empty, changed since preflight, or has bad items.
            ConfigError: its kind can neither be told nor is set.
        """
        path = local_copy(benchmark.ref)
        try:
            opened = open_benchmark(path, benchmark.format)
        except (NoInputError, DataError) as error:
            raise type(error)(f"benchmark '{benchmark.name}': {error}") from error
        if has_changed(benchmark.ref, path):
            raise DataError(
                f"benchmark '{benchmark.name}' ({path}) has changed since preflight; start the run again"
            )
        kind = kind_for(benchmark.name, opened) if benchmark.kind == "auto" else benchmark.kind
        self._add(benchmark, opened, kind, limit)

    def add_voted_heldout(self, images: Dataset, qa_kept: Dataset, limit: int | None) -> None:
        """Take the kept questions about held-out images, if any, as the domain benchmark `voted_heldout`."""
        voted = VotedHeldout(images, qa_kept)
        if voted.items:
            benchmark = BenchmarkRef(name=VOTED_HELDOUT, role="domain", ref=str(qa_kept.path))
            self._add(benchmark, voted, "agreement", limit)

    def _add(self, benchmark: BenchmarkRef, reader: BenchmarkReader, kind: str, limit: int | None) -> None:
        # VLMEvalKit's circular files hold the rotations of their items themselves.
        ids = [row.item_id for row in reader.items if row.item_id.isdigit()]
        rotated = rules_of(kind).rotates and any(int(key) >= ROTATION_STRIDE for key in ids)
        source = len(self._loaders)
        self._loaders.append(reader.load)
        items: list[Item] = []
        problems: list[str] = []
        for row in _choose(reader.items, limit, rotated):
            where = f"benchmark '{benchmark.name}', item {row.item_id!r}"
            for number in numbered_images(row.question):
                if not 1 <= number <= len(row.pictures):
                    raise DataError(
                        f"{where}: it names <image {number}> but has {len(row.pictures)} pictures"
                    )
            try:
                sizes = [reader.size(picture) for picture in row.pictures]
                items += build_items(_blank(benchmark, kind, row, source, sizes), row, rotated)
            except ValueError as error:
                problems.append(f"{where}: {error}")
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
        if problems:
            more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise DataError("\n  ".join(problems[:_SHOWN]) + more)
        twice = [key for key, count in Counter(item.item_id for item in items).items() if count > 1]
        if twice:
            raise DataError(
                f"benchmark '{benchmark.name}': item ids occur more than once: {', '.join(twice[:_SHOWN])}"
            )
        self.items += items
        described = benchmark.model_dump(mode="json", exclude={"ref"})
        found = {"format": reader.format, "kind": kind, "digest": reader.digest, "items": len(items)}
        self.sources.append({**described, **found})


def build_items(blank: Item, row: BenchmarkItem, rotated: bool) -> list[Item]:
    """The items of one row; several for a circular one that the file does not rotate itself.

    Args:
        blank: an item with everything that does not depend on the kind: names, pictures, question.
        row: the row.
        rotated: whether the file holds the rotations already.

    Raises:
        ValueError: the row cannot be scored; the message says why.
    """
    if not row.answer.strip():
        raise ValueError("it has no answer; take the split whose answers are public")
    rules = rules_of(blank.kind)
    item = rules.build(replace(blank, choices=row.choices), row)
    item = replace(item, group=item.group or item.item_id)
    if not rules.rotates:
        return [item]
    return [replace(item, group=_rotation_group(item.item_id))] if rotated else rotations(item)


def rotations(item: Item) -> list[Item]:
    """An item with its options shifted by 0, 1, … places, once for every option."""
    size = len(item.choices)
    truth = ord(item.reference) - ord("A")
    return [
        replace(
            item,
            item_id=f"{item.item_id}@{shift}",
            group=item.item_id,
            choices=(*item.choices[shift:], *item.choices[:shift]),
            answers=(chr(ord("A") + (truth - shift) % size),),
        )
        for shift in range(size)
    ]


def _rotation_group(item_id: str) -> str:
    return str(int(item_id) % ROTATION_STRIDE)


def _blank(
    benchmark: BenchmarkRef, kind: str, row: BenchmarkItem, source: int, sizes: Sequence[tuple[int, int]]
) -> Item:
    """The item of a row, but for what its kind decides."""
    return Item(
        benchmark=benchmark.name,
        role=benchmark.role,
        kind=kind,
        item_id=row.item_id,
        image_group=row.image_group,
        question=row.question,
        answers=(row.answer,),
        answer_type="span",
        choices=row.choices,
        category=row.category or row.fields.get("l2-category", "") or row.answer_type or kind,
        pictures=tuple((source, picture) for picture in row.pictures),
        pixels=sum(width * height for width, height in sizes),
        hint=row.hint,
    )


def read_questions(
    benchmarks: str, images: Dataset, qa_kept: Dataset, *, limit: int | None, log: logging.Logger
) -> Questions:
    """Items of all benchmarks of a JSON list, and of the voted held-out set where none is of the domain.

    Args:
        benchmarks: JSON list of `BenchmarkRef` settings.
        images, qa_kept: what the voted held-out set is made of.
        limit: most questions of each benchmark, None for all.

    Raises:
        ConfigError: the list is not valid.
        NoInputError, DataError: see `Questions.add_benchmark`; or there is nothing to ask.
    """
    listed, questions = parse_benchmarks(benchmarks), Questions()
    no_heldout = "no kept question is about a held-out image"
    for benchmark in listed:
        questions.add_benchmark(benchmark, limit)
    if not any(benchmark.role == "domain" for benchmark in listed):
        questions.add_voted_heldout(images, qa_kept, limit)
        if not questions.of_role("domain"):
            log.warning("no domain benchmark is given and %s: no domain scores", no_heldout)
    if not questions.items:
        raise DataError(f"nothing to evaluate: no benchmark is given and {no_heldout}")
    return questions


def parse_benchmarks(text: str) -> list[BenchmarkRef]:
    """Validate the JSON list of benchmarks."""
    try:
        listed = json.loads(text or "[]")
    except ValueError as error:
        raise ConfigError(f"benchmarks: not valid JSON ({error})") from error
    if not isinstance(listed, list):
        raise ConfigError(f"benchmarks: expected a JSON list, got {type(listed).__name__}")
    parsed = [parse_settings(BenchmarkRef, entry, f"benchmarks[{i}]") for i, entry in enumerate(listed)]
    names = [benchmark.name for benchmark in parsed]
    if len(set(names)) != len(names):
        raise ConfigError(f"benchmarks: names must differ, got {', '.join(names)}")
    return parsed


def subset(keys: Sequence[str], limit: int) -> list[int]:
    """Indices of at most `limit` keys, chosen by hash and so the same in every run, in their order."""
    ranked = sorted(range(len(keys)), key=lambda i: (sha256_hex(keys[i]), i))
    return sorted(ranked[:limit])


def _choose(rows: Sequence[BenchmarkItem], limit: int | None, rotated: bool) -> list[BenchmarkItem]:
    """Rows thinned to `limit` questions; all rotations of a question stay together."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    groups = [_rotation_group(row.item_id) if rotated else row.item_id for row in rows]
    names = list(dict.fromkeys(groups))
    kept = {names[i] for i in subset(names, limit)}
    return [row for row, group in zip(rows, groups, strict=True) if group in kept]
