"""Status 403 is about the key or about the content; its words tell."""

from __future__ import annotations

import pytest

from components.core.mllm.replies.flagged import is_flagged, is_forbidden

WHERE = "http://h/v1 (m): HTTP 403: {}; check base_url, model and the key in $OPENAI_API_KEY"


@pytest.mark.parametrize(
    "words",
    [
        "Input data may contain inappropriate content",
        "Your request was flagged by our moderation system",
        "violates our usage policies",
        "blocked by safety filters",
        "the picture is prohibited",
    ],
)
def test_words_about_content(words: str) -> None:
    assert is_flagged(WHERE.format(words))


@pytest.mark.parametrize(
    "words",
    [
        "Forbidden",
        "Invalid API key",
        "Your account does not have access to model m under its content policy",
        "Country, region, or territory not supported",
        "",
    ],
)
def test_words_about_who_asks(words: str) -> None:
    assert is_forbidden(WHERE.format(words))
    assert not is_flagged(WHERE.format(words))


def test_other_states_are_not_judged() -> None:
    assert not is_forbidden("http://h/v1 (m): HTTP 401: flagged content")
    assert not is_flagged("http://h/v1 (m): HTTP 401: flagged content")
