"""A JSON schema in the form that OpenAI's strict mode takes."""

from __future__ import annotations

from typing import Any

# https://platform.openai.com/docs/guides/structured-outputs: what strict mode, there and on Azure, refuses.
_REFUSED = frozenset(
    ("default", "title", "minLength", "maxLength", "pattern", "format", "minimum", "maximum",
     "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems")
)  # fmt: skip


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every property required, no further ones, and without bounds and defaults.

    An answer is checked against the bounds all the same, when it has come.
    """
    made: dict[str, Any] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            made[name] = {key: strict(inner) for key, inner in value.items()}
        elif name not in _REFUSED:
            made[name] = _strict(value)
    if "properties" in made:
        made |= {"required": list(made["properties"]), "additionalProperties": False}
    return made


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return strict(value)
    return [_strict(item) for item in value] if isinstance(value, list) else value
