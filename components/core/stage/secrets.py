"""Keys of endpoints: read from the environment, and kept out of everything that is printed."""

from __future__ import annotations

import os
import re

from components.core.stage.errors import ConfigError

HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
# From a word's start on: tried inside of one, too, a long word would cost its square.
_USER_INFO = re.compile(r"(?<!\w)(\w+://)[^/@\s'\"]+@")
_BEARER = re.compile(r"(?i)\b(bearer)\s+[^\s'\",]+")
_MIN_LENGTH = 8
"""A shorter value of a variable that only looks secret is a word like `false`, and stays readable."""
_read: set[str] = set()
"""Keys that `api_key` has returned, whatever their variable is called."""


def api_key(variable: str) -> str:
    """The key in an environment variable, without white space around it; "" without one.

    Raises:
        ConfigError: the value cannot be sent in a header, because it has several lines or signs no key has.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        wrong = "spaces, line breaks or signs outside ASCII, which no key has"
        raise ConfigError(f"the key in ${variable} has {wrong}; set it to the key alone")
    if key:
        _read.add(key)
    return key


def hide(text: str) -> str:
    """The text without keys of the environment, without bearer tokens and without passwords in addresses."""
    named = (value.strip() for name, value in os.environ.items() if _SECRET_NAME.search(name))
    secrets = _read | {value for value in named if len(value) >= _MIN_LENGTH}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _BEARER.sub(rf"\1 {HIDDEN}", _USER_INFO.sub(rf"\1{HIDDEN}@", text))
