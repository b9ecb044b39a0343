"""What is asked: items of benchmarks and of the voted held-out set, with their pictures read on demand."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from PIL import Image, UnidentifiedImageError

from components.core.answers import normalise
from components.core.benchmarks import Kind, open_benchmark
from components.core.benchmarks.base import BenchmarkItem
from components.core.benchmarks.kinds import kind_for
from components.core.data.dataset import Dataset
from components.core.data.hashing import canonical_json, sha256_hex
from components.core.data.image_store import ImageStore
from components.core.data.pins import fingerprint, split_pin
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.core.stage.settings import parse_settings
from components.evaluation.config import Benchmark, Role
from components.evaluation.items import (
    ROTATION_STRIDE,
    Item,
    build_items,
    check_placeholders,
    is_rotated,
)

__all__ = ["Item", "Questions", "parse_benchmarks", "read_questions", "subset"]

VOTED_HELDOUT = "voted_heldout"
_SHOWN = 5


class Questions:
    """All items of an evaluation, in order of benchmarks and rows, and their pictures."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.sources: list[dict[str, Any]] = []
        """Name, role, format, kind, digest and item count of each benchmark, as recorded in the settings of the scores."""
        self._loaders: list[Callable[[Any], bytes]] = []

    def pictures(self, item: Item) -> list[bytes]:
        """Encoded pictures of an item, in order."""
        return [self._loaders[source](key) for source, key in item.pictures]

    def add_benchmark(self, benchmark: Benchmark, limit: int | None) -> None:
        """Read a benchmark of any format.

        Args:
            benchmark: what to read.
            limit: most questions, None for all; the rotations of a circular question count as one.

        Raises:
            NoInputError, DataError: it is missing, damaged, empty, changed since it was pinned, or has a bad item.
            ConfigError: its kind can neither be told nor is set.
        """
        path, digest = split_pin(benchmark.ref)
        try:
            opened = open_benchmark(path, benchmark.format)
        except (NoInputError, DataError) as error:
            raise type(error)(f"benchmark '{benchmark.name}': {error}") from error
        if digest and fingerprint(path) != digest:
            raise DataError(
                f"benchmark '{benchmark.name}' ({path}) has changed since preflight; start the run again"
            )
        kind = kind_for(benchmark.name, opened) if benchmark.kind == "auto" else benchmark.kind
        rotated = kind == "circular" and is_rotated(opened.items)
        rows = _choose(opened.items, limit, rotated)
        self._extend(benchmark, kind, opened.digest, rows, opened.load, opened.size, rotated, opened.format)

    def add_voted_heldout(self, images: Dataset, qa_kept: Dataset, limit: int | None) -> None:
        """Take the kept questions about held-out images as the domain benchmark `voted_heldout`.

        An image is a cluster; the category is the item's first skill, or its answer type if none is given. A
        question whose answer is none of its type cannot be scored and is left out.
        """
        columns = ("qa_id", "image_id", "split", "question", "answer", "answer_type", "choices", "skills")
        heldout = [
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
        if not heldout:
            return
        store = ImageStore(images)
        benchmark = Benchmark(name=VOTED_HELDOUT, role="domain", ref=str(qa_kept.path))
        digest = sha256_hex(canonical_json([images.digest, qa_kept.digest]))

        def size(image_id: str) -> tuple[int, int]:
            try:
                with Image.open(io.BytesIO(store.get(image_id))) as opened:
                    return opened.size
            except (UnidentifiedImageError, OSError) as error:
                raise DataError(f"{images.path}: picture {image_id} cannot be read ({error})") from error

        rows = _choose(heldout, limit, rotated=False)
        self._extend(benchmark, "agreement", digest, rows, store.get, size, False, "dataset")

    def _extend(
        self,
        benchmark: Benchmark,
        kind: Kind,
        digest: str,
        rows: Iterable[BenchmarkItem],
        load: Callable[[Any], bytes],
        size: Callable[[Any], tuple[int, int]],
        rotated: bool,
        format: str,
    ) -> None:
        source = len(self._loaders)
        self._loaders.append(load)
        items: list[Item] = []
        problems: list[str] = []
        for row in rows:
            where = f"benchmark '{benchmark.name}', item {row.item_id!r}"
            check_placeholders(row.question, len(row.pictures), where)
            try:
                sizes = [size(picture) for picture in row.pictures]
                blank = _blank(benchmark, kind, row, source, sizes)
                items += build_items(blank, row, rotated)
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
        self.sources.append(
            {**described, "format": format, "kind": kind, "digest": digest, "items": len(items)}
        )

    def of_role(self, role: Role) -> list[int]:
        """Indices of the items of benchmarks with this role."""
        return [i for i, item in enumerate(self.items) if item.role == role]


def _blank(
    benchmark: Benchmark, kind: Kind, row: BenchmarkItem, source: int, sizes: Sequence[tuple[int, int]]
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
    """Items of all benchmarks of a JSON list, and of the voted held-out set when none of them is of role domain.

    Args:
        benchmarks: JSON list of `Benchmark` settings.
        images, qa_kept: what the voted held-out set is made of.
        limit: most questions of each benchmark, None for all.

    Raises:
        ConfigError: the list is not valid.
        NoInputError, DataError: see `Questions.add_benchmark`; or there is nothing to ask.
    """
    listed = parse_benchmarks(benchmarks)
    questions = Questions()
    for benchmark in listed:
        questions.add_benchmark(benchmark, limit)
    if not any(benchmark.role == "domain" for benchmark in listed):
        questions.add_voted_heldout(images, qa_kept, limit)
        if not questions.of_role("domain"):
            log.warning(
                "no domain benchmark is given and no kept question is about a held-out image: no domain scores"
            )
    if not questions.items:
        raise DataError(
            "nothing to evaluate: no benchmark is given and no kept question is about a held-out image"
        )
    return questions


def parse_benchmarks(text: str) -> list[Benchmark]:
    """Validate the JSON list of benchmarks."""
    try:
        listed = json.loads(text or "[]")
    except ValueError as error:
        raise ConfigError(f"benchmarks: not valid JSON ({error})") from error
    if not isinstance(listed, list):
        raise ConfigError(f"benchmarks: expected a JSON list, got {type(listed).__name__}")
    parsed = [parse_settings(Benchmark, entry, f"benchmarks[{i}]") for i, entry in enumerate(listed)]
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
    groups = [str(int(row.item_id) % ROTATION_STRIDE) if rotated else row.item_id for row in rows]
    names = list(dict.fromkeys(groups))
    kept = {names[i] for i in subset(names, limit)}
    return [row for row, group in zip(rows, groups, strict=True) if group in kept]
