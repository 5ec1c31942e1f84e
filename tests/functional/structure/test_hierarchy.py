"""Scores and losses under a taxonomy against loops over labels and what is below."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import labelgraph_jax as lg
from tests.reference import taxonomy as loops

F = lg.functional
NONE = np.zeros((0, 2), np.int64)


def random_dag(rng, n, share=0.3):
    """Edges from later labels to earlier ones, in an order that says nothing."""
    order = rng.permutation(n)
    pairs = [
        (order[i], order[j]) for i in range(n) for j in range(i) if rng.random() < share
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def highest(scores, ancestors):
    return loops.ancestor_probabilities(scores, ancestors)


@settings(max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_the_maximum_over_descendants_is_that_of_loops_on_any_dag(seed):
    rng = np.random.default_rng(seed)
    pairs = random_dag(rng, 9)
    scores = rng.normal(size=(3, 9)).astype(np.float32)
    wanted = highest(scores, loops.ancestor_matrix(pairs, 9))
    np.testing.assert_array_equal(F.descendant_max(scores, pairs), wanted)


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_the_gradient_of_the_maximum_goes_to_the_label_that_reaches_it(seed):
    rng = np.random.default_rng(seed)
    pairs = random_dag(rng, 8)
    scores = rng.permutation(16).reshape(2, 8).astype(np.float32)  # no two are equal
    outer = rng.normal(size=(2, 8)).astype(np.float32)
    found = jax.grad(lambda x: jnp.sum(F.descendant_max(x, pairs) * outer))(scores)
    below = loops.ancestor_matrix(pairs, 8).T | np.eye(8, dtype=bool)
    wanted = np.zeros((2, 8))
    for b in range(2):
        for n in range(8):
            best = max(np.flatnonzero(below[n]), key=lambda d: scores[b, d])
            wanted[b, best] += outer[b, n]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_of_equal_scores_one_gets_the_gradient():
    pairs = np.array([[1, 0], [2, 0], [3, 1], [3, 2]])
    gradient = jax.grad(lambda x: F.descendant_max(x, pairs)[0])(jnp.zeros(4))
    assert sorted(gradient.tolist()) == [0, 0, 0, 1]


def test_raising_twice_changes_nothing_and_a_parent_is_never_below_its_child():
    rng = np.random.default_rng(0)
    pairs = random_dag(rng, 30)
    once = np.asarray(F.descendant_max(rng.normal(size=(50, 30)), pairs))
    np.testing.assert_array_equal(F.descendant_max(once, pairs), once)
    assert (once[:, pairs[:, 1]] >= once[:, pairs[:, 0]]).all()


def test_no_edge_leaves_scores_as_they_are():
    scores = jnp.arange(3.0)
    np.testing.assert_array_equal(F.descendant_max(scores, NONE), scores)
    assert float(F.recursive_regularisation(jnp.ones((3, 2)), NONE)) == 0
    assert float(F.hierarchy_contrast(jnp.ones((3, 2)), NONE, jax.random.key(0))) == 0


def test_a_taxonomy_of_thousands_of_labels_makes_no_array_of_labels_by_labels():
    n = 4_000
    pairs = np.stack([np.arange(1, n), (np.arange(1, n) - 1) // 3], axis=1)
    run = jax.jit(jax.grad(lambda x: F.descendant_max(x, pairs).sum()))
    text = run.lower(jnp.zeros((2, n))).as_text()
    assert f"{n}x{n}" not in text
    assert "scatter" in text  # so that the text is of this program


def loss_by_loops(logits, targets, ancestors, known):
    below = ancestors.T | np.eye(len(ancestors), dtype=bool)
    total, cells = 0.0, 0
    for b in range(len(logits)):
        true = (targets[b] > 0) & known[b]
        for n in range(logits.shape[1]):
            under = np.flatnonzero(below[n])
            if not known[b, n] or (not true[n] and true[under].any()):
                continue
            cells += 1
            if true[n]:
                x = max(logits[b, d] for d in under if true[d])
                total += np.log1p(np.exp(-x))
            else:
                total += np.log1p(np.exp(max(logits[b, d] for d in under)))
    return total, cells


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_the_loss_of_a_hierarchy_is_that_of_loops(seed):
    rng = np.random.default_rng(seed)
    pairs = random_dag(rng, 7)
    logits = rng.normal(size=(4, 7)).astype(np.float32)
    targets = rng.random((4, 7)) < 0.4
    known = rng.random((4, 7)) < 0.8
    found = F.hierarchy_loss(logits, targets, pairs, target_mask=known)
    ancestors = loops.ancestor_matrix(pairs, 7)
    wanted = loss_by_loops(logits, targets, ancestors, known)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_without_edges_the_loss_is_the_binary_cross_entropy():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 5)).astype(np.float32)
    targets = (rng.random((4, 5)) < 0.5).astype(np.float32)
    real = np.array([True, True, False, True])
    found = F.hierarchy_loss(logits, targets, NONE, example_mask=real)
    wanted = F.binary_cross_entropy(logits, targets, example_mask=real)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_true_parent_is_not_raised_through_a_wrong_child():
    pairs = np.array([[1, 0]])
    targets = jnp.array([[1, 0]])

    def loss(logits):
        return F.hierarchy_loss(logits, targets, pairs)[0]

    gradient = jax.grad(loss)(jnp.array([[0.0, 3.0]]))[0]
    assert gradient[0] < 0 < gradient[1]


def test_padding_with_nan_has_no_gradient():
    pairs = np.array([[1, 0]])
    logits = jnp.array([[0.0, 1.0], [jnp.nan, jnp.nan]])
    real = jnp.array([True, False])

    def loss(logits):
        return F.hierarchy_loss(logits, jnp.ones((2, 2)), pairs, example_mask=real)[0]

    gradient = jax.grad(loss)(logits)
    assert np.isfinite(gradient).all() and not gradient[1].any()


def test_the_distance_of_labels_from_their_parents_is_that_of_a_loop():
    rng = np.random.default_rng(2)
    pairs, vectors = random_dag(rng, 6), rng.normal(size=(6, 3))
    wanted = sum(((vectors[c] - vectors[p]) ** 2).sum() / 2 for c, p in pairs)
    found = F.recursive_regularisation(vectors, pairs)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def contrast_over_all(vectors, parents):
    """The mean over every triple that can be drawn, of one level."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    inner = {p for _, p in parents}
    values = [
        np.exp(abs(unit[i] @ unit[j]) - abs(unit[i] @ unit[c]))
        for c, i in parents
        for j in inner
        if j != i
    ]
    return np.mean(values)


