"""What is asked: items of benchmark datasets and of the voted held-out set, with their pictures read on demand."""

from __future__ import annotations

import io
import json
import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from components.core.answers import AnswerType, normalise
from components.core.config import canonical_json, parse_settings, sha256_hex
from components.core.errors import ConfigError, DataError
from components.core.image_store import ImageStore
from components.core.manifest import Dataset
from components.core.pins import fingerprint, split_pin
from components.evaluation.config import Benchmark, Role, Scorer

VOTED_HELDOUT = "voted_heldout"
_COLUMNS = ("item_id", "image_group", "question", "answer", "answer_type", "choices", "category")
_CACHED_GROUPS = 16


@dataclass(frozen=True)
class Item:
    """One question of a benchmark."""

    benchmark: str
    role: Role
    scorer: Scorer
    item_id: str
    image_group: str
    """Items about one picture share it: the cluster of the bootstrap."""
    question: str
    answer: str
    answer_type: AnswerType
    choices: tuple[str, ...]
    category: str
    picture: tuple[int, int | str]
    """Where its picture lies: number of the source, and row or image id there."""
    pixels: int
    """Width times height of the picture: together with the text it decides how long the prompt is."""


class BenchmarkImages:
    """Pictures of one benchmark dataset by row, one row group at a time, with a bounded cache."""

    def __init__(self, dataset: Dataset) -> None:
        self._groups: list[tuple[int, Any, int]] = []  # first row, shard, number of the row group there
        self._cache: dict[int, list[bytes]] = {}
        first = 0
        for shard in dataset.shards:
            with pq.ParquetFile(shard) as file:
                for number in range(file.num_row_groups):
                    self._groups.append((first, shard, number))
                    first += file.metadata.row_group(number).num_rows

    def get(self, row: int) -> bytes:
        """Encoded picture of one row."""
        index = bisect_right(self._groups, row, key=lambda group: group[0]) - 1
        first, shard, number = self._groups[index]
        if index not in self._cache:
            if len(self._cache) >= _CACHED_GROUPS:
                self._cache.pop(next(iter(self._cache)))
            with pq.ParquetFile(shard) as file:
                self._cache[index] = file.read_row_group(number, columns=["image"]).column(0).to_pylist()
        return self._cache[index][row - first]


