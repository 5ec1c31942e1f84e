"""Checks that functions share: shapes that must fit, and values that must be known.

Shapes are seen under `jit`; values only where there are any, and are passed over while
a function is traced.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Shaped


def is_known(*arrays: object) -> bool:
    """Return whether values can be read: none is traced or lies on other hosts."""
    return all(
        not isinstance(x, jax.core.Tracer)
        and (not isinstance(x, jax.Array) or x.is_fully_addressable)
        for x in arrays
    )


def check_axes(**arrays: tuple[Shaped[ArrayLike, "..."] | None, str]) -> None:
    """Refuse arrays whose axes do not fit together.

    Args:
        arrays: by name each array, or None where it is not given, and its axes, such as
            `B N`: what bears one letter has one size; `...` in front is any axes.

    Raises:
        ValueError: another number of axes, or two sizes for one letter; names all axes
            and all shapes. Or an array holds no numbers at all.
    """
    given = {name: pair for name, pair in arrays.items() if pair[0] is not None}
    sizes: dict[str, Any] = {}
    fits = True
    for name, (array, _) in given.items():
        if getattr(getattr(array, "dtype", None), "kind", "f") in "OSUMm":
            raise ValueError(f"{name} must hold numbers, got {array.dtype}")  # type: ignore[union-attr]
    for array, axes in given.values():
        shape, names = jnp.shape(array), axes.split()  # type: ignore[arg-type]
        if names[:1] == ["..."]:
            front = len(shape) - len(names) + 1
            whole: Any = shape[:front]  # as if it were the size of one axis
            shape = (whole, *shape[front:]) if front >= 0 else ()
        fits &= len(shape) == len(names) and all(
            sizes.setdefault(name, int(name) if name.isdigit() else size) == size
            for name, size in zip(names, shape, strict=True)
        )
    if not fits:
        wanted = [
            f"{name} [{', '.join(axes.split())}]" for name, (_, axes) in given.items()
        ]
        got = [str(jnp.shape(array)) for array, _ in given.values()]  # type: ignore[arg-type]
        raise ValueError(
            f"{_listed(wanted)} must fit together, got shapes {_listed(got)}"
        )


def check_integers(**ids: Shaped[ArrayLike, "..."] | None) -> None:
    """Refuse ids that are not integers: rounding them would name something else.

    Raises:
        ValueError: an array of another type, by its name; an empty one may have any.
    """
    for name, array in ids.items():
        if array is not None and jnp.size(array):
            dtype = jnp.asarray(array).dtype
            if not jnp.issubdtype(dtype, jnp.integer):
                raise ValueError(f"{name} must hold integers, got {dtype}")


def is_positive(targets: Shaped[ArrayLike, "*cells"]) -> Bool[Array, "*cells"]:
    """Mask of the targets above 0, of any type."""
    targets = jnp.asarray(targets)
    return targets if targets.dtype == bool else targets > 0


def check_targets(
    targets: Shaped[ArrayLike, "..."],
    target_mask: Bool[ArrayLike, "..."] | None = None,
    example_mask: Bool[ArrayLike, "..."] | None = None,
    *,
    real: bool = False,
) -> None:
    """Refuse targets that say nothing, such as NaN or -1 for "not annotated".

    Args:
        targets: of any shape.
        target_mask: true where they are annotated; what others hold is not looked at.
        example_mask: true for the rows that count.
        real: targets are real numbers, and not 0, 1 or in between.

    Raises:
        ValueError: one that counts lies outside 0..1, or is no finite number.
    """
    masks = [mask for mask in (target_mask, example_mask) if mask is not None]
    if not is_known(targets, *masks):
        return
    values = np.asarray(targets)
    if values.dtype == bool or not values.size:
        return
    if values.dtype.kind in "OSUMm":
        raise ValueError(f"targets must hold numbers, got {values.dtype}")
    least, most = (
        (np.finfo(np.float64).min, np.finfo(np.float64).max) if real else (0, 1)
    )
    # Both bounds are False where one is NaN.
    if values.min() >= least and values.max() <= most:
        return
    wrong = ~((values >= least) & (values <= most))
    if target_mask is not None:
        wrong &= np.asarray(target_mask, bool)
    if example_mask is not None:
        rows = np.asarray(example_mask, bool)
        wrong &= rows.reshape(rows.shape + (1,) * (wrong.ndim - rows.ndim))
    if wrong.any():
        place = np.argwhere(wrong)[0]
        names = ("row",) if wrong.ndim == 1 else ("document", "label")
        at = ", ".join(f"{n} {i}" for n, i in zip(names, place, strict=False))
        raise ValueError(
            f"targets must be {'finite numbers' if real else 'between 0 and 1'}, got "
            f"{float(values[tuple(place)]):g} at {at or 'the only one'}; what is not "
            "annotated is left out, or masked by target_mask where there is one"
        )


def check_numbers(**arrays: Shaped[ArrayLike, "..."] | None) -> None:
    """Refuse NaN in arrays whose values are compared or ranked: it has no place there.

    Raises:
        ValueError: there is one; names the array and the place.
    """
    for name, array in arrays.items():
        if array is None or not is_known(array):
            continue
        xp = jnp if isinstance(array, jax.Array) else np
        if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
            continue
        unknown = xp.isnan(array)
        if bool(unknown.any()):
            place = np.argwhere(np.asarray(unknown))[0].tolist()
            raise ValueError(f"{name} must be numbers, got NaN at index {place}")


def check_shares(**arrays: Shaped[ArrayLike, "..."]) -> None:
    """Refuse shares and probabilities that do not lie between 0 and 1, NaN among them.

    Raises:
        ValueError: there is one; names the array and the range of its values.
    """
    check_numbers(**arrays)
    for name, array in arrays.items():
        values = np.asarray(array, np.float64) if is_known(array) else np.zeros(0)
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"{name} must be between 0 and 1, got {values.min():g} to "
                f"{values.max():g}"
            )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
