"""Random numbers for one slice of a batch, as the whole batch would draw them.

Under jit a batch that is split over devices draws the same numbers as on one device:
the i-th number depends on the key and on i alone. Under pmap a device sees its own rows
only; a `slice_key` says which rows these are.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import random as extend
from jax.typing import ArrayLike
from jaxtyping import Array, Int, Key

_BASE = "threefry2x32"
_NARROW = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}


def slice_key(key: Key[Array, ""], index: Int[Array, ""] | int) -> Key[Array, ""]:
    """A key whose draws are the `index`-th slice of what `key` draws.

        draw(slice_key(key, i), [b, ...]) = draw(key, [n b, ...])[i b : (i + 1) b]

    for any n > i, with what `jax.random` draws entry by entry (bits, uniform,
    bernoulli, normal). Splitting and folding in keep the slice.

    Args:
        key: of the implementation threefry2x32, JAX's own default.
        index: which slice; it may be traced.

    Raises:
        ValueError: a key of another implementation, or JAX draws in an order of its
            own (`jax_threefry_partitionable` is off).
    """
    partitionable = bool(jax.config.values["jax_threefry_partitionable"])
    if jax.random.key_impl(key) != _BASE or not partitionable:
        found = jax.random.key_impl(key)
        found = "slice" if found == _SLICED else found
        raise ValueError(
            f"slice_key needs a {_BASE} key and jax_threefry_partitionable; got a "
            f"{found} key, jax_threefry_partitionable={partitionable}"
        )
    place = jnp.asarray(index, jnp.uint32)[None]
    data = jnp.concatenate([jax.random.key_data(key), place])
    return jax.random.wrap_key_data(data, impl=_SLICED)


def whole_key(key: Key[Array, ""]) -> Key[Array, ""]:
    """The key of a `slice_key`, for what all slices share; any other key as it is."""
    if jax.random.key_impl(key) != _SLICED:
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key)[..., :2], impl=_BASE)


def _base_key(data: Array) -> Array:
    return jax.random.wrap_key_data(data[:2], impl=_BASE)


def _split(data: Array, shape: tuple[int, ...]) -> Array:
    keys = jax.random.key_data(jax.random.split(_base_key(data), shape))
    place = jnp.broadcast_to(data[2], (*shape, 1))
    return jnp.concatenate([keys, place], axis=-1)


def _fold_in(data: Array, number: ArrayLike) -> Array:
    folded = jax.random.key_data(jax.random.fold_in(_base_key(data), number))
    return jnp.concatenate([folded, data[2:]])


def _random_bits(data: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    size = math.prod(shape)
    if size >= 1 << 32:
        raise ValueError(f"a slice draws fewer than 2^32 numbers at once, got {size}")
    high, low = _product(data[2], size)
    within = jax.lax.iota(jnp.uint32, size)
    count = low + within
    carried = high + (count < within).astype(jnp.uint32)
    drawn = extend.threefry_2x32(data[:2], jnp.concatenate([carried, count]))
    first, second = drawn[:size].reshape(shape), drawn[size:].reshape(shape)
    if bit_width == 64:
        wide = first.astype(jnp.uint64) << jnp.uint64(32)
        return wide | second.astype(jnp.uint64)
    return (first ^ second).astype(_NARROW[bit_width])


def _product(index: Array, size: int) -> tuple[Array, Array]:
    """`index * size` as two 32-bit halves; index < 2^16."""
    low_part = index * jnp.uint32(size & 0xFFFF)  # below 2^32
    high_part = index * jnp.uint32(size >> 16)  # in units of 2^16
    low = low_part + (high_part << 16)
    carry = (low < low_part).astype(jnp.uint32)
    return (high_part >> 16) + carry, low


_SLICED: Any = extend.define_prng_impl(
    key_shape=(3,),
    seed=lambda seed: jnp.concatenate(
        [jax.random.key_data(jax.random.key(seed)), jnp.zeros(1, jnp.uint32)]
    ),
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="labelgraph_slice",
    tag="lgs",
)