def test_the_contrast_of_many_draws_is_the_mean_of_all_triples():
    rng = np.random.default_rng(3)
    pairs = np.array([[3, 0], [4, 0], [5, 1], [6, 2], [7, 2]])
    vectors = rng.normal(size=(8, 4)).astype(np.float32)
    found = F.hierarchy_contrast(vectors, pairs, jax.random.key(0), draws=40_000)
    np.testing.assert_allclose(found, contrast_over_all(vectors, pairs), rtol=0.02)


def test_a_label_is_never_contrasted_with_itself():
    # Were i = j drawn, a value would be e^(1 - 1) = 1; all are e^(0 - 1).
    vectors = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    pairs = np.array([[2, 0], [3, 1]])
    for seed in range(5):
        found = F.hierarchy_contrast(vectors, pairs, jax.random.key(seed))
        np.testing.assert_allclose(found, np.exp(-1), rtol=1e-6)


def test_labels_without_a_vector_have_a_finite_gradient():
    pairs = np.array([[2, 0], [3, 1]])
    key = jax.random.key(0)
    gradient = jax.grad(F.hierarchy_contrast)(jnp.zeros((4, 3)), pairs, key)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: F.descendant_max(jnp.zeros(2), np.array([[0, 1], [1, 0]])),
            "hold no cycle; label 0 is its own ancestor: 0 < 1 < 0",
        ),
        (
            lambda: F.descendant_max(jnp.zeros(2), np.array([[0, 2]])),
            r"indices in 0..1, got 0..2",
        ),
        (
            lambda: jax.jit(lambda p: F.descendant_max(jnp.zeros(2), p))(
                jnp.array([[0, 1]])
            ),
            "parents must be known values",
        ),
        (
            lambda: F.hierarchy_loss(jnp.zeros((1, 2)), jnp.full((1, 2), 2), NONE),
            "targets must be between 0 and 1, got 2",
        ),
        (
            lambda: F.hierarchy_contrast(
                jnp.zeros((2, 2)), NONE, jax.random.key(0), draws=0
            ),
            "draws must be at least 1",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
