import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    masked_softmax,
)
from tests.examples import examples
from tests.reference import attention as reference

ROLES = ["additive", "multiplicative", "fixed", "mask", "none"]
LABELS, FEATURES, HEADS, SIZE = 5, 4, 3, 2
few_examples = examples(20)
masks = hnp.arrays(np.bool_, (LABELS, LABELS))
compiled = jax.jit(
    graph_attention, static_argnames=("role", "negative_slope", "return_attention")
)


@pytest.fixture
def shapes_unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def some_weights(seed=0, labels=LABELS, dtype=jnp.float32):
    """Nodes, kernel, receiver vector, sender vector."""
    rng = np.random.default_rng(seed)
    shapes = (labels, FEATURES), (FEATURES, HEADS, SIZE), (HEADS, SIZE), (HEADS, SIZE)
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def some_edges(seed=1, labels=LABELS):
    """Signed weights with some zeros."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(labels, labels)) * (rng.random((labels, labels)) < 0.8)
    return jnp.asarray(weights, jnp.float32)


@few_examples
@given(
    hnp.arrays(np.float32, (LABELS, LABELS), elements=st.floats(-50, 50, width=32)),
    masks,
)
def test_masked_softmax_equals_the_loop(logits, mask):
    weights = masked_softmax(jnp.asarray(logits), jnp.asarray(mask))
    for row, expected_logits, keep in zip(weights, logits, mask, strict=True):
        expected = reference.masked_softmax(expected_logits.astype(float), keep)
        np.testing.assert_allclose(row, expected, atol=1e-6)
        np.testing.assert_allclose(row.sum(), float(keep.any()), atol=1e-6)


def test_masked_softmax_is_float32_and_survives_huge_logits():
    logits = jnp.array([[3e4, 3e4, -3e4], [1.0, 2.0, 3.0]], jnp.bfloat16)
    weights = masked_softmax(logits, jnp.array([[True, True, True], [False] * 3]))
    assert weights.dtype == jnp.float32
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])


def test_the_gradient_of_an_all_false_row_is_zero():
    logits = jnp.ones((2, 3))
    mask = jnp.array([[True, True, False], [False, False, False]])
    gradient = jax.grad(lambda x: (masked_softmax(x, mask) ** 2 * jnp.arange(3)).sum())(
        logits
    )
    assert jnp.isfinite(gradient).all()
    assert gradient[0, 0] != 0
    np.testing.assert_array_equal(gradient[1], np.zeros(3))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("masked", [False, True])
def test_graph_attention_equals_the_concatenation_form_as_a_loop(role, masked):
    nodes, kernel, receiver, sender = some_weights()
    adjacency = some_edges(2) if masked else None
    edge_weights = some_edges()
    edge_bias = some_edges(3) if role == "additive" else None
    found, attention = graph_attention(
        nodes,
        kernel,
        receiver,
        sender,
        adjacency=adjacency,
        edge_weights=edge_weights,
        edge_bias=edge_bias,
        role=role,
        negative_slope=0.1,
        return_attention=True,
    )
    expected, expected_attention = reference.graph_attention(
        *(np.asarray(x, float) for x in (nodes, kernel)),
        np.concatenate([receiver, sender], axis=1).astype(float),
        adjacency=adjacency,
        edge_weights=np.asarray(edge_weights, float),
        edge_bias=edge_bias,
        negative_slope=0.1,
        role=role,
    )
    np.testing.assert_allclose(attention, expected_attention, atol=2e-6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_plain_call_attends_to_every_label():
    nodes, kernel, receiver, sender = some_weights()
    expected, _ = reference.graph_attention(
        nodes, kernel, np.concatenate([receiver, sender], axis=1)
    )
    found = graph_attention(nodes, kernel, receiver, sender)
    assert found.shape == (LABELS, HEADS, SIZE)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@few_examples
@given(
    st.permutations(range(LABELS)), masks, st.sampled_from(ROLES), st.integers(0, 99)
)
def test_permuting_labels_permutes_outputs(order, mask, role, seed):
    order = np.array(order)
    nodes, *weights = some_weights(seed)
    edges = some_edges(seed + 1)
    plain = compiled(nodes, *weights, adjacency=mask, edge_weights=edges, role=role)
    moved = compiled(
        nodes[order],
        *weights,
        adjacency=mask[order][:, order],
        edge_weights=edges[order][:, order],
        role=role,
    )
    np.testing.assert_allclose(moved, plain[order], atol=1e-5)


@few_examples
@given(
    masks, st.integers(0, 99), st.sampled_from(["additive", "fixed", "mask", "none"])
)
def test_rows_of_attention_sum_to_one_or_zero(mask, seed, role):
    edges = jnp.abs(some_edges(seed + 1))
    _, attention = compiled(
        *some_weights(seed),
        adjacency=mask,
        edge_weights=edges,
        role=role,
        return_attention=True,
    )
    receives = mask if role == "none" else mask & (np.asarray(edges) > 0)
    expected = np.broadcast_to(receives.any(axis=1), (HEADS, LABELS))
    np.testing.assert_allclose(attention.sum(axis=2), expected, atol=1e-6)
    assert (attention >= 0).all()
    assert (np.asarray(attention)[:, ~receives] == 0).all()


def test_multiplicative_weights_scale_the_softmax_and_keep_their_sign():
    _, plain = graph_attention(*some_weights(), return_attention=True)
    edges = some_edges()
    _, scaled = graph_attention(
        *some_weights(),
        edge_weights=edges,
        role="multiplicative",
        return_attention=True,
    )
    np.testing.assert_allclose(scaled, plain * edges, rtol=1e-6)


def test_heads_differ():
    out, attention = graph_attention(*some_weights(), return_attention=True)
    for head in range(1, HEADS):
        assert np.abs(out[:, head] - out[:, 0]).max() > 1e-2
        assert np.abs(attention[head] - attention[0]).max() > 1e-2


@pytest.mark.parametrize("role", ROLES)
def test_an_isolated_label_gets_zeros_and_finite_gradients(role):
    adjacency = jnp.ones((LABELS, LABELS)).at[2].set(0)
    edges = some_edges().at[3].set(0.0)

    def total(nodes, kernel, receiver, sender, edges):
        out = graph_attention(
            nodes,
            kernel,
            receiver,
            sender,
            adjacency=adjacency,
            edge_weights=edges,
            role=role,
        )
        return (out**2).sum(), out

    gradients, out = jax.grad(total, argnums=range(5), has_aux=True)(
        *some_weights(), edges
    )
    np.testing.assert_array_equal(out[2], np.zeros((HEADS, SIZE)))
    if role != "none":
        np.testing.assert_array_equal(out[3], np.zeros((HEADS, SIZE)))
    for gradient in gradients:
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("role", ROLES)
def test_an_all_false_mask_gives_zeros_and_finite_gradients(role):
    def total(weights, edges):
        out = graph_attention(
            *weights,
            adjacency=jnp.zeros((LABELS, LABELS), bool),
            edge_weights=edges,
            role=role,
        )
        return (out**2).sum()

    value, gradients = jax.value_and_grad(total, argnums=(0, 1))(
        some_weights(), some_edges()
    )
    assert value == 0
    for gradient in jax.tree.leaves(gradients):
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@pytest.mark.parametrize("role", ROLES)
def test_edge_weights_get_a_gradient_in_every_learned_role_and_in_no_other(role):
    edges = jnp.abs(some_edges()) + 0.1

    def total(edges):
        return (
            graph_attention(*some_weights(), edge_weights=edges, role=role) ** 2
        ).sum()

    gradient = jax.grad(total)(edges)
    if role in ("additive", "multiplicative"):
        assert (jnp.abs(gradient) > 1e-6).all()
    else:
        np.testing.assert_array_equal(gradient, np.zeros((LABELS, LABELS)))


def test_the_edge_bias_gets_a_gradient_at_any_value_and_adds_to_the_logits():
    bias = some_edges()

    def total(bias):
        return (graph_attention(*some_weights(), edge_bias=bias) ** 2).sum()

    assert (jnp.abs(jax.grad(total)(bias)) > 1e-6).all()
    np.testing.assert_allclose(
        graph_attention(*some_weights(), edge_bias=bias),
        graph_attention(*some_weights(), edge_weights=jnp.exp(bias)),
        atol=1e-5,
    )


@pytest.mark.parametrize("role", ["additive", "multiplicative"])
def test_the_gradient_of_edge_weights_equals_finite_differences(role):
    edges = jnp.abs(some_edges()) + 0.5

    def total(edges):
        out = graph_attention(*some_weights(), edge_weights=edges, role=role)
        return (out**2).sum()

    gradient = jax.grad(total)(edges)
    for i, j in ((0, 0), (1, 3), (4, 2)):
        step = 1e-2
        difference = total(edges.at[i, j].add(step)) - total(edges.at[i, j].add(-step))
        np.testing.assert_allclose(
            gradient[i, j], difference / (2 * step), rtol=2e-2, atol=2e-3
        )


def test_additive_weights_from_the_smallest_to_huge_keep_everything_finite():
    edges = jnp.array([[0.0, 1e-45, 1e-38, 1e38, 1.0]] * LABELS, jnp.float32)

    def total(edges):
        return (graph_attention(*some_weights(), edge_weights=edges) ** 2).sum()

    value, gradient = jax.value_and_grad(total)(edges)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("role", ROLES)
def test_a_single_label_is_its_own_neighbour(role):
    nodes, kernel, receiver, sender = some_weights(labels=1)
    out = graph_attention(
        nodes, kernel, receiver, sender, edge_weights=jnp.ones((1, 1)), role=role
    )
    np.testing.assert_allclose(out, jnp.einsum("nd,dhf->nhf", nodes, kernel), rtol=1e-6)


@pytest.mark.parametrize("role", ROLES)
def test_bfloat16_inputs_give_bfloat16_features_from_a_float32_softmax(role):
    edges = some_edges()
    out, attention = graph_attention(
        *some_weights(dtype=jnp.bfloat16),
        edge_weights=edges.astype(jnp.bfloat16),
        role=role,
        return_attention=True,
    )
    exact = graph_attention(*some_weights(), edge_weights=edges, role=role)
    assert out.dtype == jnp.bfloat16
    assert attention.dtype == jnp.float32
    np.testing.assert_allclose(out.astype(jnp.float32), exact, atol=0.15)


@pytest.mark.parametrize("role", ROLES)
def test_graph_attention_is_the_same_eager_and_jitted(role):
    options = {"adjacency": some_edges(2), "edge_weights": some_edges(), "role": role}
    np.testing.assert_allclose(
        graph_attention(*some_weights(), **options),
        compiled(*some_weights(), **options),
        atol=1e-6,
    )


def test_graph_attention_can_be_mapped_over_graphs():
    first, second = some_weights(0), some_weights(7)
    both = jax.vmap(graph_attention)(
        *(jnp.stack(p) for p in zip(first, second, strict=True))
    )
    np.testing.assert_allclose(both[0], graph_attention(*first), atol=1e-6)
    np.testing.assert_allclose(both[1], graph_attention(*second), atol=1e-6)


def test_dropout_keeps_the_mean_and_follows_the_key():
    plain, attention = graph_attention(*some_weights(), return_attention=True)
    draw = functools.partial(graph_attention, *some_weights(), dropout_rate=0.5)
    _, dropped = draw(key=jax.random.key(0), return_attention=True)
    zero = np.asarray(dropped == 0)
    assert 0.2 < zero.mean() < 0.8
    np.testing.assert_allclose(
        dropped[~zero], 2 * np.asarray(attention)[~zero], rtol=1e-6
    )
    np.testing.assert_array_equal(
        draw(key=jax.random.key(1)), draw(key=jax.random.key(1))
    )
    many = jax.vmap(lambda key: draw(key=key))(
        jax.random.split(jax.random.key(2), 4000)
    )
    np.testing.assert_allclose(many.mean(axis=0), plain, atol=0.3)


def test_dropout_without_a_key_or_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"dropout_rate 0.5 must come with a key"):
        graph_attention(*some_weights(), dropout_rate=0.5)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\), got 1.0"):
        graph_attention(*some_weights(), dropout_rate=1.0, key=jax.random.key(0))


@pytest.mark.usefixtures("shapes_unchecked")
def test_a_role_that_does_not_exist_or_lacks_its_weights_is_refused():
    with pytest.raises(ValueError, match=r"one of additive, .*, none, got 'learned'"):
        graph_attention(*some_weights(), role="learned")
    for role in ("multiplicative", "fixed"):
        with pytest.raises(ValueError, match=rf"'{role}' must be given edge_weights"):
            graph_attention(*some_weights(), role=role)
    with pytest.raises(ValueError, match=r"edge_bias must come with role 'additive'"):
        graph_attention(*some_weights(), edge_bias=some_edges(), role="mask")


@pytest.mark.usefixtures("shapes_unchecked")
def test_wrong_shapes_are_named():
    nodes, kernel, receiver, sender = some_weights()
    with pytest.raises(ValueError, match=r"nodes must have .* got \(5,\)"):
        graph_attention(nodes[:, 0], kernel, receiver, sender)
    with pytest.raises(
        ValueError, match=r"kernel must have .*\[4, heads.* got \(3, 3, 2"
    ):
        graph_attention(nodes, kernel[:3], receiver, sender)
    with pytest.raises(ValueError, match=r"receiver_vector must have shape \(3, 2\)"):
        graph_attention(nodes, kernel, receiver[:1], sender)
    with pytest.raises(ValueError, match=r"sender_vector must .* got \(3, 1\)"):
        graph_attention(nodes, kernel, receiver, sender[:, :1])
    for name in ("adjacency", "edge_weights", "edge_bias"):
        with pytest.raises(ValueError, match=rf"{name} must have shape \(5, 5\) for 5"):
            graph_attention(nodes, kernel, receiver, sender, **{name: jnp.ones((5, 4))})
