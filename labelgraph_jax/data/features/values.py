"""Numbered features and their values: one row of a sparse matrix."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of one document, from a fixed set.

    Args:
        ids: int32 [S], increasing, from 0.
        values: float32 [S], finite.

    Raises:
        ValueError: ids and values differ in number, ids do not increase or are
            negative, or a value is not finite.
    """

    ids: np.ndarray
    values: np.ndarray

    def __post_init__(self) -> None:
        ids = np.asarray(self.ids)
        values = np.asarray(self.values, np.float32)
        if ids.ndim != 1 or ids.shape != values.shape:
            raise ValueError(
                "features must have an id and a value each; got shapes "
                f"{ids.shape} and {values.shape}"
            )
        if ids.size and ids.dtype.kind not in "iu":
            raise ValueError(f"ids of features must be integers; got {ids.dtype}")
        if ids.size and (ids[0] < 0 or (np.diff(ids) <= 0).any()):
            raise ValueError("ids of features must increase, from 0 on")
        if ids.size and ids[-1] > np.iinfo(np.int32).max:
            raise ValueError(f"ids of features must be 32-bit numbers; got {ids[-1]}")
        if not np.isfinite(values).all():
            raise ValueError("values of features must be finite numbers")
        object.__setattr__(self, "ids", ids.astype(np.int32, copy=False))
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.ids)

    def to_bytes(self) -> bytes:
        """The same bytes for the same features, on every machine."""
        return self.ids.astype("<i4").tobytes() + self.values.astype("<f4").tobytes()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Features):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())
