"""Image statistics that stand in for a model's judgement of information density. NumPy and SciPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_LEVELS = 8  # levels a channel is quantised to: 512 colours
_EDGE = 0.08  # gradient magnitude, of a luminance from 0 to 1, that counts as an edge
_SEGMENT_SHARE = 0.002  # share of the pixels below which a region is texture, not a segment
_GRID = 8  # cells a side of the grid over which edges are spread


@dataclass(frozen=True)
class Statistics:
    """Signals of one picture, each from 0 to 1 except the count."""

    colour_entropy: float
    """Shannon entropy of the 512-colour histogram, divided by its maximum of 9 bits."""
    edge_density: float
    """Share of pixels on an edge."""
    edge_spread: float
    """Entropy of the edges' distribution over an 8 x 8 grid, divided by its maximum of 6 bits."""
    segments: int
    """Connected regions of one quantised colour that are larger than 0.2 % of the picture."""


def statistics(pixels: np.ndarray) -> Statistics:
    """Statistics of a picture of (height, width, 3) uint8."""
    codes = (pixels.astype(np.int32) * _LEVELS) // 256
    colours = (codes[..., 0] * _LEVELS + codes[..., 1]) * _LEVELS + codes[..., 2]
    luminance = pixels @ np.array([0.299, 0.587, 0.114]) / 255.0
    gradient = np.hypot(ndimage.sobel(luminance, axis=0), ndimage.sobel(luminance, axis=1)) / 4.0
    edges = gradient > _EDGE
    return Statistics(
        colour_entropy=_entropy(np.bincount(colours.ravel(), minlength=_LEVELS**3)),
        edge_density=float(edges.mean()),
        edge_spread=_entropy(_cells(edges)),
        segments=_segments(colours),
    )


def _entropy(counts: np.ndarray) -> float:
    """Entropy of a histogram relative to that of the uniform one; 0 when it is empty."""
    total = counts.sum()
    if not total:
        return 0.0
    share = counts[counts > 0] / total
    return float(-(share * np.log2(share)).sum() / np.log2(counts.size))


def _cells(edges: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(edges)
    height, width = edges.shape
    return np.bincount((rows * _GRID // height) * _GRID + columns * _GRID // width, minlength=_GRID**2)


def _segments(colours: np.ndarray) -> int:
    """Count of large 4-connected regions of equal colour."""
    least = max(1, int(colours.size * _SEGMENT_SHARE))
    frequent = np.flatnonzero(np.bincount(colours.ravel()) >= least)
    count = 0
    for colour in frequent:  # at most 1 / _SEGMENT_SHARE = 500 colours can be frequent enough
        labels, found = ndimage.label(colours == colour)
        if found:
            count += int((np.bincount(labels.ravel())[1:] >= least).sum())
    return count
