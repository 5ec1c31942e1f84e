"""Inputs of a model from some rows of a table: ids, numbers and targets."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class TableExamples:
    """M rows, in the order of the table; batched as documents are.

    Args:
        categories: int32 [M, C], see `data.tables.schema.EncodedTable`.
        numbers: float32 [M, Q].
        targets: float32 [M, O].
        target_mask: bool [M, O], False where a row is not annotated.
        weights: float32 [M], what a row counts; one each where None.
        groups: int64 [M], the group of each row, -1 for none; None without groups.

    Raises:
        ValueError: the parts do not hold the same number of rows.
    """

    categories: np.ndarray
    numbers: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray | None = None
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        parts = [self.categories, self.numbers, self.targets, self.weights, self.groups]
        counts = {len(part) for part in parts if part is not None}
        if len(counts) > 1:
            raise ValueError(
                f"all parts must hold the same rows; got {sorted(counts)} of them"
            )
        if self.target_mask is not None and (
            self.target_mask.shape != self.targets.shape
        ):
            raise ValueError(
                f"target_mask must have the shape of targets {self.targets.shape}; "
                f"got {self.target_mask.shape}"
            )

    def __len__(self) -> int:
        return len(self.targets)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Rows have no length to sort or pad by: ones, int64 [M]."""
        return np.ones(len(self), np.int64)

    @property
    def window_counts(self) -> np.ndarray:
        """Ones, int64 [M]."""
        return self.lengths
