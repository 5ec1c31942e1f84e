"""Cells that nobody annotated count nowhere: counts, metrics, thresholds, losses."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.decisions.thresholds import (
    fit_global_threshold,
    fit_label_thresholds,
)
from labelgraph_jax.functional.graph.adjacency import (
    annotated_counts,
    conditional_adjacency,
    cooccurrence,
    thresholded_adjacency,
)
from labelgraph_jax.functional.metrics import ranking
from labelgraph_jax.functional.metrics.counts import document_counts, label_counts
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from tests.examples import examples
from tests.reference import adjacency as adjacency_reference
from tests.reference import metrics as reference

SHAPE = (9, 5)
seeds = st.integers(0, 2**31)


def drawn(seed, shape=SHAPE):
    """Scores with ties, targets, thresholds, and a mask with an empty row and column.

    Cells that are not annotated hold what would break every metric.
    """
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, 6, shape) / 8).astype(np.float32)
    targets = (rng.random(shape) < 0.4).astype(np.float32)
    thresholds = (rng.integers(0, 7, shape[1]) / 8).astype(np.float32)
    mask = rng.random(shape) < 0.6
    mask[seed % shape[0]] = False
    mask[:, seed % shape[1]] = False
    mask[(seed + 1) % shape[0], (seed + 1) % shape[1]] = True
    return scores, targets, thresholds, mask


def spoiled(values, mask, what):
    return np.where(mask, values, np.asarray(what, values.dtype))


def options(targets, mask):
    return {
        "train_label_counts": np.arange(targets.shape[1]) + 1,
        "train_documents": np.arange(targets.shape[1]) * 7 + 40,
        "ks": (1, 2, 4),
    }


@pytest.fixture
def no_shape_checker():
    """Call as a user does: without the checks that the tests switch on."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@examples(15)
@given(seeds)
def test_every_metric_equals_the_loop_over_the_annotated_cells(seed):
    scores, targets, thresholds, mask = drawn(seed)
    more = options(targets, mask)
    expected = reference.evaluate_masked(scores, targets, thresholds, **more, mask=mask)
    result = evaluate_scores(scores, targets, thresholds, target_mask=mask, **more)
    assert result.keys() == expected.keys()
    for name in expected:
        assert result[name] == pytest.approx(expected[name], abs=1e-12), name


@examples(10)
@given(seeds, st.sampled_from([np.nan, np.inf, -np.inf, 1.0]))
def test_what_a_masked_cell_holds_never_matters(seed, what):
    scores, targets, thresholds, mask = drawn(seed)
    more = options(targets, mask) | {"target_mask": mask}
    whole = evaluate_scores(scores, targets, thresholds, **more)
    other = spoiled(scores, mask, what), spoiled(targets, mask, what)
    assert evaluate_scores(*other, thresholds, **more) == whole
    for fit in (fit_global_threshold, fit_label_thresholds):
        np.testing.assert_array_equal(
            fit(*other, target_mask=mask), fit(scores, targets, target_mask=mask)
        )
    for count in (cooccurrence, annotated_counts):
        np.testing.assert_array_equal(count(other[1], mask), count(targets, mask))


@examples(10)
@given(seeds)
def test_a_mask_that_is_true_everywhere_is_no_mask(seed):
    scores, targets, thresholds, _ = drawn(seed)
    mask = np.ones(SHAPE, bool)
    more = options(targets, mask)
    assert evaluate_scores(
        scores, targets, thresholds, target_mask=mask, **more
    ) == evaluate_scores(scores, targets, thresholds, **more)
    for fit in (fit_global_threshold, fit_label_thresholds):
        np.testing.assert_array_equal(
            fit(scores, targets, target_mask=mask), fit(scores, targets)
        )
    counts = cooccurrence(targets)
    np.testing.assert_array_equal(cooccurrence(targets, mask), counts)
    annotated = annotated_counts(targets, mask)
    for build in (conditional_adjacency, thresholded_adjacency):
        # A division by a column may be rounded otherwise than one by a matrix.
        np.testing.assert_allclose(build(counts, annotated), build(counts), rtol=3e-7)


