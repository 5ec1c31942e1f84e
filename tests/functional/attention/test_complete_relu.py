"""ReLU attention over a complete graph without a matrix; edge weights of low rank."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.attention import plan, sorted_sums
from labelgraph_jax.functional.attention.complete_relu import complete_relu_attention
from labelgraph_jax.functional.attention.graph_attention import (
    graph_attention,
    relu_graph_attention,
)
from tests.examples import examples
from tests.functional.attention.test_attention import (
    HEADS,
    SIZE,
    some_edges,
    some_weights,
)
from tests.functional.attention.test_attention_methods import made
from tests.reference import attention as reference

RANK = 2
FORMS: dict[str, tuple[Callable, Callable, str]] = {
    "softmax": (graph_attention, reference.graph_attention, "additive"),
    "relu": (relu_graph_attention, reference.relu_graph_attention, "multiplicative"),
}


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


attend_without_a_matrix = jax.jit(complete_relu_attention)


def by_loops(s: np.ndarray, t: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """The sums in float64, and the sums of their sizes."""
    s, t, v = (np.asarray(x, np.float64) for x in (s, t, v))
    out, size = np.zeros(v.shape), np.zeros(v.shape)
    for i in range(len(s)):
        for j in range(len(s)):
            weight = np.maximum(s[i] + t[j], 0.0)[:, None]
            out[i] += weight * v[j]
            size[i] += weight * np.abs(v[j])
    return out, size


def factors(labels: int, seed: int = 0) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(seed)
    pair = rng.random((2, labels, RANK)).astype(np.float32)
    return jnp.asarray(pair[0]), jnp.asarray(pair[1])


@examples(15)
@given(
    st.sampled_from([1, 2, 9]),
    st.sampled_from([1e-3, 1.0, 1e4]),
    st.sampled_from([0.0, 1e3]),
    st.integers(0, 99),
    st.booleans(),
)
def test_it_is_the_sum_pair_by_pair_to_a_few_roundings(
    labels: int, scale: float, apart: float, seed: int, ties: bool
) -> None:
    s, t, v = made(labels, scale, seed, ties=ties)
    # Large halves of opposite sign: small weights out of large numbers.
    s, t = s + scale * apart, t - scale * apart
    expected, size = by_loops(*(np.asarray(x) for x in (s, t, v)))
    error = np.abs(np.asarray(attend_without_a_matrix(s, t, v)) - expected)
    # What float32 leaves of s_i + t_j is the same in any method.
    assert (error <= 3e-6 * size + 1e-6 * scale * (1 + apart) * labels * 5).all()


@pytest.mark.parametrize("ties", [False, True])
def test_its_gradient_is_that_of_the_matrix(ties: bool) -> None:
    arrays = made(40, 1.0, 3, ties=ties)
    mixed = jnp.asarray(np.random.default_rng(4).normal(size=(40, 2, 3)), jnp.float32)

    def dense(s, t, v):
        return jnp.einsum("ijh,jhf->ihf", jax.nn.relu(s[:, None] + t[None]), v)

    def gradient(attend):
        return jax.jit(jax.grad(lambda *x: jnp.sum(mixed * attend(*x)), (0, 1, 2)))

    pairs = zip(
        gradient(complete_relu_attention)(*arrays),
        gradient(dense)(*arrays),
        strict=True,
    )
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, atol=3e-5)


def test_the_error_of_the_relu_form_does_not_grow_with_the_labels() -> None:
    errors = []
    for labels in (300, 30_000):
        s, t, v = made(labels, 1.0, 5)
        found = np.asarray(attend_without_a_matrix(s, t, v), np.float64)[:, 0]
        s, t, v = (np.asarray(x, np.float64)[:, 0] for x in (s, t, v))
        order = np.argsort(t)
        t, v = t[order], v[order]
        zero = np.zeros((1, 3))
        size, plain, rising = (
            np.concatenate([np.cumsum(x[::-1], axis=0)[::-1], zero])
            for x in (np.abs(v), v, t[:, None] * v)
        )
        place = np.searchsorted(t, -s, side="right")
        exact = s[:, None] * plain[place] + rising[place]
        errors.append((np.abs(found - exact) / (1.0 + size[place])).max())
    assert max(errors) < 2e-6


@pytest.mark.parametrize("narrowest", [64, 1])
def test_heads_one_after_the_other_are_heads_side_by_side(
    narrowest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = some_weights(labels=12)

    def gradients(form, role):
        def loss(*x):
            return jnp.sum(jnp.sin(form(*x, role=role, method="complete")))

        return jax.jit(jax.grad(loss, (0, 1, 2, 3)))(*arrays)

    for form in (graph_attention, relu_graph_attention):
        together = gradients(form, "none")
        with monkeypatch.context() as patch:
            patch.setattr(sorted_sums, "HEADS_TOGETHER_BYTES", 0)
            patch.setattr(sorted_sums, "NARROWEST", narrowest)
            apart = gradients(form, "none")
        for one, other in zip(together, apart, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("method", ["dense", "blocked", "complete"])
@pytest.mark.parametrize("form", FORMS)
def test_weights_of_low_rank_are_their_product_in_every_method(
    form: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BLOCK_BYTES", 2 * 4 * HEADS * 5)
    attend, expected_by, role = FORMS[form]
    arrays, (of_receivers, of_senders) = some_weights(), factors(5)
    # A label that nobody may receive from, and one that receives from nobody.
    of_receivers, of_senders = of_receivers.at[1].set(0.0), of_senders.at[2].set(0.0)
    pair = (of_receivers, of_senders)
    weights = np.asarray(of_receivers @ of_senders.T, float)
    nodes, kernel, receiver, sender = (np.asarray(x, float) for x in arrays)
    expected, _ = expected_by(
        nodes,
        kernel,
        np.concatenate([receiver, sender], axis=1),
        edge_weights=weights,
        role=role,
    )
    run = partial(attend, role=role, method=method)
    found = jax.jit(lambda pair: run(*arrays, edge_factors=pair))(pair)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[1], np.zeros((HEADS, SIZE)))


@pytest.mark.parametrize("form", FORMS)
def test_the_factors_get_the_gradients_of_the_matrix(form: str) -> None:
    attend, _, role = FORMS[form]
    arrays = (*factors(20), *some_weights(labels=20))

    def gradient(method):
        def loss(u, v, *x):
            out = attend(*x, edge_factors=(u, v), role=role, method=method)
            return jnp.sum(jnp.sin(out))

        return jax.jit(jax.grad(loss, range(6)))(*arrays)

    dense = gradient("dense")
    for one, other in zip(gradient("complete"), dense, strict=True):
        scale = max(float(jnp.abs(other).max()), 1.0)
        np.testing.assert_allclose(one, other, atol=2e-5 * scale)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"role": "mask"}, "edge_factors must come with role 'additive', got 'mask'"),
        ({"edge_weights": some_edges()}, "edge_weights must be None beside"),
        ({"edge_factors": factors(4)}, r"\[5, rank\] with a rank .* got \(4, 2\)"),
        (
            {"edge_factors": (factors(5)[0], factors(5)[1][:, :1])},
            r"one shape \[5, rank\], got \(5, 2\), \(5, 1\)",
        ),
    ],
)
def test_factors_that_do_not_fit_are_refused(
    options: dict, message: str, shapes_unchecked: None
) -> None:
    settings = {"edge_factors": factors(5)} | options
    with pytest.raises(ValueError, match=message):
        graph_attention(*some_weights(), **settings)


def test_bfloat16_comes_back_as_bfloat16() -> None:
    s, t, v = (x.astype(jnp.bfloat16) for x in made(20, 1.0, 6))
    found = attend_without_a_matrix(s, t, v)
    assert found.dtype == jnp.bfloat16
    wide = attend_without_a_matrix(*(x.astype(jnp.float32) for x in (s, t, v)))
    np.testing.assert_allclose(found.astype(jnp.float32), wide, rtol=0.01, atol=0.1)
