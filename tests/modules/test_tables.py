"""Categories and numbers -> one vector per row -> outputs of several tasks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE, Task
from labelgraph_jax.modules.mixture import MultiTaskNetwork
from labelgraph_jax.modules.tables import TableEncoder, TableNetwork

CATEGORIES = jnp.array([[0, 2], [1, 0], [2, 3]], jnp.int32)
NUMBERS = jnp.array([[0.5], [-1.0], [2.0]])


ENCODER = TableEncoder((3, 4), 4)
apply = jax.jit(ENCODER.apply)


@functools.cache
def made() -> tuple[TableEncoder, dict]:
    return ENCODER, jax.jit(ENCODER.init)(jax.random.key(0), CATEGORIES, NUMBERS)


@given(
    arrays(np.int32, (3,), elements=st.integers(0, 2)),
    arrays(np.int32, (3,), elements=st.integers(0, 3)),
)
def test_a_row_is_its_categories_vectors_beside_its_numbers(
    first: np.ndarray, second: np.ndarray
) -> None:
    variables = made()[1]
    encoded = np.asarray(apply(variables, np.stack([first, second], 1), NUMBERS))
    table = np.asarray(variables["params"]["embedding"])
    for row in range(3):
        expected = [*table[first[row]], *table[3 + second[row]], *NUMBERS[row]]
        np.testing.assert_array_equal(encoded[row], expected)


def test_eager_and_jit_agree() -> None:
    encoder, variables = made()
    eager = encoder.apply(variables, CATEGORIES, NUMBERS)
    np.testing.assert_array_equal(apply(variables, CATEGORIES, NUMBERS), eager)
    assert eager.shape == (3, 2 * 4 + 1)


def test_an_unseen_category_starts_at_zero_and_the_others_do_not() -> None:
    _, variables = made()
    lengths = np.linalg.norm(variables["params"]["embedding"], axis=1)
    np.testing.assert_array_equal(
        lengths == 0, [True, False, False, True] + [False] * 3
    )


def test_only_the_categories_of_a_batch_have_a_gradient() -> None:
    encoder, variables = made()

    def loss(params: dict) -> jax.Array:
        return jnp.sum(encoder.apply({"params": params}, CATEGORIES[:1], NUMBERS[:1]))

    gradient = jax.grad(loss)(variables["params"])["embedding"]
    np.testing.assert_array_equal(np.flatnonzero(np.any(gradient, axis=1)), [0, 3 + 2])


def test_a_table_without_categories_is_its_numbers() -> None:
    encoder = TableEncoder(())
    variables = encoder.init(jax.random.key(0), CATEGORIES[:, :0], NUMBERS)
    assert not variables
    np.testing.assert_array_equal(
        encoder.apply(variables, CATEGORIES[:, :0], NUMBERS), NUMBERS
    )


def test_another_number_of_columns_is_refused() -> None:
    encoder, variables = made()
    with pytest.raises(ValueError, match=r"must have 2 columns, .*; got 1"):
        encoder.apply(variables, CATEGORIES[:, :1], NUMBERS)
    with pytest.raises(ValueError, match="must be at least 1"):
        TableEncoder((0, 2)).init(jax.random.key(0), CATEGORIES, NUMBERS)


TASKS = (Task("click", "binary"), Task("genre", "multi_class", 3))


def network(*, wide: bool) -> TableNetwork:
    deep = MultiTaskNetwork(TASKS, hidden=(4,), experts=2, towers=())
    return TableNetwork(TableEncoder((3, 4), 2), deep, learn_weights=True, wide=wide)


@functools.cache
def made_network() -> dict:
    init = jax.jit(network(wide=True).init)
    return init(jax.random.key(0), CATEGORIES, NUMBERS)["params"]


def outputs(params: dict, *, wide: bool) -> np.ndarray:
    found = network(wide=wide).apply({"params": params}, CATEGORIES, NUMBERS)
    return np.asarray(found)


def test_the_linear_part_starts_at_zero() -> None:
    params = made_network()
    assert params["wide_categories"].shape == (7, 4)
    assert params[LOG_VARIANCE].shape == (2,)
    np.testing.assert_array_equal(
        outputs(params, wide=True), outputs(params, wide=False)
    )


def test_the_linear_part_adds_a_weight_per_category_and_number() -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(7, 4)).astype(np.float32)
    kernel = generator.normal(size=(1, 4)).astype(np.float32)
    params = made_network() | {"wide_categories": weights, "wide_numbers": kernel}
    added = outputs(params, wide=True) - outputs(params, wide=False)
    for row in range(3):
        first, second = CATEGORIES[row]
        expected = weights[int(first)] + weights[3 + int(second)]
        expected = expected + float(NUMBERS[row, 0]) * kernel[0]
        np.testing.assert_allclose(added[row], expected, rtol=1e-4, atol=1e-5)


def test_a_small_start_gives_large_columns_short_vectors() -> None:
    encoder = TableEncoder((4, 400), 64, small_start=True)
    ids = jnp.zeros((1, 2), jnp.int32)
    variables = jax.jit(encoder.init)(jax.random.key(0), ids, jnp.zeros((1, 0)))
    lengths = np.linalg.norm(variables["params"]["embedding"], axis=1)
    assert lengths[0] == lengths[4] == 0.0
    np.testing.assert_allclose(lengths[1:4].mean(), 0.5, rtol=0.2)
    np.testing.assert_allclose(lengths[5:].mean(), 0.05, rtol=0.05)


def test_columns_of_several_ids_are_the_mean_of_their_vectors() -> None:
    encoder = TableEncoder((3,), dim=2, bags=((4, 3), (5, 2)))
    categories = jnp.array([[1, 2, 3, 0, 4, 0], [2, 0, 0, 0, 1, 1]])
    numbers = jnp.array([[0.5], [1.5]])
    params = encoder.init(jax.random.key(0), categories, numbers)
    table = np.asarray(params["params"]["embedding"])
    assert table.shape == (12, 2)
    found = encoder.apply(params, categories, numbers)
    expected = [
        [*table[1], *(table[3 + 2] + table[3 + 3]) / 2, *table[7 + 4], 0.5],
        [*table[2], 0.0, 0.0, *table[7 + 1], 1.5],
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="must have 6 columns"):
        encoder.init(jax.random.key(0), categories[:, :2], numbers)


def test_the_wide_part_weighs_the_mean_of_several_ids() -> None:
    deep = MultiTaskNetwork(TASKS, hidden=(2,), experts=2, towers=())
    network = TableNetwork(TableEncoder((3,), 2, bags=((4, 3),)), deep, wide=True)
    categories, numbers = jnp.array([[1, 2, 3, 0]]), jnp.zeros((1, 1))
    params = network.init(jax.random.key(0), categories, numbers)["params"]
    before = network.apply({"params": params}, categories, numbers)
    weights = params["wide_categories"].at[3 + 2].set(4.0)
    changed = {**params, "wide_categories": weights}
    after = network.apply({"params": changed}, categories, numbers)
    np.testing.assert_allclose(after - before, 2.0, rtol=1e-5)
