"""Collapsing a picture's tokens to one: what vLLM expands again is the prompt that the trainer has."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.vllm.prompts import collapse

IMAGE = 7
words = st.lists(st.integers(0, 20).filter(lambda token: token != IMAGE), min_size=1, max_size=6)
prompts = st.tuples(words, st.lists(st.tuples(st.integers(1, 9), words), max_size=4))
"""A text, and pictures of 1 to 9 tokens, each with a text after it."""


def expanded(first: list[int], pictures: list[tuple[int, list[int]]]) -> list[int]:
    return [*first, *(token for size, after in pictures for token in [IMAGE] * size + after)]


def test_sixty_four_tokens_of_a_picture_are_one():
    assert collapse([1, 2, *[IMAGE] * 64, 3, 4], IMAGE, 1) == [1, 2, IMAGE, 3, 4]


def test_two_pictures_stay_two():
    assert collapse([IMAGE, IMAGE, 1, IMAGE, 2], IMAGE, 2) == [IMAGE, 1, IMAGE, 2]


@given(prompts)
def test_expanding_again_gives_the_prompt(prompt):
    first, pictures = prompt
    ids = expanded(first, pictures)
    sizes = iter([size for size, _ in pictures])
    again = [t for token in collapse(ids, IMAGE, len(pictures))
             for t in ([token] * next(sizes) if token == IMAGE else [token])]  # fmt: skip
    assert again == ids


@given(prompts)
def test_the_text_stays_and_no_two_image_tokens_touch(prompt):
    first, pictures = prompt
    found = collapse(expanded(first, pictures), IMAGE, len(pictures))
    assert [token for token in found if token != IMAGE] == first + [t for _, after in pictures for t in after]
    assert all(len(list(run)) == 1 for token, run in groupby(found) if token == IMAGE)
    assert collapse(found, IMAGE, len(pictures)) == found


@given(prompts, st.integers(0, 6))
def test_another_number_of_pictures_is_refused(prompt, count):
    first, pictures = prompt
    if count == len(pictures):
        return
    with pytest.raises(ValueError, match=f"a prompt with {count} pictures has {len(pictures)} runs"):
        collapse(expanded(first, pictures), IMAGE, count)
