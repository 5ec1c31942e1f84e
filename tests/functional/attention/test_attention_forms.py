import functools
import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelgraph_jax.functional.attention.forms import graph_attention_v2, message_gate
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    relu_graph_attention,
)
from tests.examples import examples
from tests.reference import attention as reference

ROLES = ["additive", "multiplicative", "fixed", "mask", "none"]
LABELS, FEATURES, HEADS, SIZE = 5, 4, 3, 2
few_examples = examples(10)
masks = hnp.arrays(np.bool_, (LABELS, LABELS))
static = ("role", "return_attention")
compiled_v2 = jax.jit(graph_attention_v2, static_argnames=(*static, "negative_slope"))
compiled_relu = jax.jit(relu_graph_attention, static_argnames=static)


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def drawn(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes)


def v2_weights(seed=0, labels=LABELS):
    """Nodes, receiver kernel, sender kernel, attention vector."""
    kernel = (FEATURES, HEADS, SIZE)
    return drawn(seed, (labels, FEATURES), kernel, kernel, (HEADS, SIZE))


def relu_weights(seed=0):
    """Nodes, kernel, receiver vector, sender vector."""
    shapes = (LABELS, FEATURES), (FEATURES, HEADS, SIZE), (HEADS, SIZE), (HEADS, SIZE)
    return drawn(seed, *shapes)


