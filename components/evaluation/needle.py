"""Results of a needle in a haystack as a table of lengths and depths. The haystacks: `components.core.benchmarks.needle`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components.evaluation.items import Item
from components.evaluation.scoring.types import Scored


@dataclass(frozen=True)
class NeedleTable:
    """Share of needles found by length (rows) and depth (columns)."""

    lengths: tuple[int, ...]
    """Words, or pictures; ascending."""
    depths: tuple[float, ...]
    """0 at the start, 1 at the end; ascending."""
    accuracy: tuple[tuple[float | None, ...], ...]
    """Accuracy by row and column, None for a cell without items."""
    counts: tuple[tuple[int, ...], ...]
    """Items by row and column."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON-able dict with the attributes' names."""
        return asdict(self)


def needle_table(items: Sequence[Item], scored: Sequence[Scored]) -> NeedleTable:
    """Table of the items that have a place in a grid; others are left out.

    Args:
        items, scored: of the same length.
    """
    cells: dict[tuple[int, float], list[float]] = {}
    for item, found in zip(items, scored, strict=True):
        if item.grid is not None:
            cells.setdefault(item.grid, []).append(found.score)
    lengths = tuple(sorted({length for length, _ in cells}))
    depths = tuple(sorted({depth for _, depth in cells}))
    table = [[cells.get((length, depth), []) for depth in depths] for length in lengths]
    return NeedleTable(
        lengths,
        depths,
        tuple(tuple(sum(cell) / len(cell) if cell else None for cell in row) for row in table),
        tuple(tuple(len(cell) for cell in row) for row in table),
    )