@pytest.mark.parametrize("chunk_size", [1, 2, 4])
def test_chunks_do_not_change_masked_metrics(chunk_size):
    scores, targets, thresholds, mask = drawn(5)
    more = options(targets, mask) | {"target_mask": mask}
    assert evaluate_scores(
        scores, targets, thresholds, chunk_size=chunk_size, **more
    ) == evaluate_scores(scores, targets, thresholds, **more)


@pytest.mark.parametrize("k", [1, 3])
def test_a_masked_ranking_equals_that_of_the_annotated_cells(k):
    scores, targets, _, mask = drawn(3)
    masked = ranking.mask_scores(spoiled(scores, mask, np.nan), mask)
    hits = ranking.hits_at_k(masked, targets * mask, k)
    positives = (targets * mask > 0).sum(axis=1)
    formulas = {
        "precision_at_k": ranking.precision_from_hits(hits, k),
        "recall_at_k": ranking.recall_from_hits(hits, positives),
        "r_precision_at_k": ranking.r_precision_from_hits(hits, positives, k),
        "ndcg_at_k": ranking.ndcg_from_hits(hits, positives),
    }
    for name, values in formulas.items():
        loop = getattr(reference, name)
        expected = [loop(scores[i, m], targets[i, m], k) for i, m in enumerate(mask)]
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_masked_average_precisions_equal_their_loop():
    scores, targets, _, mask = drawn(4)
    masked = ranking.mask_scores(spoiled(scores, mask, np.nan), mask)
    positive = (targets > 0) & mask
    for axis in (0, 1):
        cells = [np.moveaxis(x, axis, 0) for x in (masked, positive, scores, mask)]
        expected = [
            reference.average_precision(s[m], p[m])
            for _, p, s, m in zip(*cells, strict=True)
        ]
        result = ranking.exact_average_precisions(cells[0], cells[1])
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_a_score_of_minus_infinity_still_ranks_before_a_masked_cell():
    scores = np.array([[5.0, -np.inf]], np.float32)
    mask, targets = np.array([[False, True]]), np.array([[0.0, 1.0]])
    masked = ranking.mask_scores(scores, mask)
    assert ranking.hits_at_k(masked, targets, 1)[0, 0]
    result = evaluate_scores(scores, targets, np.zeros(2), target_mask=mask, ks=(1,))
    assert result["P@1"] == result["LRAP"] == result["mAP"] == 1.0


def test_masked_counts_equal_their_loops_eager_and_jitted():
    scores, targets, thresholds, mask = drawn(6)
    predictions = scores >= thresholds
    by_label = [
        reference.f1_parts(predictions[m, j], targets[m, j])
        for j, m in enumerate(mask.T)
    ]
    by_document = [
        reference.f1_parts(predictions[i, m], targets[i, m]) for i, m in enumerate(mask)
    ]
    of_documents = [(tp, tp + fp, tp + fn) for tp, fp, fn in by_document]
    for counts, documents in (
        (label_counts, document_counts),
        (jax.jit(label_counts), jax.jit(document_counts)),
    ):
        np.testing.assert_array_equal(
            np.stack(counts(predictions, targets, None, mask)[:3], 1), by_label
        )
        np.testing.assert_array_equal(
            np.stack(documents(predictions, targets, mask), 1), of_documents
        )


def test_a_label_without_an_annotated_document_is_no_part_of_macro_averages():
    scores = np.array([[0.9, 0.9], [0.1, 0.9]], np.float32)
    targets = np.array([[1.0, np.nan], [0.0, np.nan]])
    mask = np.array([[True, False], [True, False]])
    result = evaluate_scores(scores, targets, np.full(2, 0.5), target_mask=mask)
    assert result["macro_f1"] == result["micro_f1"] == result["mAP"] == 1.0
    assert result["hamming_loss"] == 0.0
    assert np.isfinite(list(result.values())).all()


