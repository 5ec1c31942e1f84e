"""Edges that are NaN or minus infinity, whichever way attention is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg
from tests.functional.test_every_function import as_users_call

__all__ = ["as_users_call"]  # of every test here

F = lg.functional
LABELS, FEATURES, HEADS = 5, 3, 2


def arrays(labels: int = LABELS) -> tuple[jax.Array, ...]:
    rng = np.random.default_rng(0)
    shapes = ((labels, FEATURES), (FEATURES, HEADS, 2), (HEADS, 2), (HEADS, 2))
    return tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)


def listed(weights: np.ndarray) -> F.Edges:
    return F.make_edges(*np.divmod(np.arange(LABELS**2), LABELS), weights.ravel(), n=5)


def attended(method: str, **edges: np.ndarray) -> jax.Array:
    if method == "v2":
        nodes, kernel, vector, _ = arrays()
        return F.graph_attention_v2(nodes, kernel, kernel, vector, **edges)
    if method == "sparse":
        bias = edges.pop("edge_bias", None)
        weights = edges.pop("edge_weights", np.ones((LABELS, LABELS), np.float32))
        bias = None if bias is None else jnp.asarray(bias).ravel()
        return F.graph_attention(
            *arrays(), edges=listed(weights), edge_bias=bias, method=method, **edges
        )
    return F.graph_attention(*arrays(), method=method, **edges)


@pytest.mark.parametrize("role", ["additive", "multiplicative", "fixed", "mask"])
@pytest.mark.parametrize("method", ["dense", "blocked", "sparse", "v2"])
def test_a_weight_that_is_nan_reaches_its_receiver_and_no_other(method, role):
    weights = np.ones((LABELS, LABELS), np.float32)
    weights[1, 2] = np.nan
    found = np.isnan(np.asarray(attended(method, edge_weights=weights, role=role)))
    assert found[1].any()
    assert not found[[0, 2, 3, 4]].any()


@pytest.mark.parametrize("method", ["dense", "blocked", "v2"])
def test_an_adjacency_that_is_nan_is_no_edge_either(method):
    adjacency = np.ones((LABELS, LABELS), np.float32)
    adjacency[1, 2] = np.nan
    found = np.isnan(np.asarray(attended(method, adjacency=adjacency)))
    assert found[1].all() and not found[0].any()


@pytest.mark.parametrize("method", ["dense", "blocked", "sparse", "v2"])
def test_a_bias_of_minus_infinity_is_no_edge_and_a_row_of_it_no_neighbour(method):
    bias = np.zeros((LABELS, LABELS), np.float32)
    bias[1] = bias[2, 3] = -np.inf
    found = attended(method, edge_bias=bias)
    mask = np.where(np.isinf(bias), 0, 1)
    expected = (
        attended(method, adjacency=mask)
        if method != "sparse"
        else attended("dense", adjacency=mask)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.asarray(found[1]).any()
    gradient = jax.grad(lambda b: (attended(method, edge_bias=b) ** 2).sum())(
        jnp.asarray(bias)
    )
    assert np.isfinite(gradient).all()


def test_receivers_see_the_same_bias():
    bias = np.full((LABELS, LABELS), -np.inf, np.float32)
    bias[0, 0] = 0
    scores = jnp.zeros((1, 2, LABELS))
    rows = F.receiver_attention(np.array([0, 1]), scores, edge_bias=jnp.asarray(bias))
    np.testing.assert_array_equal(rows[0], [[1, 0, 0, 0, 0], [0] * 5])


@pytest.mark.parametrize("labels", [128, 200])
def test_many_labels_are_attended_to_in_float64_as_in_float32(labels):
    expected = F.graph_attention(*arrays(labels))
    factors = (jnp.ones((labels, 1)), jnp.ones((labels, 1)))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        wide = [np.asarray(x, np.float64) for x in arrays(labels)]
        found = F.graph_attention(*map(jnp.asarray, wide))
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        gradient = jax.grad(
            lambda x: F.graph_attention(x, *map(jnp.asarray, wide[1:])).sum()
        )(jnp.asarray(wide[0]))
        assert np.isfinite(gradient).all()
        F.graph_attention(*arrays(labels), edge_factors=factors, method="complete")
        F.relu_graph_attention(*map(jnp.asarray, wide), role="none")


def test_no_label_at_all_is_refused_by_every_method():
    for method in ("dense", "complete", "blocked", "sparse"):
        edges = F.Edges(*(jnp.zeros(0, jnp.int32),) * 2, jnp.zeros(0))
        given = {"edges": edges} if method == "sparse" else {}
        with pytest.raises(ValueError, match="at least 1 label"):
            F.graph_attention(*arrays(0), method=method, **given)
