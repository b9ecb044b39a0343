"""Thoughts are taken off in time proportional to the text, floods included."""

from __future__ import annotations

import time

import pytest

from components.core.mllm.replies.json_text import without_thoughts


@pytest.mark.parametrize(
    "flood",
    [
        "x" * 500_000,
        "<think>" * 70_000,
        "</think>" * 60_000,
        "[THINK]" * 70_000,
        "◁think▷" * 70_000,
        "<|channel|> analysis" * 25_000,
        "<|channel|>" + " " * 100_000,
    ],
)
def test_a_flood_is_read_at_once(flood):
    begun = time.monotonic()
    without_thoughts(flood)
    assert (
        time.monotonic() - begun < 5
    )  # milliseconds; a pattern that starts anew at each letter takes minutes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a <think>b</think> c", "a  c"),
        ("<think>a <think>b</think> c</think> d", "d"),
        ("[THINK] a [THINK] b [/THINK] c", "c"),
        ("a </think> b", "b"),
        ("a <think> b", "a"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|channel|>analysis a<|channel|>final b", "<|channel|>final b"),
    ],
)
def test_what_is_said_is_what_stands_outside_the_thoughts(text, said):
    assert without_thoughts(text) == said
