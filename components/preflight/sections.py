"""Validation of every stage's settings in one go."""

from __future__ import annotations

from collections.abc import Mapping

from components.core.stage.errors import ConfigError
from components.core.stage.settings import Settings, parse_settings, stage_config
from components.preflight.component import IO
from components.stages import SECTIONS

SECTION_STAGES = {name: SECTIONS[name].stage for name in IO.sections}
"""Section of a run -> the stage whose settings it holds."""


def validate_section(name: str, section: str) -> Settings:
    """The typed settings of one section.

    Args:
        name: a key of `SECTION_STAGES`.
        section: the section as JSON.

    Raises:
        ConfigError: naming every bad setting of the section, an unknown one with its nearest valid name.
    """
    return parse_settings(stage_config(SECTION_STAGES[name]), section, name)


def validate_sections(sections: Mapping[str, str]) -> tuple[dict[str, Settings], list[ConfigError]]:
    """Settings of the valid sections, and one error for each of the others."""
    valid: dict[str, Settings] = {}
    errors: list[ConfigError] = []
    for name, section in sections.items():
        try:
            valid[name] = validate_section(name, section)
        except ConfigError as error:
            errors.append(error)
    return valid, errors
