"""A car's instrument clusters: scenes, their pictures, and every question that has a known answer."""

from __future__ import annotations

from demo.world.index import WorldIndex
from demo.world.questions import TruthQA, absent_questions, answer, catalogue
from demo.world.render import png_bytes, render
from demo.world.scene import COLOURS, LIGHTS, MEANINGS, Light, Scene, sample_scene

__all__ = [
    "COLOURS",
    "LIGHTS",
    "MEANINGS",
    "Light",
    "Scene",
    "TruthQA",
    "WorldIndex",
    "absent_questions",
    "answer",
    "catalogue",
    "png_bytes",
    "render",
    "sample_scene",
]
