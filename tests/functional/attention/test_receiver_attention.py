"""Rows of attention equal the rows of the whole, in every form and role."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labelgraph_jax.functional.attention.forms import graph_attention_v2
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    relu_graph_attention,
)
from labelgraph_jax.functional.attention.receivers import (
    receiver_attention,
    receiver_convolution,
    receiver_scores,
    receiver_scores_v2,
)
from labelgraph_jax.functional.graph.convolution import graph_convolution
from labelgraph_jax.functional.graph.edges import edges_from_adjacency

ROLES = ("additive", "multiplicative", "fixed", "mask", "none")
ASKED = jnp.array([3, 0])


def draw(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


NODES, KERNEL, OTHER = draw(0, 5, 4), draw(1, 4, 3, 2), draw(2, 4, 3, 2)
LEFT, RIGHT = draw(3, 3, 2), draw(4, 3, 2)
WEIGHTS = jnp.abs(draw(5, 5, 5)) * (draw(6, 5, 5) > -0.5) + jnp.eye(5)
INPUTS = (NODES, KERNEL, LEFT, RIGHT)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("role", ROLES)
def test_rows_are_those_of_the_whole_matrix(role: str, wrap) -> None:
    edges = {"role": role, "edge_weights": WEIGHTS}
    whole = {
        "gat": graph_attention(*INPUTS, return_attention=True, **edges)[1],
        "relu": relu_graph_attention(*INPUTS, return_attention=True, **edges)[1],
        "gatv2": graph_attention_v2(
            NODES, OTHER, KERNEL, LEFT, return_attention=True, **edges
        )[1],
    }
    for form, expected in whole.items():

        def rows(asked, form=form):
            if form == "gatv2":
                scores = receiver_scores_v2(asked, NODES, OTHER, KERNEL, LEFT)
            else:
                scores = receiver_scores(asked, *INPUTS)
            return receiver_attention(asked, scores, form=form, **edges)

        found = wrap(rows)(ASKED)
        np.testing.assert_allclose(found, expected[:, ASKED], atol=1e-6)


@pytest.mark.parametrize("role", ROLES)
def test_of_a_list_of_edges_they_gather_what_the_list_does(role: str) -> None:
    edges = edges_from_adjacency(WEIGHTS)
    projected = jnp.einsum("nd,dhf->nhf", NODES, KERNEL)
    for form, function in (("gat", graph_attention), ("relu", relu_graph_attention)):
        expected = function(*INPUTS, role=role, edges=edges, method="sparse")[ASKED]
        rows = receiver_attention(
            ASKED, receiver_scores(ASKED, *INPUTS), form=form, role=role, edges=edges
        )
        found = jnp.einsum("hrn,nhf->rhf", rows, projected)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_learned_bias_and_factors_enter_as_in_the_whole() -> None:
    scores = receiver_scores(ASKED, *INPUTS)
    bias = draw(7, 5, 5)
    found = receiver_attention(ASKED, scores, edge_bias=bias)
    whole = graph_attention(*INPUTS, edge_bias=bias, return_attention=True)[1]
    np.testing.assert_allclose(found, whole[:, ASKED], atol=1e-6)
    factors = jnp.abs(draw(8, 5, 2)), jnp.abs(draw(9, 5, 2))
    found = receiver_attention(ASKED, scores, edge_factors=factors)
    whole = graph_attention(*INPUTS, edge_factors=factors, return_attention=True)[1]
    np.testing.assert_allclose(found, whole[:, ASKED], atol=1e-6)


def test_the_rows_of_a_convolution_are_what_it_weighs_by() -> None:
    kernel = draw(10, 4, 2)
    expected = graph_convolution(NODES, kernel, WEIGHTS)[ASKED]
    for graph in (WEIGHTS, edges_from_adjacency(WEIGHTS)):
        (rows,) = receiver_convolution(ASKED, graph, 5)
        np.testing.assert_allclose(rows @ (NODES @ kernel), expected, atol=1e-5)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form must be gat, gatv2 or relu, got 'gcn'"):
        receiver_attention(ASKED, receiver_scores(ASKED, *INPUTS), form="gcn")