def some_edges(seed=1):
    """Signed weights with some zeros."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(LABELS, LABELS)) * (rng.random((LABELS, LABELS)) < 0.8)
    return jnp.asarray(weights, jnp.float32)


def doubles(*arrays):
    return tuple(np.asarray(array, float) for array in arrays)


@pytest.mark.parametrize("role", ROLES)
def test_gatv2_equals_the_concatenation_form_as_a_loop(role):
    nodes, receiver, sender, vector = v2_weights()
    edges = {"adjacency": some_edges(2), "edge_weights": some_edges()}
    if role == "additive":
        edges["edge_bias"] = some_edges(3)
    found, attention = compiled_v2(
        nodes, receiver, sender, vector, **edges, role=role, return_attention=True
    )
    expected, expected_attention = reference.graph_attention_v2(
        *doubles(nodes, jnp.concatenate([receiver, sender]), vector),
        **{"edge_bias": None} | dict(zip(edges, doubles(*edges.values()), strict=True)),
        role=role,
    )
    np.testing.assert_allclose(attention, expected_attention, atol=2e-6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_plain_call_of_gatv2_attends_to_every_label_eager_as_jitted():
    weights = v2_weights(3)
    nodes, receiver, sender, vector = weights
    found = graph_attention_v2(*weights, negative_slope=0.1)
    expected, _ = reference.graph_attention_v2(
        *doubles(nodes, jnp.concatenate([receiver, sender]), vector), negative_slope=0.1
    )
    assert found.shape == (LABELS, HEADS, SIZE)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    jitted = compiled_v2(*weights, negative_slope=0.1)
    np.testing.assert_allclose(found, jitted, atol=1e-6)


def test_in_gatv2_the_best_sender_depends_on_the_receiver_and_in_gat_it_cannot():
    # r_i + s_j is 1 at i and -1 at j, and 0 where they are the same label.
    nodes, kernel = jnp.eye(3), jnp.eye(3)[:, None, :]
    options = {"return_attention": True}
    _, second = graph_attention_v2(nodes, kernel, -kernel, -jnp.ones((1, 3)), **options)
    np.testing.assert_array_equal(second[0].argmax(axis=1), [0, 1, 2])
    for seed in range(5):
        kernel, vector, other = drawn(seed, (3, 1, 3), (1, 3), (1, 3))
        _, first = graph_attention(nodes, kernel, vector, other, **options)
        assert len(set(first[0].argmax(axis=1).tolist())) == 1


@few_examples
@given(
    st.permutations(range(LABELS)), masks, st.sampled_from(ROLES), st.integers(0, 99)
)
def test_permuting_labels_permutes_the_outputs_of_gatv2_and_relu(
    order, mask, role, seed
):
    # The same arguments as in the comparison with the loop: nothing compiles anew.
    order, mask = np.array(order), np.float32(mask)
    edges = some_edges(seed + 1)
    options = {"role": role, "return_attention": True}
    for attend, weights in (
        (compiled_v2, v2_weights(seed)),
        (compiled_relu, relu_weights(seed)),
    ):
        plain, _ = attend(*weights, adjacency=mask, edge_weights=edges, **options)
        moved, _ = attend(
            weights[0][order],
            *weights[1:],
            adjacency=mask[order][:, order],
            edge_weights=edges[order][:, order],
            **options,
        )
        np.testing.assert_allclose(moved, plain[order], atol=2e-5)


def test_gatv2_in_chunks_of_receivers_is_the_same_with_the_same_gradients():
    @functools.partial(jax.jit, static_argnums=0)
    def total(at_once, weights):
        def squares(weights):
            out = graph_attention_v2(*weights, receivers_at_once=at_once)
            return (out**2).sum()

        return jax.value_and_grad(squares)(weights)

    whole, gradients = total(LABELS, v2_weights())
    value, found = total(2, v2_weights())
    np.testing.assert_allclose(value, whole, rtol=1e-6)
    for gradient, expected in zip(found, gradients, strict=True):
        assert (np.abs(expected) > 0).any()
        np.testing.assert_allclose(gradient, expected, atol=1e-4)


def largest_array(jaxpr):
    """Numbers in the largest array that a computation makes, inner ones included."""
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [math.prod(variable.aval.shape) for variable in equation.outvars]
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    sizes.append(largest_array(inner))
    return max(sizes)


def test_the_gradient_of_chunked_gatv2_never_holds_all_pairs_of_features():
    labels, heads, size = 24, 2, 8
    kernel = (4, heads, size)
    weights = drawn(0, (labels, 4), kernel, kernel, (heads, size))

    def largest(at_once):
        def squares(*weights):
            out = graph_attention_v2(*weights, receivers_at_once=at_once)
            return (out**2).sum()

        return largest_array(
            jax.make_jaxpr(jax.grad(squares, range(4)))(*weights).jaxpr
        )

    pairs = labels * labels * heads * size
    assert largest(labels) == pairs
    assert largest(3) <= max(pairs // 8, heads * labels * labels)


def test_a_label_that_hears_nobody_gets_zeros_and_finite_gradients_from_gatv2():
    adjacency = jnp.ones((LABELS, LABELS)).at[2].set(0)
    edges = jnp.abs(some_edges()).at[3].set(0.0)

    @jax.jit
    def total(weights, edges):
        out = graph_attention_v2(*weights, adjacency=adjacency, edge_weights=edges)
        return (out**2).sum(), out

    gradients, out = jax.grad(total, argnums=(0, 1), has_aux=True)(v2_weights(), edges)
    np.testing.assert_array_equal(out[2:4], np.zeros((2, HEADS, SIZE)))
    for gradient in jax.tree.leaves(gradients):
        assert jnp.isfinite(gradient).all()
        assert (gradient != 0).any()


@pytest.mark.parametrize("role", ROLES)
def test_relu_attention_equals_the_loop(role):
    nodes, kernel, receiver, sender = relu_weights()
    edges = {"adjacency": some_edges(2), "edge_weights": some_edges()}
    found, attention = compiled_relu(
        nodes, kernel, receiver, sender, **edges, role=role, return_attention=True
    )
    expected, expected_attention = reference.relu_graph_attention(
        *doubles(nodes, kernel, jnp.concatenate([receiver, sender], axis=1)),
        **dict(zip(edges, doubles(*edges.values()), strict=True)),
        role=role,
    )
    np.testing.assert_allclose(attention, expected_attention, atol=1e-5)
    np.testing.assert_allclose(found, expected, atol=3e-5)
    assert (expected_attention == 0).any() and (expected_attention > 0).any()


def test_relu_attention_without_an_adjacency_is_the_same_eager_and_jitted():
    weights = relu_weights(4)
    found = relu_graph_attention(*weights, role="none")
    nodes, kernel, *halves = weights
    expected, _ = reference.relu_graph_attention(
        *doubles(nodes, kernel, jnp.concatenate(halves, axis=1))
    )
    np.testing.assert_allclose(found, expected, atol=3e-5)
    np.testing.assert_allclose(found, compiled_relu(*weights, role="none"), atol=1e-6)


def test_relu_attention_is_not_normalised_twice_the_senders_are_twice_the_message():
    nodes, *rest = relu_weights()
    once = compiled_relu(nodes, *rest, role="none")
    twice = compiled_relu(jnp.concatenate([nodes, nodes]), *rest, role="none")
    np.testing.assert_allclose(twice[:LABELS], 2 * once, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("role", ROLES)
def test_edge_weights_of_relu_attention_get_a_gradient_where_the_edge_is_used(role):
    nodes, kernel, receiver, sender = relu_weights()
    one_head = nodes, kernel[:, :1], receiver[:1], sender[:1]
    edges = some_edges() + 0.01

    @jax.jit
    def total(edges):
        out, attention = relu_graph_attention(
            *one_head, edge_weights=edges, role=role, return_attention=True
        )
        return out.sum(), attention[0]

    gradient, attention = jax.grad(total, has_aux=True)(edges)
    if role in ("additive", "multiplicative"):
        received = np.asarray(attention) != 0
        assert received.any() and not received.all()
        np.testing.assert_array_equal(np.asarray(gradient) != 0, received)
    else:
        np.testing.assert_array_equal(gradient, np.zeros((LABELS, LABELS)))


@pytest.mark.parametrize("attend", ["v2", "relu"])
def test_bfloat16_inputs_give_bfloat16_features_from_float32_weights(attend):
    function, weights = {
        "v2": (compiled_v2, v2_weights()),
        "relu": (compiled_relu, relu_weights()),
    }[attend]
    rounded = [w.astype(jnp.bfloat16) for w in weights]
    out, attention = function(*rounded, role="none", return_attention=True)
    exact, _ = function(*weights, role="none", return_attention=True)
    assert out.dtype == jnp.bfloat16
    assert attention.dtype == jnp.float32
    error = np.abs(out.astype(jnp.float32) - exact).max()
    assert error < 0.03 * np.abs(exact).max()


@pytest.mark.parametrize("attend", ["v2", "relu"])
def test_dropout_drops_attention_weights_and_follows_the_key(attend):
    function, weights = {
        "v2": (graph_attention_v2, v2_weights()),
        "relu": (relu_graph_attention, relu_weights()),
    }[attend]
    draw = functools.partial(
        function, *weights, role="none", dropout_rate=0.5, return_attention=True
    )
    _, attention = function(*weights, role="none", return_attention=True)
    _, dropped = draw(key=jax.random.key(0))
    zero = np.asarray(dropped == 0)
    assert 0.2 < zero[np.asarray(attention) > 0].mean() < 0.8
    np.testing.assert_allclose(
        dropped[~zero], 2 * np.asarray(attention)[~zero], rtol=1e-6
    )
    np.testing.assert_array_equal(dropped, draw(key=jax.random.key(0))[1])
    with pytest.raises(ValueError, match=r"dropout_rate 0.5 must come with a key"):
        draw()


@few_examples
@given(st.integers(0, 99), st.floats(-3, 3, width=32))
def test_the_message_gate_equals_the_loop_and_lies_between_0_and_1(seed, bias):
    free, message, kernel = drawn(seed, (LABELS, SIZE), (LABELS, SIZE), (2 * SIZE,))
    found = message_gate(free, message, kernel, jnp.float32(bias))
    expected = reference.message_gate(*doubles(free, message, kernel), bias)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.usefixtures("shapes_unchecked")
def test_roles_that_do_not_exist_or_lack_their_weights_are_refused():
    for attend, weights in (
        (graph_attention_v2, v2_weights()),
        (relu_graph_attention, relu_weights()),
    ):
        with pytest.raises(ValueError, match=r"one of additive, .*, got 'learned'"):
            attend(*weights, role="learned")
        with pytest.raises(ValueError, match=r"'fixed' must be given edge_weights"):
            attend(*weights, role="fixed")
        with pytest.raises(ValueError, match=r"edge_weights must have shape \(5, 5\)"):
            attend(*weights, role="mask", edge_weights=jnp.ones((5, 4)))
    with pytest.raises(ValueError, match=r"'additive' must be given edge_weights"):
        relu_graph_attention(*relu_weights(), role="additive")
    with pytest.raises(ValueError, match=r"edge_bias must come with role 'additive'"):
        graph_attention_v2(*v2_weights(), role="none", edge_bias=some_edges())
    with pytest.raises(ValueError, match=r"receivers_at_once must be .* 1, got 0"):
        graph_attention_v2(*v2_weights(), receivers_at_once=0)


@pytest.mark.usefixtures("shapes_unchecked")
def test_wrong_shapes_are_named():
    nodes, receiver, sender, vector = v2_weights()
    with pytest.raises(ValueError, match=r"nodes must have .* got \(5,\)"):
        graph_attention_v2(nodes[:, 0], receiver, sender, vector)
    with pytest.raises(ValueError, match=r"receiver_kernel must .* got \(3, 3, 2\)"):
        graph_attention_v2(nodes, receiver[:3], sender, vector)
    with pytest.raises(ValueError, match=r"sender_kernel must .* got \(4, 2, 2\)"):
        graph_attention_v2(nodes, receiver, sender[:, :2], vector)
    with pytest.raises(ValueError, match=r"vector must have shape \(3, 2\).* \(3, 1\)"):
        graph_attention_v2(nodes, receiver, sender, vector[:, :1])
    nodes, kernel, receiver, sender = relu_weights()
    with pytest.raises(ValueError, match=r"sender_vector must .* got \(2, 2\)"):
        relu_graph_attention(nodes, kernel, receiver, sender[:2], role="none")
    zero = jnp.float32(0)
    with pytest.raises(ValueError, match=r"free and message .* \(5, 2\) and \(5, 1\)"):
        message_gate(jnp.ones((5, 2)), jnp.ones((5, 1)), jnp.ones(4), zero)
    with pytest.raises(ValueError, match=r"kernel must have shape \(4,\) .* \(3,\)"):
        message_gate(jnp.ones((5, 2)), jnp.ones((5, 2)), jnp.ones(3), zero)
