"""Checks of the arguments of figures: arrays of numbers of matching lengths."""

from collections.abc import Sequence, Sized

import numpy as np
from numpy.typing import ArrayLike


def numbers(
    what: str, values: ArrayLike, shape: str, *, absent: bool = False
) -> np.ndarray:
    """`values` as float64.

    Args:
        what: their name in errors.
        values: anything that numpy takes.
        shape: as `[N]` or `[n, n]`: the number of axes, and the words of errors.
        absent: whether NaN says that there is no value.

    Raises:
        ValueError: they are not numbers, have other axes, are empty, or hold NaN or
            infinity.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{what} must be numbers {shape}, got {values!r:.80}"
        ) from None
    names = shape.strip("[]").split(",")
    if array.ndim != len(names):
        raise ValueError(f"{what} must have the shape {shape}, got {array.shape}")
    if len({name.strip() for name in names}) < len(names) and len(set(array.shape)) > 1:
        raise ValueError(f"{what} must be square, {shape}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{what}: there is nothing to draw, got shape {array.shape}")
    wrong = np.isinf(array) if absent else ~np.isfinite(array)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{what} of shape {array.shape} must be finite numbers; at {place} stands "
            f"{array[place]}"
        )
    if absent and np.isnan(array).all():
        raise ValueError(
            f"{what}: there is nothing to draw, all of shape {array.shape} is NaN"
        )
    return array


def same_length(what: str, values: Sized, other: str, count: int) -> None:
    """Refuse values of another number than there are of something else.

    Raises:
        ValueError: with both numbers.
    """
    if len(values) != count:
        raise ValueError(
            f"{what} must be as many as {other}, {count}, got {len(values)}"
        )


def label_names(names: Sequence[str], count: int) -> list[str]:
    """Names as strings, one for each of `count` labels.

    Raises:
        ValueError: they are another number.
    """
    same_length("names", names, "labels", count)
    return [plain_text(str(name)) for name in names]


def plain_text(text: str) -> str:
    """Text that matplotlib draws as it stands: a `$` begins no formula."""
    return text.replace("$", r"\$")