def test_the_label_of_last_resort_is_chosen_before_the_mask():
    scores, thresholds = np.array([[0.4, 0.2]], np.float32), np.full(2, 0.5)
    targets, mask = np.array([[0.0, 1.0]]), np.array([[False, True]])
    result = evaluate_scores(
        scores, targets, thresholds, target_mask=mask, at_least_one=True
    )
    assert result["micro_f1"] == 0.0


@pytest.mark.parametrize("function", [evaluate_scores, fit_label_thresholds])
def test_a_mask_that_does_not_fit_is_refused(function, no_shape_checker):
    scores, targets, thresholds, _ = drawn(0)
    rest = (thresholds,) if function is evaluate_scores else ()
    with pytest.raises(ValueError, match=r"at least one annotated cell, got .* with 0"):
        function(scores, targets, *rest, target_mask=np.zeros(SHAPE, bool))
    with pytest.raises(ValueError, match=r"target_mask of that shape .* got \(2, 5\)"):
        function(scores, targets, *rest, target_mask=np.ones((2, 5), bool))
    spoiled_scores = scores.copy()
    spoiled_scores[1, 2] = np.nan
    with pytest.raises(ValueError, match="document 1, label 2 is NaN"):
        function(spoiled_scores, targets, *rest, target_mask=np.ones(SHAPE, bool))


def test_propensities_count_the_documents_that_are_annotated_for_each_label():
    counts, documents = np.array([3, 3, 1]), np.array([10, 1000, 2])
    expected = [
        reference.inverse_propensities([n], m)[0]
        for n, m in zip(counts, documents, strict=True)
    ]
    np.testing.assert_allclose(
        ranking.inverse_propensities(counts, documents), expected, rtol=1e-12
    )
    with pytest.raises(ValueError, match="got 3 of 2 for label 1"):
        ranking.inverse_propensities(counts, np.array([10, 2, 2]))


@examples(10)
@given(seeds)
def test_conditional_probabilities_come_from_documents_annotated_for_both(seed):
    _, targets, _, mask = drawn(seed)
    counts = cooccurrence(targets, mask)
    np.testing.assert_array_equal(
        counts, adjacency_reference.cooccurrence(targets, mask)
    )
    conditional = conditional_adjacency(counts, annotated_counts(targets, mask))
    np.testing.assert_allclose(
        conditional, adjacency_reference.masked_conditional(targets, mask), rtol=1e-6
    )
    jitted = jax.jit(
        lambda y, m: conditional_adjacency(cooccurrence(y, m), annotated_counts(y, m))
    )
    np.testing.assert_allclose(jitted(targets, mask), conditional, rtol=1e-6)


def test_documents_annotated_for_one_of_two_labels_do_not_thin_their_bond():
    # Four documents with label 0; two of them are annotated for label 1 and have it.
    targets = np.array([[1, 1], [1, 1], [1, 0], [1, 0]])
    mask = np.array([[1, 1], [1, 1], [1, 0], [1, 0]], bool)
    counts, annotated = cooccurrence(targets, mask), annotated_counts(targets, mask)
    np.testing.assert_array_equal(annotated, [[4, 2], [2, 2]])
    assert conditional_adjacency(counts)[0, 1] == 0.5
    assert conditional_adjacency(counts, annotated)[0, 1] == 1.0
    kept = thresholded_adjacency(counts, annotated, tau=0.9, p=0.2)
    np.testing.assert_allclose(kept, [[0.8, 0.2], [0.2, 0.8]])


def test_annotated_counts_of_another_shape_are_refused(no_shape_checker):
    with pytest.raises(ValueError, match="counts and annotated must have one shape"):
        conditional_adjacency(jnp.zeros((2, 2)), jnp.zeros((3, 3)))
