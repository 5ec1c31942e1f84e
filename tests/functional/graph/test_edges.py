"""A label graph as a list of edges, and attention over it."""

from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.attention import sparse as sparse_attention
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    relu_graph_attention,
)
from labelgraph_jax.functional.graph.adjacency import taxonomy_adjacency
from labelgraph_jax.functional.graph.convolution import graph_convolution
from labelgraph_jax.functional.graph.edges import (
    Edges,
    adjacency_from_edges,
    check_edge_list,
    edges_from_adjacency,
    edges_from_pairs,
    make_edges,
)
from tests.examples import examples
from tests.functional.attention.test_attention import (
    HEADS,
    SIZE,
    some_edges,
    some_weights,
)
from tests.reference import attention as reference
from tests.reference import convolution as convolution_reference

ROLES = ("additive", "multiplicative", "fixed", "mask", "none")
FORMS = {
    graph_attention: reference.graph_attention,
    relu_graph_attention: reference.relu_graph_attention,
}


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def some_matrix() -> np.ndarray:
    """Signed weights, one label that receives nothing."""
    matrix = np.array(some_edges())
    matrix[3] = 0.0
    return matrix


@examples(8)
@given(st.integers(1, 6), st.integers(0, 99))
def test_a_matrix_is_its_list_of_edges(n: int, seed: int) -> None:
    matrix = np.asarray(some_edges(seed, n))
    edges = edges_from_adjacency(matrix)
    assert len(edges.weights) == np.count_nonzero(matrix)
    np.testing.assert_array_equal(adjacency_from_edges(edges, n), matrix)
    shuffled = np.random.default_rng(seed).permutation(len(edges.weights))
    again = make_edges(*(np.asarray(x)[shuffled] for x in edges), n=n)
    for one, other in zip(edges, again, strict=True):
        np.testing.assert_array_equal(one, other)


@examples(8)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6))
def test_the_edges_of_a_taxonomy_are_its_adjacency(pairs: list) -> None:
    parents = np.asarray(pairs, np.int64).reshape(-1, 2)
    found = adjacency_from_edges(edges_from_pairs(parents, 5), 5)
    np.testing.assert_array_equal(found, taxonomy_adjacency(parents, 5))


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("form", FORMS)
def test_attention_over_edges_is_the_reference_over_the_matrix(
    form, role: str, jitted: bool
) -> None:
    matrix, (nodes, kernel, receiver, sender) = some_matrix(), some_weights()
    expected, _ = FORMS[form](
        *(np.asarray(x, float) for x in (nodes, kernel)),
        np.concatenate([receiver, sender], axis=1).astype(float),
        adjacency=matrix,
        edge_weights=matrix.astype(float),
        role=role,
    )

    def run(edges: Edges) -> jax.Array:
        return form(nodes, kernel, receiver, sender, edges=edges, role=role)

    found = (jax.jit(run) if jitted else run)(edges_from_adjacency(matrix))
    assert found.shape == (len(nodes), HEADS, SIZE)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[3], np.zeros((HEADS, SIZE)))


