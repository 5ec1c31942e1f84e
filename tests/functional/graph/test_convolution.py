import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelgraph_jax.functional.graph.convolution import (
    gated_convolution,
    graph_convolution,
    normalise_adjacency,
)
from labelgraph_jax.functional.graph.edges import edges_from_adjacency
from tests.examples import examples
from tests.reference import convolution as reference

LABELS, FEATURES, SIZE = 5, 4, 3
few_examples = examples(20)
weights = st.one_of(st.just(0.0), st.floats(-1e3, 1e3, width=32, allow_subnormal=False))
signed = hnp.arrays(np.float32, (LABELS, LABELS), elements=weights)
convolve = jax.jit(graph_convolution)


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def drawn(seed=0):
    """Nodes, kernel, and a signed adjacency with some zeros."""
    rng = np.random.default_rng(seed)
    nodes, kernel = (
        rng.normal(size=(LABELS, FEATURES)),
        rng.normal(size=(FEATURES, SIZE)),
    )
    adjacency = rng.normal(size=(LABELS, LABELS))
    adjacency *= rng.random((LABELS, LABELS)) < 0.7
    return tuple(jnp.asarray(x, jnp.float32) for x in (nodes, kernel, adjacency))


@few_examples
@given(signed)
def test_the_normalised_adjacency_equals_the_loop_and_makes_no_vector_longer(adjacency):
    found = np.asarray(normalise_adjacency(adjacency))
    np.testing.assert_allclose(
        found, reference.normalise_adjacency(adjacency.astype(float)), atol=1e-5
    )
    assert np.linalg.norm(found.astype(float), 2) <= 1 + 1e-5


def test_a_symmetric_adjacency_is_divided_by_the_roots_of_the_degrees():
    # A path of three labels, each with itself: Kipf and Welling's A + I.
    adjacency = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    roots = np.diag(adjacency.sum(axis=1) ** -0.5)
    np.testing.assert_allclose(
        normalise_adjacency(adjacency), roots @ adjacency @ roots, rtol=1e-6
    )


def test_a_label_that_receives_nothing_still_sends_and_gradients_are_finite():
    nodes, kernel, adjacency = drawn()
    adjacency = adjacency.at[1].set(0.0).at[:, 3].set(0.0).at[2, 1].set(0.5)

    def total(nodes, kernel, adjacency):
        out = graph_convolution(nodes, kernel, adjacency)
        return (out**2).sum(), out

    gradients, out = jax.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(
        nodes, kernel, adjacency
    )
    np.testing.assert_array_equal(out[1], np.zeros(SIZE))
    assert (gradients[0][1] != 0).any(), "label 2 receives from label 1"
    np.testing.assert_array_equal(gradients[0][3], np.zeros(FEATURES))
    for gradient in gradients:
        assert jnp.isfinite(gradient).all()
        assert (gradient != 0).any()


def test_no_edge_at_all_gives_zeros():
    nodes, kernel, _ = drawn()
    out = convolve(nodes, kernel, jnp.zeros((LABELS, LABELS)))
    np.testing.assert_array_equal(out, np.zeros((LABELS, SIZE)))


@few_examples
@given(st.integers(0, 99), st.permutations(range(LABELS)))
def test_graph_convolution_equals_the_loop_and_permutes_with_the_labels(seed, order):
    order = np.array(order)
    nodes, kernel, adjacency = drawn(seed)
    out = convolve(nodes, kernel, adjacency)
    expected = reference.graph_convolution(
        *(np.asarray(x, float) for x in (nodes, kernel, adjacency))
    )
    np.testing.assert_allclose(out, expected, atol=1e-5)
    moved = convolve(nodes[order], kernel, adjacency[order][:, order])
    np.testing.assert_allclose(moved, out[order], atol=1e-5)


@few_examples
@given(st.integers(0, 99))
def test_senders_are_weighed_by_their_gates(seed):
    nodes, kernel, adjacency = drawn(seed)
    rng = np.random.default_rng(seed)
    sizes = nodes.shape[1], len(nodes)
    gate_kernel, bias = (jnp.asarray(rng.normal(size=n), jnp.float32) for n in sizes)
    out = jax.jit(gated_convolution)(nodes, kernel, adjacency, gate_kernel, bias)
    doubles = np.asarray(nodes, float)
    sent = [
        row / (1 + np.exp(-(row @ np.asarray(gate_kernel, float) + float(b))))
        for row, b in zip(doubles, bias, strict=True)
    ]
    expected = reference.graph_convolution(
        np.array(sent), *(np.asarray(x, float) for x in (kernel, adjacency))
    )
    np.testing.assert_allclose(out, expected, atol=1e-5)
    matrix = np.abs(np.asarray(adjacency))
    graph = edges_from_adjacency(matrix)
    listed = gated_convolution(nodes, kernel, graph, gate_kernel, bias)
    whole = gated_convolution(nodes, kernel, jnp.asarray(matrix), gate_kernel, bias)
    np.testing.assert_allclose(listed, whole, atol=1e-5)


def test_the_identity_passes_every_label_its_own_projection():
    nodes, kernel, _ = drawn()
    out = graph_convolution(nodes, kernel, jnp.eye(LABELS, dtype=int))
    np.testing.assert_allclose(out, nodes @ kernel, rtol=1e-6)


def test_graph_convolution_is_the_same_eager_and_jitted_and_keeps_bfloat16():
    arrays = drawn()
    out = graph_convolution(*arrays)
    np.testing.assert_allclose(out, convolve(*arrays), atol=1e-6)
    nodes, kernel = (x.astype(jnp.bfloat16) for x in arrays[:2])
    rounded = convolve(nodes, kernel, arrays[2])
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded.astype(jnp.float32), out, atol=0.05)


@pytest.mark.usefixtures("shapes_unchecked")
def test_wrong_shapes_are_named():
    nodes, kernel, adjacency = drawn()
    with pytest.raises(ValueError, match=r"\[labels, labels\], got \(2, 3\)"):
        normalise_adjacency(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"nodes must have .* got \(5,\)"):
        graph_convolution(nodes[:, 0], kernel, adjacency)
    with pytest.raises(ValueError, match=r"kernel must have shape \[4, new.* \(3, 3\)"):
        graph_convolution(nodes, kernel[:3], adjacency)
    with pytest.raises(ValueError, match=r"adjacency must have shape \(5, 5\)"):
        graph_convolution(nodes, kernel, adjacency[:4])
