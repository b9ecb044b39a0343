"""POPE's probes (arXiv 2305.10355): JSON lines with image, text and label, and COCO pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.core.benchmarks.base import BenchmarkItem, BenchmarkReader
from components.core.data.pins import fingerprint
from components.core.stage.errors import DataError, NoInputError

_FOLDERS = ("images", "val2014", "")
_LABELS = {"yes": "yes", "no": "no", "1": "yes", "0": "no"}


class PopeReader(BenchmarkReader):
    """One file of probes, or a directory with several (`coco_pope_random.json`, …_popular, …_adversarial).

    Pictures lie in `images/`, in `val2014/` or beside the files, named as in the probe or by COCO's number.
    """

    format = "pope"
    fallback_kind = "pope"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.digest = fingerprint(path)
        self._root, files = path.parent, [path]
        if path.is_dir():
            self._root, files = path, sorted(f for f in path.iterdir() if f.suffix in (".json", ".jsonl"))
        self.items = [item for file in files for item in self._items(file, several=len(files) > 1)]

    def load(self, picture: str) -> bytes:
        """Encoded picture of this name."""
        return self._find(picture).read_bytes()

    def _items(self, file: Path, several: bool) -> Iterator[BenchmarkItem]:
        prefix = f"{file.stem}/" if several else ""
        strategy = re.search(r"random|popular|adversarial", file.stem)
        for place, row in enumerate(_rows(file), 1):
            try:
                question, name, label = row["text"], str(row["image"]), str(row["label"]).strip().lower()
            except KeyError as error:
                raise DataError(f"{file}, probe {place}: no {error}; POPE has image, text, label") from None
            if label not in _LABELS:
                raise DataError(f"{file}, probe {place}: label {label!r} is neither yes nor no")
            self._find(name)
            yield BenchmarkItem(
                item_id=f"{prefix}{row.get('question_id', place)}",
                question=str(question),
                answer=_LABELS[label],
                image_group=name,
                pictures=(name,),
                answer_type="yes_no",
                category=str(row.get("category") or (strategy.group() if strategy else "")),
            )

    def _find(self, name: str) -> Path:
        root = self._root.resolve()
        for folder in _FOLDERS:
            for candidate in _names(name):
                found = (root / folder / candidate).resolve()
                if found.is_relative_to(root) and found.is_file():
                    return found
        wanted = self._root / "images"
        raise NoInputError(f"{self.path}: no picture {name!r}; put COCO's pictures into {wanted}")


def _names(name: str) -> list[str]:
    """File names that a probe's picture may have: as given, or COCO's for its number (2014's and 2017's)."""
    number = re.search(r"(\d+)(?:\.\w+)?$", name)
    if not number:
        return [name]
    digits = int(number.group(1))
    return [name, f"COCO_val2014_{digits:012d}.jpg", f"{digits:012d}.jpg"]


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Objects of a file: one a line, or one list of them."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        is_list = text.lstrip().startswith("[")
        for row in json.loads(text) if is_list else map(json.loads, filter(str.strip, text.splitlines())):
            if not isinstance(row, dict):
                raise DataError(f"{file}: expected objects, found {type(row).__name__}")
            yield row
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON lines ({error})") from error
