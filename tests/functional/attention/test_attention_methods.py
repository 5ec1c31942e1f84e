"""One attention whatever the method: whole, by rows, or without a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.attention import plan
from labelgraph_jax.functional.attention.complete import complete_attention
from labelgraph_jax.functional.attention.graph_attention import graph_attention
from labelgraph_jax.functional.attention.plan import AttentionSizes, attention_bytes
from tests.examples import examples
from tests.functional.attention.test_attention import (
    HEADS,
    SIZE,
    some_edges,
    some_weights,
)
from tests.reference import attention as reference


def by_loops(
    s: np.ndarray, t: np.ndarray, v: np.ndarray, slope: float
) -> tuple[np.ndarray, np.ndarray]:
    """Output and weights, one pair after the other, in float64."""
    labels, heads = s.shape
    s, t, v = (np.asarray(x, np.float64) for x in (s, t, v))
    out, weights = np.zeros(v.shape), np.zeros((heads, labels, labels))
    for head in range(heads):
        for i in range(labels):
            logits = []
            for j in range(labels):
                total = s[i, head] + t[j, head]
                logits.append(total if total >= 0 else slope * total)
            raised = [np.exp(logit - max(logits)) for logit in logits]
            for j in range(labels):
                weights[head, i, j] = raised[j] / sum(raised)
                out[i, head] += weights[head, i, j] * v[j, head]
    return out, weights


def made(labels: int, scale: float, seed: int, *, ties: bool = False) -> list:
    rng = np.random.default_rng(seed)
    s, t = (rng.normal(size=(labels, 2)) * scale for _ in range(2))
    if ties:
        s, t = np.round(s), np.round(t)
    v = rng.normal(size=(labels, 2, 3))
    return [jnp.asarray(x, jnp.float32) for x in (s, t, v)]


def dense(s: jax.Array, t: jax.Array, v: jax.Array, slope: float) -> jax.Array:
    logits = jax.nn.leaky_relu(s[:, None] + t[None], slope)
    return jnp.einsum("ijh,jhf->ihf", jax.nn.softmax(logits, axis=1), v)


@examples(15)
@given(
    st.sampled_from([1, 2, 7]),
    st.sampled_from([0.1, 1.0, 20.0, 1e4]),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.2, 1.0]),
    st.booleans(),
)
def test_it_is_the_softmax_pair_by_pair(
    labels: int, scale: float, seed: int, slope: float, ties: bool
) -> None:
    s, t, v = made(labels, scale, seed, ties=ties)
    found = complete_attention(s, t, v, slope)
    expected, _ = by_loops(*(np.asarray(x) for x in (s, t, v)), slope)
    np.testing.assert_allclose(found, expected, atol=2e-6 * max(1.0, scale / 20))


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("ties", [False, True])
def test_its_gradient_is_that_of_the_matrix(scale: float, ties: bool) -> None:
    s, t, v = made(40, scale, 3, ties=ties)
    weights = jnp.asarray(np.random.default_rng(4).normal(size=v.shape), jnp.float32)

    def gradient(attend):
        return jax.jit(
            jax.grad(lambda *x: jnp.sum(weights * attend(*x, 0.2)), (0, 1, 2))
        )(s, t, v)

    pairs = zip(gradient(complete_attention), gradient(dense), strict=True)
    for found, expected in pairs:
        largest = float(jnp.abs(expected).max())
        np.testing.assert_allclose(found, expected, atol=5e-6 * max(largest, 1.0))


def test_logits_beyond_every_range_give_numbers() -> None:
    s = jnp.asarray([[3e38], [-3e38], [0.0]])
    t = jnp.asarray([[1e30], [-1e30], [0.0]])
    v = jnp.asarray([[[1.0]], [[2.0]], [[3.0]]])
    out, pull = jax.vjp(lambda *x: complete_attention(*x, 0.2), s, t, v)
    assert bool(jnp.isfinite(out).all())
    np.testing.assert_allclose(out.ravel(), [1.0, 1.0, 1.0])
    for gradient in pull(jnp.ones_like(out)):
        assert bool(jnp.isfinite(gradient).all())


def test_the_error_does_not_grow_with_the_labels() -> None:
    errors = []
    for labels in (1_000, 100_000):
        s, t, v = made(labels, 1.0, 5)
        found = np.asarray(complete_attention(s, t, v, 0.2), np.float64)[:, 0]
        s, t, v = (np.asarray(x, np.float64)[:, 0] for x in (s, t, v))
        order = np.argsort(t)
        ones = np.concatenate([v, np.ones((labels, 1))], axis=1)[order]
        t = t[order]
        zero = np.zeros((1, 4))
        above = np.cumsum((np.exp(t)[:, None] * ones)[::-1], axis=0)[::-1]
        below = np.cumsum(np.exp(0.2 * t)[:, None] * ones, axis=0)
        kink = np.searchsorted(t, -s)
        sums = np.exp(s)[:, None] * np.concatenate([above, zero])[kink]
        sums += np.exp(0.2 * s)[:, None] * np.concatenate([zero, below])[kink]
        errors.append(np.abs(found - sums[:, :-1] / sums[:, -1:]).max())
    assert max(errors) < 2e-6
    assert errors[1] < 4 * errors[0]


def test_bfloat16_comes_back_as_bfloat16() -> None:
    s, t, v = (x.astype(jnp.bfloat16) for x in made(20, 1.0, 6))
    found = complete_attention(s, t, v, 0.2)
    assert found.dtype == jnp.bfloat16
    wide = complete_attention(*(x.astype(jnp.float32) for x in (s, t, v)), 0.2)
    np.testing.assert_allclose(found.astype(jnp.float32), wide, atol=0.02)


@pytest.mark.parametrize("labels", [1, 5, 12])
def test_every_method_is_the_reference_on_a_complete_graph(labels: int) -> None:
    nodes, kernel, receiver, sender = some_weights(labels=labels)
    vector = np.concatenate([receiver, sender], axis=-1)
    expected, _ = reference.graph_attention(
        np.asarray(nodes), np.asarray(kernel), vector, role="none"
    )
    for method in ("dense", "complete", "blocked", "auto"):
        found = graph_attention(
            nodes, kernel, receiver, sender, role="none", method=method
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("role", ["additive", "multiplicative", "fixed", "mask"])
def test_row_blocks_give_the_matrix_and_its_gradients(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two receivers at once: five labels leave a last block that is not full.
    monkeypatch.setattr(plan, "BLOCK_BYTES", 2 * 4 * HEADS * 5)
    arrays = some_weights()
    edges = {"edge_weights": some_edges(), "adjacency": some_edges(2)}

    def loss(method, weights, *arrays):
        out = graph_attention(
            *arrays, **edges | {"edge_weights": weights}, role=role, method=method
        )
        return jnp.sum(jnp.sin(out))

    results = [
        jax.value_and_grad(loss, range(1, 6))(method, edges["edge_weights"], *arrays)
        for method in ("dense", "blocked")
    ]
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_auto_takes_the_complete_method_for_many_labels_without_edges() -> None:
    many = plan.COMPLETE_FROM

    def chosen(labels: int = many, method: str = "auto", **options):
        sizes = AttentionSizes(labels, HEADS, SIZE, edges=options.pop("edges", 0))
        return plan.choose_method(method, sizes, **options)

    assert chosen() == "complete"
    assert chosen(labels=many - 1) == "dense"
    assert chosen(given="matrix") == "dense"
    assert chosen(given="edges") == "sparse"
    assert chosen(rank=2) == "dense"
    assert chosen(rank=2, labels=2 * many) == "complete"
    assert chosen(dropout_rate=0.1) == "dense"
    assert chosen(negative_slope=1.5) == "dense"
    assert chosen(given="matrix", labels=100_000) == "blocked"
    nodes, kernel, receiver, sender = some_weights(labels=many)
    arrays = (nodes, kernel, receiver, sender)
    one = graph_attention(*arrays, role="none")
    other = graph_attention(*arrays, role="none", method="dense")
    assert one.shape == (many, HEADS, SIZE)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"method": "complete", "edge_weights": some_edges()},
            "cannot do an adjacency, edge weights or an edge bias as a matrix; methods "
            "that can: dense, blocked",
        ),
        (
            {"method": "blocked", "return_attention": True},
            "cannot do return_attention, as .*; methods that can: dense",
        ),
        (
            {"method": "complete", "dropout_rate": 0.5, "key": jax.random.key(0)},
            r"attention dropout \(rate 0.5\), as .*; methods that can: dense, blocked",
        ),
        (
            {"method": "complete", "role": "none", "negative_slope": -0.1},
            r"a negative_slope of -0.1, outside \[0, 1\]; methods that can: dense, "
            "blocked",
        ),
    ],
)
def test_a_method_that_cannot_names_those_that_can(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_attention(*some_weights(), **options)
    with pytest.raises(ValueError, match="must be one of auto, dense, complete"):
        plan.choose_method("scattered", AttentionSizes(3, 1, 1))
    with pytest.raises(ValueError, match=r"negative_slope in \[0, 1\], got 2"):
        complete_attention(*made(3, 1.0, 0), 2.0)


def test_it_maps_and_splits_over_devices_like_any_function() -> None:
    s, t, v = made(16, 1.0, 8)
    both = jax.vmap(lambda a, b, c: complete_attention(a, b, c, 0.2))(
        jnp.stack([s, t]), jnp.stack([t, s]), jnp.stack([v, v])
    )
    np.testing.assert_allclose(both[0], complete_attention(s, t, v, 0.2), atol=1e-6)
    np.testing.assert_allclose(both[1], complete_attention(t, s, v, 0.2), atol=1e-6)


@pytest.mark.parametrize("role", ["additive", "multiplicative"])
def test_row_blocks_drop_weights_at_their_rate_and_again_the_same(
    role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BLOCK_BYTES", 2 * 4 * HEADS * 5)
    arrays, weights = some_weights(), jnp.abs(some_edges())

    def run(rate: float, key: int, nodes: jax.Array = arrays[0]) -> jax.Array:
        return graph_attention(
            nodes,
            *arrays[1:],
            edge_weights=weights,
            role=role,
            dropout_rate=rate,
            key=jax.random.key(key),
            method="blocked",
        )

    run = jax.jit(run, static_argnums=0)
    np.testing.assert_array_equal(run(0.5, 1), run(0.5, 1))
    assert jnp.abs(run(0.5, 1) - run(0.5, 2)).max() > 1e-3
    mean = jnp.stack([run(0.25, key) for key in range(150)]).mean(axis=0)
    np.testing.assert_allclose(mean, run(0.0, 0), atol=0.6)
    # What the gradient computes again must drop the same weights: a step along it
    # changes the loss as it says.
    direction = jax.grad(lambda x: jnp.sum(run(0.5, 3, x) ** 2))(arrays[0])
    step = 1e-3 / jnp.linalg.norm(direction)
    losses = [
        jnp.sum(run(0.5, 3, arrays[0] + sign * step * direction) ** 2)
        for sign in (1, -1)
    ]
    slope = (losses[0] - losses[1]) / (2 * step)
    np.testing.assert_allclose(slope, jnp.sum(direction**2), rtol=0.05)


def test_what_does_not_fit_into_memory_is_refused_with_what_does() -> None:
    arrays = some_weights(labels=400)
    sizes = AttentionSizes(400, HEADS, SIZE)
    needed = attention_bytes("dense", sizes)
    options = {"role": "none", "free_bytes": needed - 1}
    with pytest.raises(ValueError, match=r"methods that fit: complete$") as refused:
        graph_attention(*arrays, method="dense", **options)
    assert f"{needed:,} bytes" in str(refused.value)
    assert f"{needed - 1:,} bytes" in str(refused.value)
    assert graph_attention(*arrays, method="auto", **options).shape[0] == 400
    matrix = jnp.ones((400, 400))
    with pytest.raises(ValueError, match=r"a list of edges \(sparse\) or edge_factors"):
        graph_attention(*arrays, edge_weights=matrix, free_bytes=1_000_000)
    # One matrix of a million labels: refused, not tried.
    large = AttentionSizes(1_000_000, 4, 64)
    with pytest.raises(ValueError, match="methods that fit: complete, blocked"):
        plan.choose_method("dense", large, free_bytes=20 << 30)
    chosen = plan.choose_method("auto", large, free_bytes=20 << 30)
    assert chosen == "complete"