class Questions:
    """All items of an evaluation, in order of benchmarks and rows, and their pictures."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.sources: list[dict[str, Any]] = []
        """Name, role, scorer, digest and item count of each benchmark, as recorded in the settings of the scores."""
        self._images: list[BenchmarkImages | ImageStore] = []

    def picture(self, item: Item) -> bytes:
        """Encoded picture of an item."""
        source, key = item.picture
        return self._images[source].get(key)  # type: ignore[arg-type]

    def add_benchmark(self, benchmark: Benchmark, limit: int | None) -> None:
        """Read a benchmark dataset.

        Raises:
            NoInputError, DataError: it is missing, damaged, empty, changed since it was pinned, or has a bad item.
        """
        path, digest = split_pin(benchmark.ref)
        dataset = Dataset.open(path, "benchmark")
        if digest and fingerprint(path) != digest:
            raise DataError(
                f"benchmark '{benchmark.name}' ({path}) has changed since preflight; start the run again"
            )
        rows = _choose(dataset.rows_iter(columns=_COLUMNS), limit)
        if not rows:
            raise DataError(f"benchmark '{benchmark.name}' ({path}) has no items; leave it out or fill it")
        images, source = BenchmarkImages(dataset), len(self._images)
        self._images.append(images)
        self._extend(
            benchmark, dataset.digest, [({**row, "picture": (source, n)}, images.get(n)) for n, row in rows]
        )

    def add_voted_heldout(self, images: Dataset, qa_kept: Dataset, limit: int | None) -> None:
        """Take the kept questions about held-out images as the domain benchmark `voted_heldout`.

        An image is a cluster; the category is the item's first skill, or its answer type if none is given. A
        question whose answer is none of its type cannot be scored and is left out.
        """
        benchmark = Benchmark(name=VOTED_HELDOUT, role="domain", ref=str(qa_kept.path))
        columns = ("qa_id", "image_id", "split", "question", "answer", "answer_type", "choices", "skills")
        heldout = (
            {
                **{name: row[name] for name in ("question", "answer", "answer_type", "choices")},
                "item_id": row["qa_id"],
                "image_group": row["image_id"],
                "category": row["skills"][0] if row["skills"] else row["answer_type"],
            }
            for row in qa_kept.rows_iter(columns=columns)
            if row["split"] == "heldout"
            and normalise(row["answer"], row["answer_type"], tuple(row["choices"] or ()))
        )
        rows = _choose(heldout, limit)
        if not rows:
            return
        store, source = ImageStore(images), len(self._images)
        self._images.append(store)
        placed = [
            ({**row, "picture": (source, row["image_group"])}, store.get(row["image_group"]))
            for _, row in rows
        ]
        self._extend(benchmark, sha256_hex(canonical_json([images.digest, qa_kept.digest])), placed)

    def _extend(
        self, benchmark: Benchmark, digest: str, rows: Iterable[tuple[dict[str, Any], bytes]]
    ) -> None:
        items = [_item(benchmark, row, picture) for row, picture in rows]
        twice = [key for key, count in Counter(item.item_id for item in items).items() if count > 1]
        if twice:
            raise DataError(
                f"benchmark '{benchmark.name}': item ids occur more than once: {', '.join(twice[:5])}"
            )
        self.items += items
        described = benchmark.model_dump(mode="json", exclude={"ref"})
        self.sources.append({**described, "digest": digest, "items": len(items)})

    def of_role(self, role: Role) -> list[int]:
        """Indices of the items of benchmarks with this role."""
        return [i for i, item in enumerate(self.items) if item.role == role]


def read_questions(
    benchmarks: str, images: Dataset, qa_kept: Dataset, *, limit: int | None, log: logging.Logger
) -> Questions:
    """Items of all benchmarks of a JSON list, and of the voted held-out set when none of them is of role domain.

    Args:
        benchmarks: JSON list of `Benchmark` settings.
        images, qa_kept: what the voted held-out set is made of.
        limit: most items of each benchmark, None for all.

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


def _choose(rows: Iterable[dict[str, Any]], limit: int | None) -> list[tuple[int, dict[str, Any]]]:
    """Rows with their numbers, thinned to `limit`."""
    numbered = list(enumerate(rows))
    if limit is None or len(numbered) <= limit:
        return numbered
    return [numbered[i] for i in subset([row["item_id"] for _, row in numbered], limit)]


def _item(benchmark: Benchmark, row: dict[str, Any], picture: bytes) -> Item:
    where = f"benchmark '{benchmark.name}', item {row['item_id']!r}"
    choices = tuple(row["choices"] or ())
    answer_type = row["answer_type"]
    if answer_type not in get_args(AnswerType):
        raise DataError(f"{where}: answer type {answer_type!r} is none of {', '.join(get_args(AnswerType))}")
    if not normalise(row["answer"], answer_type, choices):
        raise DataError(f"{where}: {row['answer']!r} is no answer of type {answer_type}")
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            width, height = opened.size
    except (UnidentifiedImageError, OSError, TypeError) as error:
        raise DataError(f"{where}: its picture cannot be read ({error})") from error
    return Item(
        benchmark=benchmark.name,
        role=benchmark.role,
        scorer=benchmark.scorer,
        item_id=row["item_id"],
        image_group=row["image_group"] or row["item_id"],
        question=row["question"],
        answer=row["answer"],
        answer_type=answer_type,
        choices=choices,
        category=row["category"] or answer_type,
        picture=row["picture"],
        pixels=width * height,
    )
