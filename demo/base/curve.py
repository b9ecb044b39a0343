"""The picture of the base model's training: loss by step, one panel a phase."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def draw(curve: Sequence[Sequence[object]], path: Path) -> None:
    """Write the curve's rows, (phase, step, loss), as a PNG."""
    phases = list(dict.fromkeys(str(row[0]) for row in curve))
    figure, panels = pyplot.subplots(1, len(phases), figsize=(3.2 * len(phases), 2.6), squeeze=False)
    for panel, phase in zip(panels[0], phases, strict=True):
        rows = [row for row in curve if row[0] == phase]
        panel.plot([row[1] for row in rows], [row[2] for row in rows], linewidth=1.2)
        panel.set(title=phase, xlabel="step", yscale="log")
        panel.grid(visible=True, which="both", alpha=0.3)
    panels[0][0].set_ylabel("loss")
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
