"""Sums over all rows above and below a place in a sorted order, for many places.

Rows are laid out in blocks, `[step, block]`: row p of the order is step p % steps of
block p // steps. All blocks add up side by side, one step after the other, and what
whole blocks hold is added up after that. A sum has thus been through `steps` roundings
and a compensated sum of blocks, however many rows there are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MOST_STEPS = 128
"""Rows of the largest blocks."""
HEADS_TOGETHER_BYTES = 32 << 20
"""Bytes of the values up to which all heads are computed side by side; beyond, one
after the other, which takes a fraction of the memory and no longer."""


class Layout(NamedTuple):
    """Where the rows of an order lie; `[step, block]`."""

    rows: Int[Array, "S Q"]
    """Which row; the first one again where there is none any more."""
    exists: Float[Array, "S Q"]
    """1 where there is a row, 0 behind the last one."""


def lay_out(order: Int[Array, "N"]) -> Layout:
    """Lays out an order, with at least one place behind the last row."""
    rows = len(order)
    steps = steps_of(rows)
    blocks = rows // steps + 1
    filled = jnp.pad(order, (0, steps * blocks - rows))
    exists = jnp.arange(steps * blocks) < rows
    return Layout(
        filled.reshape(blocks, steps).T,
        exists.reshape(blocks, steps).T.astype(jnp.float32),
    )


def steps_of(rows: int) -> int:
    """Rows per block: about the root of all rows, which makes steps and blocks few."""
    steps = 1
    while steps < MOST_STEPS and steps * steps < rows:
        steps *= 2
    return steps


def sums_from(
    columns: Float[Array, "S Q *F"], places: Int[Array, "M"]
) -> Float[Array, "M *F"]:
    """For every place, the sum of the rows from there on."""

    def add(total: Array, rows: Array) -> tuple[Array, Array]:
        total = total + rows
        return total, total

    totals, within = jax.lax.scan(
        add, jnp.zeros_like(columns[0]), columns, reverse=True
    )
    behind = _sums_of_blocks(totals, reverse=True)
    return _look_up(within, behind, places)


def sums_before(
    columns: Float[Array, "S Q *F"], places: Int[Array, "M"]
) -> Float[Array, "M *F"]:
    """For every place, the sum of the rows before it."""

    def add(total: Array, rows: Array) -> tuple[Array, Array]:
        return total + rows, total

    totals, within = jax.lax.scan(add, jnp.zeros_like(columns[0]), columns)
    before = _sums_of_blocks(totals, reverse=False)
    return _look_up(within, before, places)


def _look_up(
    within: Float[Array, "S Q *F"], others: Float[Array, "Q *F"], places: Array
) -> Float[Array, "M *F"]:
    steps, blocks = within.shape[:2]
    block, step = places // steps, places % steps
    rows = within.reshape(steps * blocks, *within.shape[2:])
    return rows[step * blocks + block] + others[block]


def _sums_of_blocks(totals: Float[Array, "Q *F"], *, reverse: bool) -> Array:
    """Row q: the sum of the blocks before q, or, in reverse, of those behind it.

    On a CPU one row after the other, what rounding loses carried along (Kahan, 1965);
    elsewhere XLA's `cumsum`, which adds in a tree of depth log Q.
    """
    if jax.default_backend() != "cpu":
        return jax.lax.cumsum(totals, axis=0, reverse=reverse) - totals

    def add(
        carry: tuple[Array, Array], row: Array
    ) -> tuple[tuple[Array, Array], Array]:
        total, lost = carry
        step = row - lost
        new = total + step
        return (new, (new - total) - step), total

    start = (jnp.zeros_like(totals[0]), jnp.zeros_like(totals[0]))
    return jax.lax.scan(add, start, totals, reverse=reverse)[1]


def over_heads(one_head: Callable[..., Any], *arrays: Array) -> Any:
    """`one_head` for every head, the second axis of all arrays, given and returned."""
    if 4 * max(x.size for x in arrays) <= HEADS_TOGETHER_BYTES:
        return jax.vmap(one_head, in_axes=1, out_axes=1)(*arrays)
    by_head = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), arrays)
    found = jax.lax.map(lambda x: one_head(*x), by_head)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)
