"""Types of what holds several arrays: leaves, parameters, batches."""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import numpy as np
from jaxtyping import Array, PyTree

Leaf = Array | np.ndarray
"""An array on a device or on the host."""
Params: TypeAlias = PyTree[Array | np.ndarray]
"""Parameters: nested dicts of arrays."""
Batch = Mapping[str, Array | np.ndarray]
"""Arrays of some documents or rows by name, `[B, ...]` each."""
Tree = TypeVar("Tree")
"""A tree of arrays, whose structure the result has too."""
