import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from labelgraph_jax.functional.metrics import ranking
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from tests.examples import examples
from tests.reference import metrics as reference

SHAPE = (4, 6)


def at_k(formula):
    """A metric of scores from a formula of ranked hits."""

    def metric(scores, targets, k):
        hits = ranking.hits_at_k(scores, targets, k)
        return formula(hits, (jnp.asarray(targets) > 0).sum(-1), k)

    return metric


AT_K = {
    "precision_at_k": at_k(lambda hits, _, k: ranking.precision_from_hits(hits, k)),
    "recall_at_k": at_k(lambda hits, true, _: ranking.recall_from_hits(hits, true)),
    "r_precision_at_k": at_k(ranking.r_precision_from_hits),
    "ndcg_at_k": at_k(lambda hits, true, _: ranking.ndcg_from_hits(hits, true)),
}


def grids(values):
    """Arrays of SHAPE with few distinct values, so that ties are common."""
    return st.lists(values, min_size=24, max_size=24).map(
        lambda cells: np.array(cells, np.float32).reshape(SHAPE)
    )


few_scores = grids(st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5, 0.5000001, 3.0]))
some_targets = grids(st.sampled_from([0.0, 0.0, 1.0]))


def rows(function, scores, targets, *rest):
    return [function(s, t, *rest) for s, t in zip(scores, targets, strict=True)]


@pytest.mark.parametrize("k", [1, 3, 6, 9])
@pytest.mark.parametrize("name", AT_K)
@examples(20)
@given(few_scores, some_targets)
def test_a_metric_at_k_equals_its_loop(name, k, scores, targets):
    result = AT_K[name](scores, targets, k)
    expected = rows(getattr(reference, name), scores, targets, k)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    jitted = jax.jit(AT_K[name], static_argnums=2)(scores, targets, k)
    np.testing.assert_allclose(jitted, result, rtol=1e-6)


@examples(40)
@given(few_scores, some_targets)
def test_average_precision_equals_its_loop(scores, targets):
    expected = rows(reference.average_precision, scores.T, targets.T)
    exact = ranking.exact_average_precisions(scores.T, targets.T > 0)
    np.testing.assert_allclose(exact, expected, rtol=1e-12)


def test_average_precision_equals_scikit_learn_with_and_without_ties():
    rng = np.random.default_rng(0)
    for scores in (rng.normal(size=(50, 7)), rng.integers(0, 5, (50, 7)) / 4):
        targets = rng.random((50, 7)) < 0.3
        expected = sklearn_metrics.average_precision_score(
            targets, scores, average=None
        )
        exact = ranking.exact_average_precisions(scores.T, targets.T)
        np.testing.assert_allclose(exact, expected, rtol=1e-12)


def test_equal_scores_are_ranked_by_label_index_and_minus_zero_is_zero():
    scores = jnp.asarray([[-0.0, 1.0, 0.0, 1.0], [0.0, -0.0, 0.0, -0.0]])
    expected = [[1, 3, 0], [0, 1, 2]]
    np.testing.assert_array_equal(ranking.top_labels(scores, 3), expected)


def test_infinite_scores_rank_first_and_last():
    scores = jnp.asarray([[-jnp.inf, 0.0, jnp.inf]])
    np.testing.assert_array_equal(ranking.top_labels(scores, 3), [[2, 1, 0]])
    positive = np.array([[True, False, True]])
    lrap = ranking.exact_average_precisions(np.asarray(scores), positive)
    np.testing.assert_allclose(lrap, [(1 + 2 / 3) / 2], rtol=1e-12)


def test_precision_divides_by_k_even_above_the_number_of_labels():
    scores, targets = jnp.asarray([[0.2, 0.1]]), jnp.asarray([[1.0, 1.0]])
    assert AT_K["precision_at_k"](scores, targets, 5) == 2 / jnp.float32(5)
    assert AT_K["r_precision_at_k"](scores, targets, 5) == 1
    assert AT_K["ndcg_at_k"](scores, targets, 5) == 1


def test_a_document_without_positives_counts_zero():
    scores, targets = jnp.asarray([[0.2, 0.1]]), jnp.zeros((1, 2))
    for metric in AT_K.values():
        assert metric(scores, targets, 1) == 0


def test_a_perfect_ranking_attains_everything():
    scores, targets = np.float32([[0.9, 0.1, 0.8]]), np.float32([[1, 0, 1]])
    for name in ("recall_at_k", "r_precision_at_k", "ndcg_at_k"):
        np.testing.assert_allclose(AT_K[name](scores, targets, 2), [1], rtol=1e-6)
    psp = {"train_label_counts": np.array([2, 1, 3]), "train_documents": 9, "ks": (2,)}
    assert evaluate_scores(scores, targets, np.zeros(3), **psp)["PSP@2"] == 1.0


def test_permuting_labels_without_ties_changes_no_metric():
    rng = np.random.default_rng(1)
    scores = rng.permuted(np.arange(24, dtype=np.float32)).reshape(SHAPE)
    targets = (rng.random(SHAPE) < 0.5).astype(np.float32)
    order = rng.permutation(SHAPE[1])
    for metric in AT_K.values():
        np.testing.assert_array_equal(
            metric(scores, targets, 3), metric(scores[:, order], targets[:, order], 3)
        )
    precisions = ranking.exact_average_precisions(scores.T, targets.T > 0)
    permuted = ranking.exact_average_precisions(scores.T[order], targets.T[order] > 0)
    np.testing.assert_array_equal(precisions[order], permuted)


def test_no_documents_give_no_values():
    nothing = jnp.zeros((0, 3))
    assert AT_K["ndcg_at_k"](nothing, nothing, 2).shape == (0,)
    none = np.zeros((3, 0))
    np.testing.assert_array_equal(ranking.exact_average_precisions(none, none > 0), 0)


def test_inverse_propensities_equal_their_formula_and_fall_with_support():
    counts = np.array([0, 1, 10, 1000])
    worth = ranking.inverse_propensities(counts, 5000)
    np.testing.assert_allclose(
        worth, reference.inverse_propensities(counts, 5000), rtol=1e-14
    )
    assert (np.diff(worth) < 0).all()
    assert (worth >= 1).all()
    np.testing.assert_array_equal(ranking.inverse_propensities(counts[:2], 1), 1.0)


@pytest.mark.parametrize(("counts", "documents"), [([3], 2), ([0], 0), ([-1], 2)])
def test_impossible_training_counts_are_refused(counts, documents):
    with pytest.raises(ValueError, match="between 0 and train_documents >= 1; got"):
        ranking.inverse_propensities(np.array(counts), documents)


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k must be >= 1, got 0"):
        AT_K["precision_at_k"](jnp.zeros((1, 2)), jnp.zeros((1, 2)), 0)
