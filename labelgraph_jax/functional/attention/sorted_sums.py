"""Sums over all rows before and from a place in a sorted order, for many places.

Rows are laid out in blocks, `[step, block]`: row p of an order is step p % steps of
block p // steps. All blocks, those of all heads too, add up side by side, one step
after the other, and what whole blocks hold is added up after that. A sum has thus been
through at most `steps` roundings and a compensated sum of blocks, however many rows
there are.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

MOST_STEPS = 128
"""Rows of the largest blocks."""
HEADS_TOGETHER_BYTES = 32 << 20
"""Bytes of the values up to which all heads are computed side by side; beyond, one
after the other, which takes a fraction of the memory and no longer."""

NARROWEST = 64
"""Features of the pieces that a wide head is divided into: narrower ones would sort as
long as they sum."""


class Layout(NamedTuple):
    """Positions of the rows of some orders, one per head: `[step, head * block]`."""

    labels: Int[Array, "S HQ"]
    """Label of each slot; behind the end of a block the last ones repeat."""
    exists: Float[Array, "S HQ"]
    """1 where there is a row, 0 behind the last one."""
    heads: int
    """H."""

    @property
    def blocks(self) -> int:
        """Number of blocks that the order of one head is divided into."""
        return self.labels.shape[1] // self.heads

    def of_labels(self, x: Float[Array, "N H K"]) -> Float[Array, "S HQ K"]:
        """Some numbers per label and head, laid out; 0 where there is no row."""
        flat = x.reshape(-1, x.shape[2])
        return self.exists[..., None] * flat[self.rows(0, self.heads)]

    def rows(self, first: Int[Array, ""] | int, heads: int) -> Int[Array, "S HQ"]:
        """Rows of an array `[N * heads, ...]` whose heads from `first` on these are."""
        of_block = jnp.repeat(jnp.arange(self.heads, dtype=jnp.int32), self.blocks)
        head = jnp.asarray(first, jnp.int32) + of_block
        return self.labels * heads + head


def sort_and_place(
    keys: Float[Array, "N H"], queries: Float[Array, "M H"], *, side: str = "left"
) -> tuple[Int[Array, "H N"], Int[Array, "M H"]]:
    """The order of the keys of every head, and where in it each query would stand.

    A query stands before the keys that equal it, or with side `right` behind them.
    """
    keys = keys.T
    order = _orders(keys)
    ordered = jnp.take_along_axis(keys, order, axis=1)
    place = jax.vmap(lambda x, y: jnp.searchsorted(x, y, side=side), (0, 1), 1)
    return order, place(ordered, queries).astype(jnp.int32)


def _orders(keys: Float[Array, "H N"]) -> Int[Array, "H N"]:
    """`argsort` of every row of finite numbers, those that are equal in any order.

    A CPU sorts single integers many times faster than pairs of a key and its place. So
    as many bits of the keys as an integer holds beside a place are sorted at a time,
    the lowest first: two or three times for all that fit into memory.
    """
    labels = keys.shape[1]
    places = jnp.broadcast_to(jnp.arange(labels, dtype=jnp.uint32), keys.shape)
    if jax.default_backend() != "cpu":
        pair = jax.lax.sort((keys, places), dimension=1, num_keys=1, is_stable=False)
        return pair[1].astype(jnp.int32)
    # In one axis: of constants with more, XLA has been seen to mix up the order.
    bits = jax.lax.bitcast_convert_type(keys.reshape(-1), jnp.uint32)
    negative = bits >> 31 == 1
    bits = bits ^ jnp.where(negative, jnp.uint32(0xFFFFFFFF), jnp.uint32(1 << 31))
    bits = bits.reshape(keys.shape)  # integers in the order of the keys
    place_bits = max(1, (labels - 1).bit_length())
    at_once = 32 - place_bits
    order = places
    for start in range(0, 32, at_once):
        digits = jnp.take_along_axis(bits, order, axis=1) if start else bits
        digits = (digits >> start) << place_bits
        ranked = jax.lax.sort(digits | places, dimension=1, is_stable=False)
        ranked = ranked & jnp.uint32((1 << place_bits) - 1)
        order = jnp.take_along_axis(order, ranked, axis=1) if start else ranked
    return order.astype(jnp.int32)


def lay_out(order: Int[Array, "H N"]) -> Layout:
    """Lay out orders, with at least one place behind the last row of each."""
    heads, labels = order.shape
    steps = steps_of(labels)
    blocks = labels // steps + 1
    missing = steps * blocks - labels
    filled = jnp.pad(order, ((0, 0), (0, missing)))
    exists = jnp.broadcast_to(jnp.arange(steps * blocks) < labels, filled.shape)

    def split(x: Array) -> Array:
        return jnp.einsum("hqs->shq", x.reshape(heads, blocks, steps)).reshape(
            steps, heads * blocks
        )

    return Layout(split(filled), split(exists).astype(jnp.float32), heads)


def steps_of(rows: int) -> int:
    """Rows per block: about the root of all rows, which makes steps and blocks few."""
    steps = 1
    while steps < MOST_STEPS and steps * steps < rows:
        steps *= 2
    return steps


class TwoSums(NamedTuple):
    """For every place and head, the sums of the rows from there on, and before it."""

    rows: Float[Array, "M H 2 F"]
    numbers: Float[Array, "M H 2"]


def two_sums(
    layout: Layout,
    rows: tuple[Float[Array, "NH F"], Int[Array, "S HQ"]],
    weights: Float[Array, "S HQ 2"],
    numbers: Float[Array, "S HQ"],
    places: Int[Array, "M H"],
) -> TwoSums:
    """Weighted sums of rows, and of one number per row, on both sides of places.

    Both are running sums from the end. The sum before a place is that up to the end of
    its block less that from it to there, so that every row is fetched once: right where
    the weights of a row from the place on are, for what the two sums are added up to,
    no larger in the second sum than in the first.

    Args:
        layout: of the rows.
        rows: a table, and which row of it lies where.
        weights: of every row in the sum from a place on, and in that before it.
        numbers: a number beside every row, which has the row's weights.
        places: of every sum, in 0..N.
    """
    table, which = rows

    def add(
        sums: tuple[Array, Array], at: tuple[Array, ...]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        row, weight, number = at
        sums = (
            sums[0] + weight[..., None] * table[row][:, None],
            sums[1] + weight * number[:, None],
        )
        return sums, sums

    columns = which.shape[1]
    start = (
        jnp.zeros((columns, 2, table.shape[1]), table.dtype),
        jnp.zeros((columns, 2), table.dtype),
    )
    at = (which, weights, numbers)
    whole, within = jax.lax.scan(add, start, at, reverse=True)
    others = _other_blocks(*whole, layout)

    steps = len(which)
    heads = jnp.arange(layout.heads, dtype=jnp.int32)
    block = places // steps + heads * layout.blocks
    here = places % steps * columns + block
    sign = jnp.asarray([1.0, -1.0], table.dtype)
    found_rows, found_numbers = (
        x.reshape(steps * columns, *x.shape[2:])[here] for x in within
    )
    # Looked up once: XLA would do so again for every use.
    return jax.lax.optimization_barrier(
        TwoSums(
            others[0][block] + sign[:, None] * found_rows,
            others[1][block] + sign * found_numbers,
        )
    )


def _other_blocks(
    rows: Float[Array, "HQ 2 F"], numbers: Float[Array, "HQ 2"], layout: Layout
) -> tuple[Float[Array, "HQ 2 F"], Float[Array, "HQ 2"]]:
    """Sum the blocks behind each; of the second sums, each block and those before.

    On a CPU one block after the other, what rounding loses carried along (Kahan, 1965);
    elsewhere XLA's `cumsum`, which adds in a tree of depth log Q.
    """
    totals = jnp.concatenate([rows, numbers[..., None]], axis=2)
    totals = totals.reshape(layout.heads, layout.blocks, 2, -1)
    behind = jnp.pad(totals[:, :0:-1, 0], ((0, 0), (1, 0), (0, 0)))
    both = jnp.moveaxis(jnp.stack([behind, totals[:, :, 1]], axis=2), 1, 0)
    cpu = jax.default_backend() == "cpu"
    both = _compensated(both) if cpu else jnp.cumsum(both, axis=0)
    both = jnp.moveaxis(both, 0, 1)
    sums = jnp.stack([both[:, ::-1, 0], both[:, :, 1]], axis=2)
    sums = sums.reshape(len(rows), 2, -1)
    return sums[..., :-1], sums[..., -1]


def _compensated(totals: Float[Array, "Q *F"]) -> Float[Array, "Q *F"]:
    """Row q: the sum of the rows up to q."""

    def add(
        carry: tuple[Array, Array], row: Array
    ) -> tuple[tuple[Array, Array], Array]:
        total, lost = carry
        step = row - lost
        new = total + step
        return (new, (new - total) - step), new

    start = (jnp.zeros_like(totals[0]), jnp.zeros_like(totals[0]))
    return jax.lax.scan(add, start, totals)[1]


def by_heads(
    some_heads: Callable[..., tuple[Array, ...]], *arrays: Float[Array, "N H ..."]
) -> tuple[Array, ...]:
    """Compute `some_heads(first, *arrays)` for all heads.

    All at once or, where that takes much memory, one head after the other.

    Args:
        some_heads: gets the first head, and of each array `[N, H]` the heads that it is
            to compute; of an array `[N, H, F]` all heads, as `[N * H, F]`, for a copy
            of one head would cost as much as its sums. Gives arrays `[N, h, ...]`.
        arrays: with labels and heads in front.
    """
    largest = max(arrays, key=lambda x: x.size)
    heads = largest.shape[1]
    flat = [x.reshape(-1, x.shape[-1]) if x.ndim == 3 else x for x in arrays]
    if heads == 1 or 4 * largest.size <= HEADS_TOGETHER_BYTES:
        return some_heads(0, *flat)

    def one(head: Int[Array, ""] | int) -> tuple[Array, ...]:
        cut = (
            jax.lax.dynamic_slice_in_dim(x, head, 1, axis=1) if kept.ndim == 2 else x
            for x, kept in zip(flat, arrays, strict=True)
        )
        return some_heads(head, *cut)

    def add(head: Array, found: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(
            jax.lax.dynamic_update_slice_in_dim(x, y, head, axis=1)
            for x, y in zip(found, one(head), strict=True)
        )

    shapes = jax.eval_shape(one, 0)
    empty = tuple(jnp.zeros((x.shape[0], heads, *x.shape[2:]), x.dtype) for x in shapes)
    return jax.lax.fori_loop(0, heads, add, empty)


def pieces_of(labels: int, heads: int, features: int) -> int:
    """In how many a head is to be divided, where one head at a time is large still."""
    if 4 * labels * heads * features <= HEADS_TOGETHER_BYTES:
        return 1
    narrowest = range(min(features, NARROWEST), features + 1)
    return features // min(width for width in narrowest if features % width == 0)


def divide_heads(
    receivers: Float[Array, "N H"],
    senders: Float[Array, "N H"],
    values: Float[Array, "N H F"],
) -> tuple[Float[Array, "N HP"], Float[Array, "N HP"], Float[Array, "N HP G"]]:
    """Wide heads of many labels as several narrow ones with the same scores.

    A sum takes each feature by itself; what is at work at a time is then a piece. Puts
    a head's pieces side by side: the sums, reshaped as the values, are those of heads.
    """
    labels, heads, features = values.shape
    pieces = pieces_of(labels, heads, features)
    if pieces == 1:
        return receivers, senders, values
    narrow = values.reshape(labels, heads * pieces, features // pieces)
    return (
        jnp.repeat(receivers, pieces, axis=1),
        jnp.repeat(senders, pieces, axis=1),
        narrow,
    )
