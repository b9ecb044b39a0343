"""Needle among pictures: asked and scored as the one in a text."""

from __future__ import annotations

from dataclasses import replace

from components.core.benchmarks.kinds import needle_text

RULES = replace(needle_text.RULES, prompts={"needle_images": needle_text.PROMPT})
