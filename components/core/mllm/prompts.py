"""Prompts as versioned template files, which can be read, diffed and hashed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from components.core.data.hashing import sha256_hex

_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # prompts are plain text, not HTML
)


@lru_cache(maxsize=256)
def _compiled(source: str) -> tuple[jinja2.Template, str]:
    return _ENVIRONMENT.from_string(source), sha256_hex(source)[:16]


@lru_cache(maxsize=256)
def _source(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def render_source(source: str, **variables: Any) -> tuple[str, str]:
    """Fill a template given as text; otherwise as `render`."""
    template, digest = _compiled(source)
    return template.render(**variables).strip(), digest


def render(stage_file: str, name: str, **variables: Any) -> tuple[str, str]:
    """Fill the template `name` in the folder `prompts/` beside `stage_file`.

    Returns:
        The prompt, and a 16-digit hash of the template's source, recorded with every row it produced.

    Raises:
        jinja2.UndefinedError: a variable of the template is missing.
    """
    return render_source(_source(Path(stage_file).resolve().parent / "prompts", name), **variables)
