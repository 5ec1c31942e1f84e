import jax
import numpy as np
import pytest

from labelgraph_jax.functional.metrics.counts import label_counts
from labelgraph_jax.functional.metrics.label_errors import (
    confused_with,
    label_f1,
    missed_together,
)
from tests.reference import label_errors as reference


def decided(seed=0, documents=30, labels=6):
    rng = np.random.default_rng(seed)
    targets = (rng.random((documents, labels)) < 0.4).astype(np.float32)
    return rng.random((documents, labels)) < 0.4, targets


@pytest.mark.parametrize("masked", [False, True])
def test_pairs_equal_their_loops_eager_and_jitted(masked):
    predictions, targets = decided()
    mask = np.random.default_rng(1).random(targets.shape) < 0.7 if masked else None
    wanted = reference.pairs(predictions, targets, mask)
    for function, expected in zip(
        (missed_together, confused_with), wanted, strict=True
    ):
        for form in (function, jax.jit(function)):
            np.testing.assert_array_equal(form(predictions, targets, mask), expected)


def test_counts_of_chunks_add_to_those_of_all_documents():
    predictions, targets = decided()
    for function in (missed_together, confused_with):
        parts = [
            function(predictions[r], targets[r]) for r in (slice(11), slice(11, 30))
        ]
        np.testing.assert_array_equal(sum(parts), function(predictions, targets))


def test_missed_together_is_symmetric_with_false_negatives_on_its_diagonal():
    predictions, targets = decided(2)
    together = np.asarray(missed_together(predictions, targets))
    np.testing.assert_array_equal(together, together.T)
    counts = label_counts(predictions, targets)
    np.testing.assert_array_equal(np.diag(together), counts.fn)
    assert not np.diag(np.asarray(confused_with(predictions, targets))).any()


def test_a_right_prediction_confuses_nothing_and_no_document_neither():
    _, targets = decided()
    for function in (missed_together, confused_with):
        assert not np.asarray(function(targets > 0, targets)).any()
        empty = function(np.zeros((0, 3), bool), np.zeros((0, 3)))
        np.testing.assert_array_equal(empty, np.zeros((3, 3)))


def test_f1_of_a_label_that_no_document_carries_is_nan():
    targets = np.array([[1, 0, 1], [1, 0, 0]])
    predictions = np.array([[True, True, False], [True, False, True]])
    found = label_f1(label_counts(predictions, targets))
    np.testing.assert_allclose(found, [1.0, np.nan, 0.0])
