"""Rows of a table -> outputs of several tasks, with a linear part beside."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.magnet import LOG_VARIANCE
from labelgraph_jax.modules.mixture import MultiTaskNetwork
from labelgraph_jax.modules.table_encoder import TableEncoder
from labelgraph_jax.modules.table_network import TableNetwork

CATEGORIES = jnp.array([[0, 2], [1, 0], [2, 3]], jnp.int32)
NUMBERS = jnp.array([[0.5], [-1.0], [2.0]])
TASKS = (Task("click", "binary"), Task("genre", "multi_class", 3))


def network(*, wide: bool) -> TableNetwork:
    deep = MultiTaskNetwork(TASKS, hidden=(4,), experts=2, towers=())
    return TableNetwork(TableEncoder((3, 4), 2), deep, learn_weights=True, wide=wide)


@functools.cache
def made() -> dict:
    init = jax.jit(network(wide=True).init)
    return init(jax.random.key(0), CATEGORIES, NUMBERS)["params"]


def outputs(params: dict, *, wide: bool) -> np.ndarray:
    found = network(wide=wide).apply({"params": params}, CATEGORIES, NUMBERS)
    return np.asarray(found)


def test_the_linear_part_starts_at_zero() -> None:
    params = made()
    assert params["wide_categories"].shape == (7, 4)
    assert params[LOG_VARIANCE].shape == (2,)
    np.testing.assert_array_equal(
        outputs(params, wide=True), outputs(params, wide=False)
    )


def test_the_linear_part_adds_a_weight_per_category_and_number() -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(7, 4)).astype(np.float32)
    kernel = generator.normal(size=(1, 4)).astype(np.float32)
    params = made() | {"wide_categories": weights, "wide_numbers": kernel}
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
