"""Refusals that are about one request's content, told from those about the key by their words."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(r"\bHTTP 403\b")
_CONTENT = re.compile(
    r"content|policy|policies|flagged|moderat|safety|unsafe|harm|violat|inappropriate|sensitive|prohibited|nsfw"
    r"|explicit|guardrail|responsible",
    re.IGNORECASE,
)
_ACCESS = re.compile(
    r"api.?key|credential|token|authenti|authori[sz]|permission|access.{0,20}model|account|billing|subscription"
    r"|region|country",
    re.IGNORECASE,
)


def is_forbidden(words: str) -> bool:
    """Whether a refusal has status 403, which servers use for bad keys and for flagged content alike."""
    return bool(_FORBIDDEN.search(words))


def is_flagged(words: str) -> bool:
    """Whether a refusal of status 403 is about what the request shows, and not about who asks."""
    reply = words.partition("HTTP 403")[2].partition("; check base_url")[0]
    return is_forbidden(words) and bool(_CONTENT.search(reply)) and not _ACCESS.search(reply)
