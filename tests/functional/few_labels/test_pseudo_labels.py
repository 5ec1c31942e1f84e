"""Targets of unlabelled documents against loops, and what must never happen."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import labelgraph_jax as lg

F = lg.functional


def by_loops(scores, prior, positive_share, negative_share):
    count, labels = scores.shape
    targets, mask = np.zeros(scores.shape), np.zeros(scores.shape, bool)
    for n in range(labels):
        for u in range(count):
            above = sum(scores[v, n] >= scores[u, n] for v in range(count))
            below = sum(scores[v, n] <= scores[u, n] for v in range(count))
            positive = above <= prior[n] * count + 1e-4
            targets[u, n] = positive
            if prior[n] > 0:
                mask[u, n] = above <= positive_share * prior[n] * count + 1e-4 or (
                    not positive
                    and below <= negative_share * (1 - prior[n]) * count + 1e-4
                )
    return targets, mask


@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from([1, 2, 7, 20]),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([0.0, 0.95, 1.0]),
)
def test_the_surest_of_each_label_are_those_of_a_loop(seed, count, share, other):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (count, 3)).astype(np.float32) / 5  # many are equal
    prior = rng.choice([0.0, 0.1, 0.25, 0.5, 1.0], 3).astype(np.float32)
    shares = {"positive_share": share, "negative_share": other}
    found = F.pseudo_labels(scores, prior, **shares)
    targets, mask = by_loops(scores, prior, share, other)
    np.testing.assert_array_equal(found.targets, targets)
    np.testing.assert_array_equal(found.target_mask, mask)
    # Another order of the documents gives the same to each.
    order = rng.permutation(count)
    other_way = F.pseudo_labels(scores[order], prior, **shares)
    np.testing.assert_array_equal(other_way.targets, targets[order])
    np.testing.assert_array_equal(other_way.target_mask, mask[order])


def test_a_label_rarer_than_one_document_gets_no_positive():
    scores = np.linspace(0.1, 0.9, 20, dtype=np.float32)[:, None]
    found = F.pseudo_labels(scores, np.array([0.04], np.float32))
    assert not found.targets.any()
    assert found.target_mask.sum() == 18  # negatives alone: 0.95 of 0.96 of 20


def test_a_label_without_a_positive_is_not_learned():
    prior = F.shrunk_prior(np.array([0.0, 5.0]), 10)
    assert prior[0] == 0
    found = F.pseudo_labels(np.full((4, 2), 0.9, np.float32), prior)
    assert not found.targets[:, 0].any()
    assert not found.target_mask[:, 0].any()


def test_a_planted_frequency_is_met_within_a_tenth():
    rng = np.random.default_rng(0)
    truth = rng.random((2000, 5)) < np.array([0.05, 0.1, 0.2, 0.3, 0.5])
    scores = truth + 0.3 * rng.normal(size=truth.shape)
    prior = F.shrunk_prior(truth[:400].sum(0), 400)
    found = F.pseudo_labels(scores, prior)
    np.testing.assert_allclose(found.targets.mean(0), truth[:400].mean(0), rtol=0.1)
    sure = np.asarray(found.target_mask)
    assert (np.asarray(found.targets)[sure] == truth[sure]).mean() > 0.98


def test_no_gradient_passes_through_pseudo_labels():
    def total(scores):
        found = F.pseudo_labels(scores, jnp.array([0.5]))
        return jnp.sum(found.targets * found.target_mask)

    assert not jax.grad(total)(jnp.array([[0.9], [0.1]])).any()


def test_a_prior_is_drawn_to_the_mean_as_by_hand():
    found = F.shrunk_prior(np.array([6.0, 2.0, 0.0]), 20, strength=4.0)
    mean = 8 / 60
    np.testing.assert_allclose(
        found, [(6 + 4 * mean) / 24, (2 + 4 * mean) / 24, 0.0], rtol=1e-6
    )


def one_document(**options):
    return F.label_spreading(
        np.zeros((1, 1)), np.array([[0]]), np.ones((1, 1)), **options
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.shrunk_prior(np.array([5]), 4), "between 0 and documents=4"),
        (lambda: F.shrunk_prior(np.array([-1]), 4), "got -1 to 0"),
        (lambda: F.shrunk_prior(np.array([1]), 4, strength=-1.0), "strength must be"),
        (
            lambda: F.pseudo_labels(np.zeros((2, 1)), np.array([1.5])),
            "prior must be between 0 and 1, got 1.5 to 1.5",
        ),
        (
            lambda: F.pseudo_labels(
                np.zeros((2, 1)), np.array([0.5]), positive_share=2.0
            ),
            "positive_share must be between 0 and 1",
        ),
        (
            lambda: F.label_spreading(
                np.zeros((2, 1)), np.array([[2], [0]]), np.ones((2, 1))
            ),
            "documents from 0 to 1, or -1, got",
        ),
        (lambda: one_document(share=1.0), "share must be at least 0 and below 1"),
        (lambda: one_document(steps=0), "steps must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from([1, 2, 8]),
    st.sampled_from([0.0, 0.5, 0.9]),
)
def test_spreading_is_that_of_a_dense_graph(seed, count, share):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, count, (count, 3))
    weights = rng.normal(size=(count, 3)).astype(np.float32)
    targets = (rng.random((count, 2)) < 0.4).astype(np.float32)
    graph = np.zeros((count, count))
    for i in range(count):
        for j, weight in zip(rows[i], weights[i], strict=True):
            if j >= 0 and j != i and weight > 0:
                graph[i, j] += weight / 2
                graph[j, i] += weight / 2
    degree = graph.sum(1)
    scale = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    spread = scale[:, None] * graph * scale
    scores = targets.astype(np.float64)
    for _ in range(7):
        scores = share * spread @ scores + (1 - share) * targets
    found = F.label_spreading(targets, rows, weights, share=share, steps=7)
    np.testing.assert_allclose(found, scores, atol=1e-5)
