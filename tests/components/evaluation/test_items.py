"""Reading benchmarks: what is refused, what is chosen, pictures by row."""

from __future__ import annotations

import base64
import json
import logging

import pytest

from components.core.data.dataset import Dataset
from components.core.stage.errors import ConfigError, DataError, NoInputError
from components.evaluation.config import BenchmarkRef
from components.evaluation.items import Questions, parse_benchmarks, read_questions, subset


def _read(entry: dict[str, str], limit: int | None = None) -> Questions:
    questions = Questions()
    questions.add_benchmark(BenchmarkRef(**entry), limit)
    return questions


def test_pictures_belong_to_their_items(write_benchmark, coloured_pictures):
    questions = _read(write_benchmark("domain", 250))  # several row groups
    for index in (0, 99, 100, 249):
        assert questions.pictures(questions.items[index]) == [coloured_pictures[index % 6]]


def test_pictures_stay_with_a_subset(write_benchmark, coloured_pictures):
    questions = _read(write_benchmark("domain", 30), limit=7)
    assert len(questions.items) == 7
    for item in questions.items:
        assert questions.pictures(item) == [coloured_pictures[int(item.item_id.split("-")[1]) % 6]]


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
        ({"image": b"no picture"}, "the picture at 1 cannot be read"),
        ({"item_id": "domain-1"}, "more than once"),
    ],
)
def test_bad_items_are_named(write_benchmark, coloured_pictures, change, message):
    good = {
        "item_id": "domain-0", "image": coloured_pictures[0], "image_group": "g", "question": "q",
        "answer": "A", "answer_type": "choice", "choices": ["red", "green"], "category": "c",
    }  # fmt: skip
    entry = write_benchmark("domain", rows=[{**good, "item_id": "domain-1"}, {**good, **change}])
    with pytest.raises(DataError, match=message):
        _read(entry)


def test_an_empty_benchmark_is_refused(write_benchmark):
    with pytest.raises(NoInputError, match="has no items"):
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
    from components.core.data.dataset import DatasetWriter

    DatasetWriter(tmp_path / "none", "qa_kept").close()
    images, kept = Dataset.open(voted["images"], "images"), Dataset.open(tmp_path / "none", "qa_kept")
    with pytest.raises(DataError, match="nothing to evaluate"):
        read_questions("[]", images, kept, limit=None, log=logging.getLogger("test"))


def _tsv(path, picture: bytes, rows: list[dict[str, str]]) -> dict[str, str]:
    columns = list(rows[0])
    lines = ["\t".join(["image", *columns])]
    lines += ["\t".join([base64.b64encode(picture).decode(), *(row[c] for c in columns)]) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"name": path.stem, "role": "general", "ref": str(path)}


def test_a_circular_benchmark_is_asked_in_all_rotations_and_thinned_by_whole_groups(
    tmp_path, coloured_pictures
):
    rows = [
        {"index": str(n), "question": "Which?", "answer": "BA"[n % 2], "A": "x", "B": "y", "C": "z"}
        for n in range(5)
    ]
    entry = _tsv(tmp_path / "MMBench_DEV_EN.tsv", coloured_pictures[0], rows)
    items = _read(entry).items
    assert [(item.kind, item.item_id, item.group, item.reference) for item in items[:3]] == [
        ("circular", "0@0", "0", "B"),
        ("circular", "0@1", "0", "A"),
        ("circular", "0@2", "0", "C"),
    ]
    thinned = _read(entry, limit=2).items
    assert len(thinned) == 6 and len({item.group for item in thinned}) == 2


def test_rotations_that_a_file_holds_are_not_rotated_again(tmp_path, coloured_pictures):
    rows = [
        {"index": "7", "question": "Which?", "answer": "A", "A": "x", "B": "y"},
        {"index": "1000007", "question": "Which?", "answer": "B", "A": "y", "B": "x"},
    ]
    items = _read(_tsv(tmp_path / "MMBench.tsv", coloured_pictures[0], rows)).items
    assert [(item.item_id, item.group, item.reference) for item in items] == [
        ("7", "7", "A"),
        ("1000007", "7", "B"),
    ]


def test_answers_that_are_not_public_are_named(tmp_path, coloured_pictures):
    rows = [{"index": "1", "question": "Which?", "answer": "", "A": "x", "B": "y"}]
    with pytest.raises(DataError, match="has no answer"):
        _read(_tsv(tmp_path / "MMStar.tsv", coloured_pictures[0], rows))


def test_mathvista_rows_keep_what_their_answers_ask_for(tmp_path, coloured_pictures):
    shared = {"question": "How much?", "unit": "", "choices": "[]"}
    rows = [
        {"index": "1", **shared, "answer": "1.2", "answer_type": "float", "precision": "1.0"},
        {"index": "2", **shared, "answer": "[1, 2]", "answer_type": "list", "precision": ""},
        {
            "index": "3", **shared, "choices": "['3/11', '8/11']",
            "answer": "8/11", "answer_type": "text", "precision": "",
        },
    ]  # fmt: skip
    items = _read(_tsv(tmp_path / "MathVista_MINI.tsv", coloured_pictures[0], rows)).items
    assert [(i.form, i.precision, i.reference, i.answer_type) for i in items] == [
        ("float", 1, "1.2", "number"),
        ("list", -1, "[1, 2]", "span"),
        ("", -1, "B", "choice"),
    ]
