"""Prompts as versioned template files, which can be read, diffed and hashed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from components.core.data.hashing import sha256_hex


@lru_cache(maxsize=256)
def _template(folder: Path, name: str) -> tuple[jinja2.Template, str]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # prompts are plain text, not HTML
    )
    source = (folder / name).read_text(encoding="utf-8")
    return environment.get_template(name), sha256_hex(source)[:16]


def render(stage_file: str, name: str, **variables: Any) -> tuple[str, str]:
    """Fill the template `name` in the folder `prompts/` beside `stage_file`.

    Returns:
        The prompt, and a 16-digit hash of the template's source, recorded with every row it produced.

    Raises:
        jinja2.UndefinedError: a variable of the template is missing.
    """
    template, digest = _template(Path(stage_file).resolve().parent / "prompts", name)
    return template.render(**variables).strip(), digest
