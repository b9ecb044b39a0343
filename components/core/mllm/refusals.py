"""What a refusal is about: the set-up, a parameter that a setting can change, or the request's content."""

from __future__ import annotations

import re

_SETUP = re.compile(
    r"insufficient_quota|exceeded your current quota|billing_|invalid_api_key"
    r"|incorrect api key|api key not valid"
    r"|api_key_invalid|authentication_error|model_not_found|unknown_model"
    r"|model ['\"`]?[\w./:@-]+['\"`]? (does not exist|not found|is not found)",
    re.IGNORECASE,
)
_SETUP_STATUS = (401, 402, 403, 404, 405, 501)
_REFUSES = re.compile(
    r"unsupported|not (currently )?support|n't support|unknown|unrecogni[sz]ed"
    r"|not (permitted|allowed|recogni[sz]ed)"
    r"|unexpected|extra (fields|inputs)|deprecated|only the default|invalid (schema|value|parameter)",
    re.IGNORECASE,
)
_ADVICE = (
    (r"max_tokens.*max_completion_tokens", "set token_limit: max_completion_tokens"),
    (r"max_completion_tokens", "set token_limit: max_tokens"),
    (r"max_tokens", "set token_limit: max_completion_tokens"),
    (r"temperature", "set omit: [temperature]"),
    (r"\bseed\b", "set omit: [seed]"),
    (r"additionalproperties|required.{0,40}every key|invalid schema|\bstrict\b",
     "set answer_format: strict_json_schema"),
    (r"json_schema|response_format|guided|structured output", "set answer_format: json_object or text"),
)  # fmt: skip


def is_setup(status: int, words: str) -> bool:
    """Whether a refusal is about address, key, account or model: every other request meets it too."""
    return status in _SETUP_STATUS or (status not in range(500, 600) and bool(_SETUP.search(words)))


def advice(words: str) -> str:
    """The setting to change where a refusal is about a parameter that every request has, "" elsewhere."""
    if not _REFUSES.search(words):
        return ""
    text = words.lower().replace("\n", " ")
    return next((hint for pattern, hint in _ADVICE if re.search(pattern, text)), "")
