"""The base model's general task: reading, shapes, colours, counting, places, dials, bulbs, and denying."""

from __future__ import annotations

from demo.general.drawing import LABELS, Box, boxes, render
from demo.general.questions import GeneralQA, questions
from demo.general.scene import (
    COLOURS,
    SHAPES,
    SIZE_PX,
    GeneralScene,
    Shape,
    Written,
    sample_scene,
    scan_split,
)

__all__ = [
    "COLOURS",
    "LABELS",
    "SHAPES",
    "SIZE_PX",
    "Box",
    "GeneralQA",
    "GeneralScene",
    "Shape",
    "Written",
    "boxes",
    "questions",
    "render",
    "sample_scene",
    "scan_split",
]
