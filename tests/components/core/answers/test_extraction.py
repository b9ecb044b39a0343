"""Finding the answer in a response, of every type."""

from __future__ import annotations

import pytest

from components.core.answers import extract, extract_staged

COLOURS = ("red", "dark red", "blue", "green")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B. dark red", "B"),
        ("**C**", "C"),
        ("Ｂ", "B"),
        ("The answer is C.", "C"),
        ("The lamp is red. Answer: A", "A"),
        ("Answer: A? No. Answer: B", "B"),  # the last one counts
        ("Answer: C\nbecause it is blue", "C"),
        ("**Answer:** D", "D"),
        (r"so \boxed{D}", "D"),
        ("答案：B", "B"),
        ("答案是 B。", "B"),
        ("选C", "C"),
        ("I would choose option (B) here", "B"),
        ("It must be B because the lamp is dark", "B"),
        ("dark red", "B"),
        ("It is dark red.", "B"),  # "red" inside "dark red" is not counted
        ("A blue lamp", "C"),  # "A" is an article
        ("A", "A"),
        ("A is correct", "A"),
        ("Either A or B", ""),
        ("red or blue", ""),
        ("E", ""),  # there is no option E
        ("I do not know", ""),
        ("The lamp is blue. Answer:", ""),  # cut before the answer
        ("", ""),
    ],
)
def test_choice(response: str, answer: str):
    assert extract(response, "choice", COLOURS) == answer


def test_choice_of_letters_and_numbers():
    gears = ("P", "R", "N", "D")
    assert extract("P", "choice", gears) == "A"  # no option P: the text of option A
    assert extract("D", "choice", gears) == "D"  # a valid letter is a letter
    assert extract("7", "choice", ("5", "6", "7")) == "C"


def test_choice_with_lettered_options():
    assert extract("right", "choice", ("A. left", "B. right")) == "B"


def test_choice_without_options_knows_letters():
    assert extract("The answer is (C)", "choice") == "C"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("yes", "yes"),
        ("Yes, there is.", "yes"),
        ("No.", "no"),
        ("There is no red lamp.", "no"),
        ("True", "yes"),
        ("Not sure", ""),
        ("Nothing known", ""),  # "no" is a word, not a prefix
        ("The red lamp is on. Answer: yes", "yes"),
        ("Is it on? Yes. Answer: no", "no"),
        ("是", "yes"),
        ("是的，有一盏灯。", "yes"),
        ("不是", "no"),
        ("没有红灯", "no"),
        ("否", "no"),
        ("图中没有红灯", "no"),
        ("图中的灯是红色", ""),
        ("答案：是", "yes"),
    ],
)
def test_yes_no(response: str, answer: str):
    assert extract(response, "yes_no") == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("There are 3 lamps and 2 gauges", ""),
        ("I count 3 lamps. Answer: 5", "5"),
        ("Answer: 120 km/h", "120 km/h"),
        ("Answer: unknown", ""),
        ("no idea", ""),
    ],
)
def test_number(response: str, answer: str):
    assert extract(response, "number") == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("battery", "battery"),
        (' "battery". ', "battery"),
        ("The lamp shows a cell. Answer: battery", "battery"),
        ("Answer: battery\nIt is red.", "battery"),
        ("The answer is battery.", "battery"),
        ("机油 答案：机油压力", "机油压力"),
    ],
)
def test_span(response: str, answer: str):
    assert extract(response, "span") == answer


def test_open_keeps_every_line():
    assert extract("Answer: first\nsecond", "open") == "first\nsecond"


@pytest.mark.parametrize(
    ("response", "answer_type", "stage"),
    [
        ("B", "choice", "exact"),
        ("Answer: B because", "choice", "exact"),
        ("It is dark red", "choice", "rules"),
        ("who knows", "choice", "none"),
        ("7", "number", "exact"),
        ("there are 7 lamps", "number", "rules"),
        ("Yes.", "yes_no", "exact"),
        ("Yes, it is", "yes_no", "rules"),
        ("anything", "span", "exact"),
        ("  ", "span", "none"),
    ],
)
def test_stage_is_recorded(response: str, answer_type, stage: str):
    assert extract_staged(response, answer_type, COLOURS).stage == stage
