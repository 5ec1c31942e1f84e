"""Metrics from the best labels and sparse truth are those from all scores."""

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from labelgraph_jax.functional.metrics.counts import (
    DocumentCounts,
    document_counts,
    f1_from_counts,
    label_counts,
)
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.functional.metrics.ranked import (
    fit_global_threshold_ranked,
    ranked_hits,
    ranked_metrics,
)
from tests.examples import examples
from tests.reference import metrics as reference


@pytest.fixture
def unchecked():
    """Lets a wrong shape reach the function's own error message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def sparse(targets):
    """The rows of a multi-hot matrix, the labels of each in no order."""
    indptr = np.append(0, np.cumsum(targets.sum(axis=1))).astype(np.int64)
    ids = [np.flatnonzero(row)[::-1] for row in targets]
    return indptr, np.concatenate([*ids, np.zeros(0, int)]).astype(np.int32)


def example(seed=0, documents=12, labels=15, kept=15, share=0.15):
    """Scores with ties, targets, best labels with their scores, and sparse truth."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random((documents, labels)), 1).astype(np.float32)
    targets = rng.random((documents, labels)) < share
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :kept].astype(np.int32)
    return (
        scores,
        targets,
        ids,
        np.take_along_axis(scores, ids, axis=1),
        sparse(targets),
    )


@examples(25)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 9), st.integers(0, 1))
def test_all_metrics_are_those_of_the_dense_evaluation(seed, documents, labels, some):
    scores, targets, ids, kept_scores, truth = example(
        seed, documents, labels, labels, 0.4 * some
    )
    counts = np.random.default_rng(seed).integers(0, 50, labels)
    options = {"train_label_counts": counts, "train_documents": 50, "ks": (1, 2, 5)}
    thresholds = np.full(labels, 0.6, np.float32)
    expected = evaluate_scores(scores, targets, thresholds, **options)
    decided = kept_scores >= 0.6
    found = ranked_metrics(ids, *truth, labels=labels, decided=decided, **options)
    assert set(expected) - set(found) == {"LRAP", "mAP"}
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-12), name


def test_the_best_five_are_enough_for_the_metrics_at_five():
    scores, targets, ids, _, truth = example(kept=5)
    expected = evaluate_scores(scores, targets, np.ones(15, np.float32))
    for name, value in ranked_metrics(ids, *truth, labels=15).items():
        assert value == expected[name], name


def test_metrics_at_k_are_those_of_a_loop():
    scores, targets, ids, _, truth = example(3)
    found = ranked_metrics(ids, *truth, labels=15, ks=(3,))
    loops = {
        "P@3": reference.precision_at_k,
        "R@3": reference.recall_at_k,
        "RP@3": reference.r_precision_at_k,
        "nDCG@3": reference.ndcg_at_k,
    }
    for name, loop in loops.items():
        pairs = zip(scores, targets, strict=True)
        expected = np.mean([loop(row, truth, 3) for row, truth in pairs])
        assert found[name] == pytest.approx(expected), name


def test_hits_are_those_of_a_loop():
    _, targets, ids, _, truth = example(1, kept=4)
    hits = ranked_hits(ids, *truth)
    for row, labels in enumerate(ids):
        assert hits[row].tolist() == [bool(targets[row, label]) for label in labels]


def test_f1_from_counts_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    scores, targets, *_ = example(2)
    predictions = scores >= 0.7
    counts = label_counts(predictions, targets)
    tp, fp, _, support = (np.asarray(part) for part in counts)
    documents = DocumentCounts(
        *(np.asarray(part) for part in document_counts(predictions, targets))
    )
    found = f1_from_counts(tp, tp + fp, support, documents)
    for average in ("micro", "macro", "samples"):
        expected = metrics.f1_score(
            targets, predictions, average=average, zero_division=0
        )
        assert found[f"{average}_f1"] == pytest.approx(expected)
    assert found["hamming_loss"] == pytest.approx(
        metrics.hamming_loss(targets, predictions)
    )
    assert found["subset_accuracy"] == metrics.accuracy_score(targets, predictions)


@examples(40)
@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.3]))
def test_a_threshold_fitted_above_the_bound_is_that_of_all_scores(seed, kept, share):
    scores, targets, ids, kept_scores, truth = example(seed, 10, 8, kept, share)
    dense = fit_global_threshold(scores, targets)
    bound = kept_scores[:, -1].max() if kept < 8 else -1.0
    found = fit_global_threshold_ranked(ids, kept_scores, *truth)
    if dense > bound and found > bound:
        # Placed between scores, of which the lower one need not have been kept.
        np.testing.assert_array_equal(scores >= found, scores >= dense)
    if kept == 8:
        assert found == dense


def test_no_threshold_has_a_higher_f1_on_the_kept_labels():
    _, _, ids, kept_scores, truth = example(4, 30, 15, 3)
    hits = ranked_hits(ids, *truth)

    def f1(threshold):
        decided = kept_scores >= threshold
        return 2 * (decided & hits).sum() / (decided.sum() + len(truth[1]))

    found = f1(fit_global_threshold_ranked(ids, kept_scores, *truth))
    assert found == max(f1(threshold) for threshold in np.unique(kept_scores))


def test_without_a_kept_hit_nothing_is_decided():
    ids, scores = np.array([[0, 1]]), np.array([[0.9, 0.2]], np.float32)
    for indptr, indices in (([0, 0], []), ([0, 1], [2])):
        truth = np.array(indptr), np.array(indices, np.int32)
        assert fit_global_threshold_ranked(ids, scores, *truth) > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": (1, 6)}, "at least 6 ranked labels of each .* 12 documents with 5"),
        ({"ks": (0,)}, "every k from 1"),
        ({"indptr": np.arange(5)}, r"\(12, 5\) and \(5,\)"),
        ({"indptr": np.zeros(13, int)}, r"ascend from 0 to the \d+ true labels, got 0"),
        ({"labels": 9}, r"ranked labels must lie in 0 \.\. 8, got 0 \.\. 14"),
        ({"decided": np.ones((12, 4), bool)}, r"shape of ids \(12, 5\), got \(12, 4\)"),
        ({"train_label_counts": np.ones(15)}, "PSP@k needs train_documents"),
    ],
)
def test_bad_input_is_named(change, message, unchecked):
    _, _, ids, _, (indptr, indices) = example(kept=5)
    given = {"indptr": indptr, "indices": indices, "labels": 15} | change
    with pytest.raises(ValueError, match=message):
        ranked_metrics(ids, **given)


def test_a_label_that_a_document_has_twice_is_named():
    with pytest.raises(ValueError, match="document 1 has label 3 twice"):
        ranked_hits(np.zeros((2, 1), int), np.array([0, 1, 3]), np.array([3, 3, 3]))


def test_no_document_has_no_metrics():
    with pytest.raises(ValueError, match="got 0 documents with 5"):
        ranked_metrics(
            np.zeros((0, 5), int), np.zeros(1, int), np.zeros(0, int), labels=9
        )


def test_counts_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="label 1: 3 of 2 and 4"):
        f1_from_counts(np.array([1, 3]), np.array([1, 2]), np.array([1, 4]))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.ones((2, 3), np.float32), r"got \(2, 2\) and \(2, 3\)"),
        (np.array([[0.5, 0.1], [0.3, np.nan]]), "document 1 has NaN"),
    ],
)
def test_scores_that_give_no_threshold_are_refused(scores, message, unchecked):
    with pytest.raises(ValueError, match=message):
        fit_global_threshold_ranked(
            np.array([[0, 1], [1, 0]]), scores, np.array([0, 1, 1]), np.array([0])
        )
