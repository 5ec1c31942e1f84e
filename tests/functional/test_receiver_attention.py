"""The attention of some labels is their rows of everybody's."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from labelgraph_jax.functional.attention import graph_attention
from labelgraph_jax.functional.receiver_attention import receiver_attention
from labelgraph_jax.functional.relu_attention import relu_graph_attention

N, D, H, F = 7, 4, 2, 3
ROWS = np.asarray([5, 0, 3])


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    """Lets a wrong argument reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def inputs(seed: int) -> list[jax.Array]:
    generator = np.random.default_rng(seed)
    shapes = ((N, D), (D, H, F), (H, F), (H, F))
    return [jnp.asarray(generator.normal(size=s), jnp.float32) for s in shapes]


def matrices(seed: int) -> tuple[jax.Array, jax.Array]:
    generator = np.random.default_rng((seed, 1))
    weights = generator.uniform(size=(N, N)) * (generator.random((N, N)) < 0.6)
    return jnp.asarray(weights, jnp.float32), jnp.asarray(weights != 0)


def part(given: dict[str, Any]) -> dict[str, Any]:
    return {name: matrix[ROWS] for name, matrix in given.items()}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("form", ["gat", "relu"])
@pytest.mark.parametrize(
    "role", ["none", "mask", "fixed", "multiplicative", "additive"]
)
def test_the_rows_are_those_of_the_whole_attention(
    form: Any, role: Any, jit: bool
) -> None:
    weights, mask = matrices(3)
    given: dict[str, Any] = {"adjacency": mask}
    if role != "none":
        given["edge_weights"] = weights
    whole = graph_attention if form == "gat" else relu_graph_attention
    _, expected = whole(*inputs(3), role=role, return_attention=True, **given)

    def rows(*arrays: jax.Array) -> jax.Array:
        return receiver_attention(
            *arrays, jnp.asarray(ROWS), form=form, role=role, **part(given)
        )

    found = (jax.jit(rows) if jit else rows)(*inputs(3))
    np.testing.assert_allclose(found, expected[:, ROWS], atol=1e-6)


def test_a_bias_of_each_edge_is_added() -> None:
    bias = jnp.asarray(np.random.default_rng(5).normal(size=(N, N)), jnp.float32)
    _, expected = graph_attention(*inputs(4), edge_bias=bias, return_attention=True)
    found = receiver_attention(
        *inputs(4), jnp.asarray(ROWS), role="additive", edge_bias=bias[ROWS]
    )
    np.testing.assert_allclose(found, expected[:, ROWS], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=1e-6)


def test_no_receiver_gives_no_row() -> None:
    none = jnp.zeros(0, jnp.int32)
    assert receiver_attention(*inputs(1), none).shape == (H, 0, N)


@pytest.mark.usefixtures("shapes_unchecked")
def test_another_form_is_refused() -> None:
    other: Any = "other"
    with pytest.raises(ValueError, match="form must be 'gat' or 'relu', got 'other'"):
        receiver_attention(*inputs(1), jnp.asarray(ROWS), form=other)
