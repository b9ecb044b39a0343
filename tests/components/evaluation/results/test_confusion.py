"""Confusion matrices, and the form in which Kubeflow reads them."""

from __future__ import annotations

from kfp.dsl import ClassificationMetrics

from components.evaluation.results.confusion import NONE, confusion, outcomes
from components.evaluation.scoring import Scored


def _run(make_item):
    choice = {"answer_type": "choice", "choices": ("red", "green", "blue")}
    items = [
        make_item(0, answers=("yes",)),
        make_item(1, answers=("no",)),
        make_item(2, answers=("no",)),
        make_item(3, answers=("B",), **choice, category="colour"),
        make_item(4, answers=("B",), **choice, category="colour"),
        make_item(5, answers=("left",), answer_type="span"),
    ]
    said = ["yes", "yes", "", "B", "A", "right"]
    scored = [
        Scored(text, "exact" if text else "none", float(text == item.reference))
        for text, item in zip(said, items, strict=True)
    ]
    return items, scored


def test_rows_are_truths_and_columns_answers(make_item):
    matrix = confusion(*_run(make_item), ("yes_no",))
    assert matrix.categories == ("yes", "no", NONE)
    assert matrix.counts == ((1, 0, 0), (1, 0, 1), (0, 0, 0))


def test_all_closed_answers_in_one_matrix_as_kfp_writes_it(make_item):
    matrix = confusion(*_run(make_item))
    assert matrix.categories == ("yes", "no", "A", "B", NONE)
    artifact = ClassificationMetrics()
    artifact.log_confusion_matrix(list(matrix.categories), [list(row) for row in matrix.counts])
    assert matrix.to_kfp() == artifact.metadata


def test_open_answers_have_no_matrix(make_item):
    items, scored = _run(make_item)
    assert confusion(items[5:], scored[5:]).categories == ()


def test_outcomes_add_up(make_item):
    rows = outcomes(*_run(make_item), 0.5)
    assert rows == [
        {"benchmark": "b", "category": "c", "right": 1, "wrong": 2, "no answer": 1},
        {"benchmark": "b", "category": "colour", "right": 1, "wrong": 1, "no answer": 0},
    ]
