"""A slice key draws its slice of what the key itself draws for the whole batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labelgraph_jax.functional.slice_keys import _product, slice_key, whole_key
from tests.examples import examples

Draw = Callable[[jax.Array, tuple[int, ...]], jax.Array]

DRAWS: dict[str, Draw] = {
    "bits of 8": partial(jax.random.bits, dtype=jnp.uint8),
    "bits of 16": partial(jax.random.bits, dtype=jnp.uint16),
    "bits of 32": partial(jax.random.bits, dtype=jnp.uint32),
    "bernoulli": lambda key, shape: jax.random.bernoulli(key, 0.3, shape),
    "uniform": jax.random.uniform,
    "normal": jax.random.normal,
    "half normal": partial(jax.random.normal, dtype=jnp.bfloat16),
}


WHOLE = 288


@jax.jit
def whole(key: jax.Array) -> dict[str, jax.Array]:
    """Draws so many numbers in a row: a shape only arranges them."""
    return {name: draw(key, (WHOLE,)) for name, draw in DRAWS.items()}


@jax.jit
def slices(key: jax.Array, index: jax.Array) -> dict[str, jax.Array]:
    """Every draw of a slice of six numbers."""
    ours = slice_key(key, index)
    return {name: draw(ours, (3, 2)) for name, draw in DRAWS.items()}


def cut(name: str, key: jax.Array, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """The slice, cut out of what the key draws for the whole batch."""
    size = int(np.prod(shape))
    assert (index + 1) * size <= WHOLE
    numbers = np.asarray(whole(key)[name])
    return numbers[index * size : (index + 1) * size].reshape(shape)


def same(left: Any, right: Any) -> None:
    assert left.dtype == right.dtype
    assert np.asarray(left).tobytes() == np.asarray(right).tobytes()


def threefry(key: tuple[int, int], high: int, low: int) -> tuple[int, int]:
    """Threefry 2x32 in 20 rounds, from the paper (Salmon et al., SC 2011)."""
    mask = 0xFFFFFFFF
    keys = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (high + keys[0]) & mask, (low + keys[1]) & mask
    for group in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            x = (x + y) & mask
            y = (((y << turn) | (y >> (32 - turn))) & mask) ^ x
        x = (x + keys[(group + 1) % 3]) & mask
        y = (y + keys[(group + 2) % 3] + group + 1) & mask
    return x, y


@examples(12)
@given(index=st.integers(0, 47), seed=st.integers(0, 2**32 - 1))
def test_every_draw_of_a_traced_slice_is_the_slice_of_the_whole(
    index: int, seed: int
) -> None:
    key = jax.random.key(seed)
    for name, drawn in slices(key, jnp.int32(index)).items():
        same(drawn, cut(name, key, index, (3, 2)))


@examples(4)
@given(
    name=st.sampled_from(["bernoulli", "normal", "uniform"]),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple),
    index=st.integers(0, 17),
)
@example(name="uniform", shape=(0, 3), index=2)
@example(name="uniform", shape=(2, 1, 3), index=2)
def test_a_slice_has_whatever_shape(
    name: str, shape: tuple[int, ...], index: int
) -> None:
    key = jax.random.key(index)
    same(DRAWS[name](slice_key(key, index), shape), cut(name, key, index, shape))


def test_a_single_number_is_the_entry_of_a_row() -> None:
    key = jax.random.key(5)
    assert jax.random.uniform(slice_key(key, 6)) == whole(key)["uniform"][6]


def test_wide_bits_are_both_halves() -> None:
    key = jax.random.key(9)

    @jax.jit
    def both(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        drawn = jax.random.bits(slice_key(key, 2), (3,), jnp.uint64)
        return drawn, jax.random.bits(key, (9,), jnp.uint64)[6:]

    with jax.enable_x64(True):
        same(*both(key))


def test_splitting_and_folding_in_keep_the_slice() -> None:
    ours, base = slice_key(jax.random.key(1), 2), jax.random.key(1)
    ours, base = jax.random.fold_in(ours, 8), jax.random.fold_in(base, 8)
    same(jax.random.uniform(ours, (3, 2)), cut("uniform", base, 2, (3, 2)))
    many, of_base = jax.random.split(ours, (2, 3)), jax.random.split(base, (2, 3))
    assert many.shape == (2, 3)
    drawn = jax.random.uniform(many[1, 2], (3, 2))
    same(drawn, cut("uniform", of_base[1, 2], 2, (3, 2)))


def test_vmap_and_scan_over_the_index_give_the_whole() -> None:
    key = jax.random.key(4)

    def draw(index: jax.Array) -> jax.Array:
        return jax.random.normal(slice_key(key, index), (2, 3))

    @jax.jit
    def draws(key: jax.Array) -> tuple[jax.Array, ...]:
        scanned = jax.lax.scan(lambda carry, i: (carry, draw(i)), 0, jnp.arange(4))[1]
        return jax.random.normal(key, (8, 3)), jax.vmap(draw)(jnp.arange(4)), scanned

    batch, mapped, scanned = draws(key)
    for rows in (mapped, scanned):
        same(np.asarray(rows).reshape(8, 3), batch)


def test_the_key_of_the_whole_is_the_base_key() -> None:
    key = jax.random.key(11)
    for index in (0, 5):
        assert bool(jnp.all(whole_key(slice_key(key, index)) == key))
    folded = jax.random.fold_in(slice_key(key, 5), 2)
    assert bool(jnp.all(whole_key(folded) == jax.random.fold_in(key, 2)))
    keys = jax.random.split(slice_key(key, 5), 3)
    assert bool(jnp.all(jax.vmap(whole_key)(keys) == jax.random.split(key, 3)))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_the_key_of_the_whole_of_a_plain_key_is_that_key(implementation: str) -> None:
    key = jax.random.key(11, impl=implementation)
    assert whole_key(key) is key


def test_a_key_of_another_implementation_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"needs a threefry2x32 key and jax_threefry_partitionable; got a rbg "
        "key, jax_threefry_partitionable=True",
    ):
        slice_key(jax.random.key(0, impl="rbg"), 1)


def test_a_slice_of_a_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a threefry2x32 key"):
        slice_key(slice_key(jax.random.key(0), 1), 1)


def test_an_order_of_jax_s_own_is_refused() -> None:
    key = jax.random.key(0)
    with (
        jax.threefry_partitionable(False),
        pytest.raises(ValueError, match="jax_threefry_partitionable=False"),
    ):
        slice_key(key, 1)


def test_more_numbers_than_a_slice_can_count_are_refused() -> None:
    draw = partial(jax.random.bits, shape=(1 << 16, 1 << 16), dtype=jnp.uint8)
    with pytest.raises(ValueError, match=r"fewer than 2\^32 numbers .*got 4294967296"):
        jax.jit(draw).lower(slice_key(jax.random.key(0), 1))


@examples(60)
@given(index=st.integers(0, 2**16 - 1), size=st.integers(0, 2**32 - 1))
@example(index=2**16 - 1, size=2**32 - 1)
@example(index=1, size=2**32 - 1)
@example(index=2**15, size=2**17)
def test_a_product_past_32_bits_is_that_of_whole_numbers(index: int, size: int) -> None:
    high, low = _product(jnp.uint32(index), size)
    assert (int(high) << 32) + int(low) == index * size


def test_counts_that_cross_32_bits_go_on_in_the_upper_half() -> None:
    key, rows, index = jax.random.key(42), 70_000, 61_356
    assert index * rows < 2**32 < (index + 1) * rows
    drawn = np.asarray(jax.random.bits(slice_key(key, index), (rows // 7, 7)))
    drawn = drawn.reshape(-1)
    base = tuple(int(half) for half in jax.random.key_data(key))
    crossing = 2**32 - index * rows
    for place in (0, 1, crossing - 1, crossing, crossing + 1, rows - 1):
        high, low = divmod(index * rows + place, 2**32)
        first, second = threefry((base[0], base[1]), high, low)
        assert int(drawn[place]) == first ^ second
