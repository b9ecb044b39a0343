"""torchvision beside a CPU build of torch: its wheel is made for CUDA, and `import torchvision` fails.

The import wants the schemas of two operators whose library does not load. They are defined before it;
transforms need no more. `torchvision_cpu.pth` calls `install` when Python starts.
"""

from __future__ import annotations

import importlib.abc
import sys
from importlib.machinery import ModuleSpec
from typing import Any

OPERATORS = ("nms", "qnms")
_kept: list[Any] = []  # a library's definitions go when it is collected


class DefineOperators(importlib.abc.MetaPathFinder):
    """Defines the operators when torchvision is first looked for, and leaves the finding to others."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """None, always."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "FRAGMENT")
            for name in OPERATORS:
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _kept.append(library)
        return None


def install() -> None:
    """Be asked about every import, once."""
    if not any(isinstance(finder, DefineOperators) for finder in sys.meta_path):
        sys.meta_path.insert(0, DefineOperators())
