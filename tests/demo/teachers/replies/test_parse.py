from __future__ import annotations

from demo.teachers.replies import parse


def test_numbered_lines_with_choices_and_second_versions():
    prompt = (
        "Rules:\n- no\n1. Which one?\n   A. red\n   B. blue\n"
        "2. [reasoning] before: x => 1\n   after: y? => 2\n"
    )
    first, second = parse.numbered(prompt)
    assert (first.index, first.text, first.choices) == (1, "Which one?", ("red", "blue"))
    assert parse.directed(second.text) == ("reasoning", "x => 1") and second.after == "y? => 2"


def test_question_and_answer_are_split_at_the_last_arrow():
    assert parse.question_and_answer("a => b? => c") == ("a => b?", "c")
    assert parse.question_and_answer("no answer") == ("no answer", "")


def test_counts_and_paths():
    assert parse.wanted_count("look and write 5 question-answer items. Write 5 items.") == 5
    assert parse.limit("Choose at most 3.", 9) == 3 and parse.limit("Choose.", 9) == 9
    assert parse.topic_path("x\nTopic: A > B c\ny") == ["A", "B c"] and parse.topic_path("none") == []


def test_quotas():
    prompt = (
        "What to ask:\n- 2 about: text and numbers\n- 1 about: anything\n- 3 of type: number\n- 9 rules\n"
    )
    assert parse.quotas(prompt, "about") == ["text and numbers", "text and numbers", "anything"]
    assert parse.quotas(prompt, "of type") == ["number"] * 3 and parse.quotas("Write 3.", "of type") == []