@pytest.mark.parametrize(
    ("form", "role"),
    [(graph_attention, role) for role in ROLES] + [(relu_graph_attention, "additive")],
)
def test_the_gradients_over_edges_are_those_over_the_matrix(
    form, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three edges at once, the last block not full.
    monkeypatch.setattr(sparse_attention, "EDGE_BYTES", 3 * 4 * HEADS * SIZE)
    matrix, arrays = some_matrix(), some_weights()
    edges = edges_from_adjacency(matrix)

    def by_edges(weights, *arrays):
        listed = edges._replace(weights=weights)
        return jnp.sum(jnp.sin(form(*arrays, edges=listed, role=role)))

    def by_matrix(weights, *arrays):
        options = {"adjacency": jnp.asarray(matrix), "edge_weights": weights}
        return jnp.sum(jnp.sin(form(*arrays, **options, role=role)))

    every = tuple(range(5))
    found = jax.jit(jax.grad(by_edges, every))(edges.weights, *arrays)
    expected = jax.grad(by_matrix, every)(jnp.asarray(matrix), *arrays)
    of_edges = expected[0][edges.receivers, edges.senders]
    for one, other in zip(found, (of_edges, *expected[1:]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_bias_per_edge_is_learned_and_a_list_may_be_empty() -> None:
    matrix, arrays = jnp.asarray(some_matrix()), some_weights()
    edges = edges_from_adjacency(matrix != 0)
    bias = jnp.linspace(-1.0, 1.0, len(edges.weights))

    def run(bias):
        return graph_attention(*arrays, edges=edges, edge_bias=bias)

    square = adjacency_from_edges(edges._replace(weights=bias), len(matrix))
    expected = graph_attention(*arrays, adjacency=matrix, edge_bias=square)
    np.testing.assert_allclose(run(bias), expected, atol=1e-5)
    gradient = jax.grad(lambda b: (run(b) ** 2).sum())(bias)
    assert (jnp.abs(gradient) > 0).mean() > 0.8
    nothing = make_edges(np.zeros(0, int), np.zeros(0, int), n=len(matrix))
    assert not graph_attention(*arrays, edges=nothing).any()


@pytest.mark.parametrize("jitted", [False, True])
def test_convolution_over_edges_is_the_reference_over_the_matrix(jitted: bool) -> None:
    matrix = some_matrix()
    nodes, kernel = (np.asarray(x) for x in some_weights()[:2])
    expected = convolution_reference.graph_convolution(nodes, kernel[:, 0], matrix)
    run = jax.jit(graph_convolution) if jitted else graph_convolution
    edges = edges_from_adjacency(matrix)
    found = run(jnp.asarray(nodes), jnp.asarray(kernel[:, 0]), edges)
    np.testing.assert_allclose(found, expected, atol=1e-5)

    inputs = (jnp.asarray(nodes), jnp.asarray(kernel[:, 0]))
    one = jax.grad(lambda w: run(*inputs, edges._replace(weights=w))[0].sum())
    other = jax.grad(lambda w: run(*inputs, w)[0].sum())
    of_edges = other(jnp.asarray(matrix))[edges.receivers, edges.senders]
    np.testing.assert_allclose(one(edges.weights), of_edges, atol=1e-5)


def test_edges_drop_out_at_their_rate_and_the_mean_stays() -> None:
    n = 30
    arrays = some_weights(labels=n)
    edges = edges_from_adjacency(np.ones((n, n)))

    @partial(jax.jit, static_argnums=0)
    def run(rate: float, key: int = 0) -> jax.Array:
        return graph_attention(
            *arrays, edges=edges, dropout_rate=rate, key=jax.random.key(key)
        )

    assert jnp.abs(run(0.5) - run(0.5, 1)).max() > 1e-3
    np.testing.assert_array_equal(run(0.5), run(0.5))
    mean = jnp.stack([run(0.5, key) for key in range(60)]).mean(axis=0)
    assert jnp.abs(mean - run(0.0)).mean() < 0.1


def test_what_is_no_list_of_edges_is_refused(shapes_unchecked) -> None:
    good = make_edges([0, 0, 2], [0, 1, 1], n=3)

    def changed(**arrays: list) -> Edges:
        return good._replace(**{k: jnp.asarray(v) for k, v in arrays.items()})

    for edges, message in (
        (
            changed(senders=[0, 1, 3]),
            "edges.senders .* 0..2, got 3 at edge 2",
        ),
        (changed(receivers=[-1, 0, 2]), "edges.receivers .* got -1 at edge 0"),
        (changed(receivers=[0, 2, 1]), "sorted by receiver, got 1 after 2 at edge 2"),
        (changed(receivers=[2, 2, 2]), "got 2 <- 1 more than once"),
        (changed(weights=[1.0]), r"one shape \[edges\], got \(3,\), \(3,\), \(1,\)"),
        (changed(senders=[0.0, 1.0, 1.0]), "edges.senders must hold integers"),
    ):
        with pytest.raises(ValueError, match=message):
            check_edge_list(edges, 3)
    with pytest.raises(ValueError, match="got 1 <- 2 more than once"):
        make_edges([1, 0, 1], [2, 0, 2], n=3)
    with pytest.raises(ValueError, match=r"\[labels, labels\], got \(2, 3\)"):
        edges_from_adjacency(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"0..2, got 0..3"):
        edges_from_pairs([[0, 3]], 3)
    with pytest.raises(ValueError, match="at least 1 label"):
        edges_from_pairs(np.zeros((0, 2), int), 0)
    with pytest.raises(ValueError, match=r"parents must have shape \[edges, 2\]"):
        edges_from_pairs([0, 1], 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dense"}, "cannot do a list of edges; methods that can: sparse"),
        ({"method": "complete"}, "a list of edges; methods that can: sparse"),
        ({"return_attention": True}, "no method can do both a list of edges and"),
        ({"adjacency": some_edges()}, "adjacency must be None beside edges"),
        ({"edge_weights": some_edges()}, "edge_weights must be None beside edges"),
        ({"edge_bias": jnp.ones(2)}, r"edge_bias must have shape \(\d+,\)"),
        ({"edge_factors": (jnp.ones((5, 1)),) * 2}, "edge_factors must be None beside"),
    ],
)
def test_what_does_not_go_with_edges_is_named(
    options: dict, message: str, shapes_unchecked
) -> None:
    edges = edges_from_adjacency(some_matrix())
    with pytest.raises(ValueError, match=message):
        graph_attention(*some_weights(), edges=edges, **options)


def test_without_a_list_the_sparse_method_names_those_that_can() -> None:
    message = "cannot do a graph that is no list of edges; methods that can: dense"
    for form in FORMS:
        with pytest.raises(ValueError, match=message):
            form(*some_weights(), role="none", method="sparse")
