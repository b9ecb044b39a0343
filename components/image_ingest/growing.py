"""Arrays that grow by appending, at constant cost a row: what is remembered of every kept image stays columnar."""

from __future__ import annotations

from typing import Any

import numpy as np


class Growing:
    """A NumPy array that rows are appended to; capacity grows by half, so copying stays linear in the end.

    Args:
        dtype: of the elements.
        shape: of one row.
    """

    def __init__(self, dtype: Any, shape: tuple[int, ...] = ()) -> None:
        self._rows: np.ndarray = np.empty((1024, *shape), dtype=dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def view(self) -> np.ndarray:
        """All rows; valid until the next `append`."""
        return self._rows[: self._count]

    def append(self, rows: np.ndarray) -> None:
        """Append rows, (n, *shape)."""
        end = self._count + len(rows)
        if end > len(self._rows):
            grown = np.empty((max(end, len(self._rows) * 3 // 2), *self._rows.shape[1:]), self._rows.dtype)
            grown[: self._count] = self.view
            self._rows = grown
        self._rows[self._count : end] = rows
        self._count = end
