import warnings

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from labelgraph_jax.functional.metrics.counts import (
    LabelCounts,
    document_counts,
    label_counts,
    summarise_label_counts,
)
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from tests.examples import examples
from tests.reference import metrics as reference


def example(seed=0, documents=40, labels=7, ties=True, dtype=np.float32):
    rng = np.random.default_rng(seed)
    scores = rng.random((documents, labels))
    scores = (np.round(scores * 16) / 16 if ties else scores).astype(dtype)
    targets = (rng.random((documents, labels)) < 0.25).astype(np.float32)
    targets[:, 2] = 0  # a label without positives
    targets[3] = 0  # a document without positives
    return scores, targets, np.full(labels, 0.6, dtype)


@pytest.fixture
def no_shape_checker():
    """Call as a user does: without the checks that the tests switch on."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def options(targets, ks=(1, 3, 5)):
    counts = targets.sum(0).astype(int)
    return {"train_label_counts": counts, "train_documents": 100, "ks": ks}


@pytest.mark.parametrize("masked", [False, True])
def test_label_counts_equal_their_loop_eager_and_jitted(masked):
    scores, targets, thresholds = example()
    predictions = scores >= thresholds
    mask = np.arange(len(scores)) % 3 > 0 if masked else None
    kept = slice(None) if mask is None else mask
    expected = [
        reference.f1_parts(predictions[kept, n], targets[kept, n])
        for n in range(targets.shape[1])
    ]
    for form in (label_counts, jax.jit(label_counts)):
        counts = form(predictions, targets, mask)
        np.testing.assert_array_equal(np.stack(counts[:3], 1), expected)
        np.testing.assert_array_equal(counts.support, targets[kept].sum(0))
        assert counts.tp.dtype == jnp.int32


def test_counts_of_batches_add_up():
    scores, targets, thresholds = example()
    predictions = scores >= thresholds
    whole = label_counts(predictions, targets)
    parts = label_counts(predictions[:13], targets[:13]) + label_counts(
        predictions[13:], targets[13:]
    )
    assert isinstance(parts, LabelCounts)
    np.testing.assert_array_equal(parts, whole)


def test_document_counts_equal_their_loop_eager_and_jitted():
    scores, targets, thresholds = example()
    predictions = scores >= thresholds
    expected = [
        (tp, tp + fp, tp + fn)
        for tp, fp, fn in map(reference.f1_parts, predictions, targets)
    ]
    for form in (document_counts, jax.jit(document_counts)):
        np.testing.assert_array_equal(np.stack(form(predictions, targets), 1), expected)


def test_no_document_counts_nothing_and_its_ratios_are_zero():
    counts = label_counts(jnp.zeros((0, 3), bool), jnp.zeros((0, 3)))
    np.testing.assert_array_equal(counts, 0)
    assert set(summarise_label_counts(counts).values()) == {0.0}


@examples(15)
@given(st.integers(0, 2**31), st.sampled_from([(1, 1), (5, 3), (12, 6)]))
def test_every_metric_equals_its_loop(seed, shape):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, 6, shape) / 8).astype(np.float32)
    targets = (rng.random(shape) < rng.random()).astype(np.float32)
    thresholds = (rng.integers(0, 7, shape[1]) / 8).astype(np.float32)
    given_options = options(targets, ks=(1, 2, 4))
    result = evaluate_scores(scores, targets, thresholds, **given_options)
    expected = reference.evaluate_scores(scores, targets, thresholds, **given_options)
    assert result.keys() == expected.keys()
    for name in expected:
        assert result[name] == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_equal_scikit_learn(ties, dtype):
    scores, targets, thresholds = example(documents=200, ties=ties, dtype=dtype)
    result = evaluate_scores(scores, targets, thresholds)
    truth, predictions = targets.astype(int), (scores >= thresholds).astype(int)
    expected = {
        "hamming_loss": sklearn_metrics.hamming_loss(truth, predictions),
        "subset_accuracy": sklearn_metrics.accuracy_score(truth, predictions),
        "LRAP": sklearn_metrics.label_ranking_average_precision_score(
            truth, scores.astype(np.float64)
        ),
    }
    for average in ("micro", "macro", "samples"):
        for name in ("precision", "recall", "f1"):
            metric = getattr(sklearn_metrics, f"{name}_score")
            expected[f"{average}_{name}"] = metric(
                truth, predictions, average=average, zero_division=0
            )
    seen = truth.any(0)
    expected["mAP"] = sklearn_metrics.average_precision_score(
        truth[:, seen], scores[:, seen].astype(np.float64), average="macro"
    )
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name


def test_scores_that_differ_only_in_float64_are_not_tied():
    scores = np.array([[0.5, 0.5 + 1e-12]])
    assert (scores.astype(np.float32) == 0.5).all()
    result = evaluate_scores(scores, np.array([[0, 1]]), np.array([0.0, 0.0]))
    assert (result["P@1"], result["LRAP"]) == (1.0, 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunk_size", [1, 3, 7, 39, 40, 1000])
def test_the_result_is_bit_identical_for_every_chunk_size(chunk_size, dtype):
    scores, targets, thresholds = example(ties=False, dtype=dtype)
    whole = evaluate_scores(scores, targets, thresholds, **options(targets))
    chunked = evaluate_scores(
        scores, targets, thresholds, **options(targets), chunk_size=chunk_size
    )
    assert chunked == whole


def test_host_device_and_boolean_inputs_agree():
    scores, targets, thresholds = example()
    whole = evaluate_scores(scores, targets, thresholds)
    on_device = map(jnp.asarray, (scores, targets, thresholds))
    assert evaluate_scores(*on_device) == whole
    assert evaluate_scores(scores, targets > 0, thresholds) == whole


def test_half_precision_scores_are_accepted():
    scores, targets, thresholds = example()
    half = jnp.asarray(scores, jnp.bfloat16)
    assert evaluate_scores(half, targets, thresholds) == evaluate_scores(
        half.astype(jnp.float32), targets, thresholds
    )


def test_without_positives_everything_is_zero_but_lrap():
    scores, _, thresholds = example()
    targets = np.zeros_like(scores)
    result = evaluate_scores(scores, targets, thresholds, **options(targets))
    assert result.pop("LRAP") == 1.0
    assert result.pop("hamming_loss") == pytest.approx((scores >= 0.6).mean())
    result.pop("subset_accuracy")
    assert set(result.values()) == {0.0}


def test_a_perfect_document_scores_one_everywhere():
    targets = np.array([[1.0, 0.0], [0.0, 1.0]])
    result = evaluate_scores(
        targets.astype(np.float32), targets, np.full(2, 0.5), **options(targets, (1,))
    )
    assert result.pop("hamming_loss") == 0.0
    assert set(result.values()) == {1.0}


def test_at_least_one_label_can_be_forced():
    scores, targets = np.float32([[0.2, 0.3]]), np.float32([[0, 1]])
    thresholds = np.full(2, 0.5)
    assert evaluate_scores(scores, targets, thresholds)["micro_f1"] == 0
    forced = evaluate_scores(scores, targets, thresholds, at_least_one=True)
    assert forced["micro_f1"] == 1


def test_given_predictions_are_measured_as_they_are():
    scores, targets, thresholds = example()
    decided = scores >= thresholds
    assert evaluate_scores(scores, targets, predictions=decided) == evaluate_scores(
        scores, targets, thresholds
    )
    truth = targets > 0
    perfect = evaluate_scores(scores, targets, predictions=truth, chunk_size=7)
    assert (perfect["micro_f1"], perfect["subset_accuracy"]) == (1.0, 1.0)
    assert perfect["mAP"] == evaluate_scores(scores, targets, thresholds)["mAP"] < 1


def test_labels_without_positives_lower_the_macro_f1_but_not_that_of_the_present():
    targets = np.float32([[1, 0, 0], [0, 1, 0]])
    result = evaluate_scores(targets, targets, np.full(3, 0.5))
    assert result["macro_f1"] == pytest.approx(2 / 3)
    assert result["macro_f1_present"] == 1.0


def test_without_training_counts_or_ks_those_metrics_are_left_out():
    scores, targets, thresholds = example()
    assert "PSP@1" not in evaluate_scores(scores, targets, thresholds)
    bare = evaluate_scores(scores, targets, thresholds, ks=())
    assert not any("@" in name for name in bare)


def test_values_are_plain_floats():
    scores, targets, thresholds = example()
    result = evaluate_scores(scores, targets, thresholds, **options(targets))
    assert {type(value) for value in result.values()} == {float}


def test_evaluation_warns_of_nothing():
    scores, targets, thresholds = example()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_scores(scores * 0, targets * 0, thresholds)


@pytest.mark.parametrize("bad", ["score", "threshold"])
def test_nan_is_refused_and_named(bad):
    scores, targets, thresholds = example()
    if bad == "score":
        scores[4, 5] = np.nan
        message = "scores must be numbers; document 4, label 5 is NaN"
    else:
        thresholds[5] = np.nan
        message = "thresholds must be numbers; label 5 has NaN"
    with pytest.raises(ValueError, match=message):
        evaluate_scores(scores, targets, thresholds)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_no_document_or_no_label_is_refused(shape):
    nothing = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match="at least one document and one label, got"):
        evaluate_scores(nothing, nothing, np.zeros(shape[1], np.float32))


def test_settings_out_of_range_are_refused():
    scores, targets, thresholds = example()
    with pytest.raises(ValueError, match="chunk_size and ks must be >= 1, got 0 and"):
        evaluate_scores(scores, targets, thresholds, chunk_size=0)
    with pytest.raises(ValueError, match=r"chunk_size and ks must be >= 1, got .*\(0,"):
        evaluate_scores(scores, targets, thresholds, ks=(0, 1))
    with pytest.raises(ValueError, match="PSP@k needs train_documents beside"):
        evaluate_scores(scores, targets, thresholds, train_label_counts=np.zeros(7))


def test_either_thresholds_or_predictions_decide(no_shape_checker):
    scores, targets, thresholds = example()
    decided = scores >= thresholds
    for wrong in ({}, {"thresholds": thresholds, "predictions": decided}):
        with pytest.raises(ValueError, match="either thresholds or predictions"):
            evaluate_scores(scores, targets, **wrong)
    for wrong in ({"predictions": decided[:3]}, {"at_least_one": True}):
        with pytest.raises(ValueError, match="need predictions of that shape, which"):
            evaluate_scores(scores, targets, **{"predictions": decided} | wrong)


@pytest.mark.parametrize("part", ["targets", "thresholds"])
def test_shapes_that_differ_are_refused(part, no_shape_checker):
    scores, targets, thresholds = example()
    if part == "targets":
        targets = targets[:, :-1]
    else:
        thresholds = thresholds[:-1]
    message = (
        r"scores of shape \(40, 7\) need (targets of that shape|one threshold per)"
    )
    with pytest.raises(ValueError, match=message):
        evaluate_scores(scores, targets, thresholds)
