"""Any text survives the tokenizer; words of the demo are one token each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.base.tokenizer import SPECIAL_TOKENS, build_tokenizer
from demo.world.scene import COLOURS, LIGHTS

_TOKENIZER = build_tokenizer()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return _TOKENIZER


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_round_trip_of_any_text(text: str) -> None:
    ids = _TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert _TOKENIZER.decode(ids) == text


def test_special_tokens_are_single(tokenizer: Any) -> None:
    for token in SPECIAL_TOKENS:
        assert len(tokenizer(token, add_special_tokens=False)["input_ids"]) == 1


def test_words_of_the_demo_are_single(tokenizer: Any) -> None:
    for word in (*LIGHTS, *COLOURS, "leftmost", "light"):
        assert len(tokenizer.tokenize(" " + word)) == 1


def test_digits_stay_apart(tokenizer: Any) -> None:
    assert len(tokenizer.tokenize("407")) == 3


def test_training_is_deterministic(tokenizer: Any) -> None:
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()
