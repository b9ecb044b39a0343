"""Reading benchmarks: what is refused, what is chosen, pictures by row."""

from __future__ import annotations

import json
import logging

import pytest

from components.core.errors import ConfigError, DataError
from components.core.manifest import Dataset
from components.evaluation.benchmarks import Questions, parse_benchmarks, read_questions, subset
from components.evaluation.config import Benchmark


def _read(entry: dict[str, str], limit: int | None = None) -> Questions:
    questions = Questions()
    questions.add_benchmark(Benchmark(**entry), limit)
    return questions


def test_pictures_belong_to_their_items(write_benchmark, coloured_pictures):
    questions = _read(write_benchmark("domain", 250))  # several row groups
    for index in (0, 99, 100, 249):
        assert questions.picture(questions.items[index]) == coloured_pictures[index % 6]


def test_pictures_stay_with_a_subset(write_benchmark, coloured_pictures):
    questions = _read(write_benchmark("domain", 30), limit=7)
    assert len(questions.items) == 7
    for item in questions.items:
        assert questions.picture(item) == coloured_pictures[int(item.item_id.split("-")[1]) % 6]


def test_subset_is_fixed_and_stable():
    keys = [f"item {i}" for i in range(100)]
    assert subset(keys, 200) == list(range(100))
    chosen = {keys[i] for i in subset(keys, 30)}
    assert {keys[i] for i in subset(keys, 20)} < chosen  # a smaller limit takes some of the same
    shuffled = keys[50:] + keys[:50]
    assert {shuffled[i] for i in subset(shuffled, 30)} == chosen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_type": "essay"}, "answer type 'essay'"),
        ({"answer_type": "yes_no", "answer": "perhaps"}, "no answer of type yes_no"),
        ({"answer_type": "choice", "answer": "D"}, "no answer of type choice"),
        ({"image": b"no picture"}, "picture cannot be read"),
        ({"item_id": "domain-1"}, "more than once"),
    ],
)
def test_bad_items_are_named(write_benchmark, coloured_pictures, change, message):
    good = {
        "item_id": "domain-0", "image": coloured_pictures[0], "image_group": "g", "question": "q", "answer": "A",
        "answer_type": "choice", "choices": ["red", "green"], "category": "c",
    }  # fmt: skip
    entry = write_benchmark("domain", rows=[{**good, "item_id": "domain-1"}, {**good, **change}])
    with pytest.raises(DataError, match=message):
        _read(entry)


def test_an_empty_benchmark_is_refused(write_benchmark):
    with pytest.raises(DataError, match="has no items"):
        _read(write_benchmark("domain", rows=[]))


@pytest.mark.parametrize(
    "text", ["{", "{}", '[{"name": "a"}]', '[{"name": "", "role": "domain", "ref": "x"}]']
)
def test_bad_lists_are_refused(text: str):
    with pytest.raises(ConfigError, match="benchmarks"):
        parse_benchmarks(text)


def test_names_must_differ():
    entry = {"name": "a", "role": "domain", "ref": "x"}
    with pytest.raises(ConfigError, match="must differ"):
        parse_benchmarks(json.dumps([entry, entry]))


def test_nothing_to_ask(voted, tmp_path):
    from components.core.manifest import DatasetWriter

    DatasetWriter(tmp_path / "none", "qa_kept").close()
    images, kept = Dataset.open(voted["images"], "images"), Dataset.open(tmp_path / "none", "qa_kept")
    with pytest.raises(DataError, match="nothing to evaluate"):
        read_questions("[]", images, kept, limit=None, log=logging.getLogger("test"))
