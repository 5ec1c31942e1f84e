import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.functional.decisions.thresholds import (
    apply_thresholds,
    decide_top_k,
    fit_global_threshold,
    fit_label_thresholds,
    fit_top_k,
)
from tests.reference.metrics import f1_parts, precision_recall_f1

SHAPE = (6, 3)


def f1(decisions, targets):
    return precision_recall_f1(*f1_parts(decisions.ravel(), targets.ravel()))[2]


def best_f1(scores, targets):
    """The highest F1 of any threshold, by trying every score and one above all."""
    cuts = [*np.unique(scores), np.inf]
    return max(f1(scores >= cut, targets) for cut in cuts)


def validation(dtype):
    """Few distinct values, so that ties are common; two are float32 neighbours."""
    near = float(np.nextafter(np.float32(0.5), np.float32(1)))
    values = st.sampled_from([-2.0, 0.0, 0.1, 0.5, near, 0.9, 1.0])
    scores = st.lists(values, min_size=18, max_size=18)
    targets = st.lists(st.booleans(), min_size=18, max_size=18)
    return st.tuples(
        scores.map(lambda cells: np.array(cells, dtype).reshape(SHAPE)),
        targets.map(lambda cells: np.array(cells).reshape(SHAPE)),
    )


either_type = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@either_type
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_global_threshold_attains_the_best_micro_f1_of_all(dtype, data):
    scores, targets = data.draw(validation(dtype))
    threshold = fit_global_threshold(scores, targets)
    decisions = apply_thresholds(scores, np.full(SHAPE[1], threshold))
    assert f1(decisions, targets) == best_f1(scores, targets)


@either_type
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_unshrunk_label_thresholds_attain_the_best_f1_of_every_label(dtype, data):
    scores, targets = data.draw(validation(dtype))
    thresholds = fit_label_thresholds(scores, targets, shrinkage=0.0)
    assert thresholds.dtype == dtype
    decisions = apply_thresholds(scores, thresholds)
    for n in np.flatnonzero(targets.any(0)):
        assert f1(decisions[:, n], targets[:, n]) == best_f1(
            scores[:, n], targets[:, n]
        )


@settings(max_examples=50, deadline=None)
@given(st.data(), st.floats(0.0, 100.0))
def test_shrinkage_draws_a_threshold_towards_the_global_one(data, shrinkage):
    scores, targets = data.draw(validation(np.float64))
    everywhere = fit_global_threshold(scores, targets)
    alone = fit_label_thresholds(scores, targets, shrinkage=0.0)
    shrunk = fit_label_thresholds(scores, targets, shrinkage=shrinkage)
    support = targets.sum(0)
    for n in range(SHAPE[1]):
        trust = support[n] / (support[n] + shrinkage) if support[n] else 0.0
        expected = trust * alone[n] + (1 - trust) * everywhere
        assert shrunk[n] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_infinite_shrinkage_and_labels_without_positives_give_the_global_threshold():
    scores = np.float32([[0.9, 0.2], [0.4, 0.1], [0.8, 0.6]])
    targets = np.array([[1, 0], [0, 0], [1, 0]])
    everywhere = fit_global_threshold(scores, targets)
    assert fit_label_thresholds(scores, targets, shrinkage=0.0)[1] == everywhere
    thresholds = fit_label_thresholds(scores, targets, shrinkage=np.inf)
    np.testing.assert_array_equal(thresholds, np.float32(everywhere))


def test_the_threshold_lies_half_way_between_neighbouring_scores():
    scores = np.float32([[0.25, 0.75]])
    assert fit_global_threshold(scores, np.array([[0, 1]])) == 0.5
    assert fit_global_threshold(scores, np.array([[1, 1]])) == 0.25


def test_neighbouring_float32_scores_are_really_separated():
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    scores = np.array([[low, high]])
    threshold = fit_global_threshold(scores, np.array([[0, 1]]))
    assert threshold == high
    decisions = apply_thresholds(jnp.asarray(scores), jnp.full(2, threshold))
    np.testing.assert_array_equal(decisions, [[False, True]])


def test_of_equally_good_cuts_the_highest_is_taken():
    scores = np.float32([[0.9, 0.7, 0.5, 0.3]])
    targets = np.array([[1, 0, 0, 1]])  # F1 2/3 after one, 2/3 after four
    assert fit_global_threshold(scores, targets) == pytest.approx(0.8)


def test_without_positives_nothing_is_predicted():
    scores = np.float32([[0.3, 1.0]])
    threshold = fit_global_threshold(scores, np.zeros((1, 2)))
    assert not apply_thresholds(scores, np.full(2, threshold)).any()


@pytest.mark.parametrize("targets", [[0, 0], [0, 1]])
def test_a_threshold_just_above_zero_still_separates_on_a_device(targets):
    scores = np.float32([[0.0, 0.0 if not any(targets) else 1.5e-38]])
    threshold = fit_global_threshold(scores, np.array([targets]))
    decisions = apply_thresholds(jnp.asarray(scores), jnp.full(2, threshold))
    np.testing.assert_array_equal(decisions, [np.array(targets, bool)])


def test_infinite_scores_are_separated_by_finite_thresholds():
    scores = np.float32([[-np.inf, 2.0, np.inf]])
    threshold = fit_global_threshold(scores, np.array([[0, 1, 1]]))
    assert threshold == 2.0


def test_a_thousand_documents_are_fitted_exactly():
    rng = np.random.default_rng(0)
    scores = rng.random((1000, 4)).astype(np.float32)
    targets = rng.random((1000, 4)) < scores**3
    threshold = fit_global_threshold(scores, targets)
    cuts = np.sort(scores.ravel())
    tp = targets.ravel()[np.argsort(scores.ravel(), kind="stable")][::-1].cumsum()
    predicted = np.arange(1, cuts.size + 1)
    best = (2 * tp / (predicted + targets.sum())).max()
    decisions = scores >= np.float32(threshold)
    assert 2 * (decisions & targets).sum() / (
        decisions.sum() + targets.sum()
    ) == pytest.approx(best, abs=1e-15)


def test_fitting_accepts_device_arrays_and_half_precision():
    scores = jnp.asarray([[0.25, 0.75]], jnp.bfloat16)
    assert fit_global_threshold(scores, jnp.asarray([[0.0, 1.0]])) == 0.5


@settings(max_examples=20, deadline=None)
@given(validation(np.float32))
def test_decisions_are_the_same_on_host_and_device_eager_and_jitted(example):
    scores, _ = example
    thresholds = np.float32([0.5, 0.1, 2.0])
    for forced in (False, True):
        host = apply_thresholds(scores, thresholds, at_least_one=forced)
        assert isinstance(host, np.ndarray)
        device = apply_thresholds(jnp.asarray(scores), thresholds, at_least_one=forced)
        jitted = jax.jit(apply_thresholds, static_argnames="at_least_one")(
            jnp.asarray(scores), thresholds, at_least_one=forced
        )
        np.testing.assert_array_equal(device, host)
        np.testing.assert_array_equal(jitted, host)
        for m, n in np.ndindex(SHAPE):
            empty = not any(scores[m] >= thresholds)
            first_best = n == min(j for j in range(3) if scores[m, j] == max(scores[m]))
            assert host[m, n] == (
                scores[m, n] >= thresholds[n] or (forced and empty and first_best)
            )


def test_a_score_equal_to_its_threshold_is_predicted():
    assert apply_thresholds(np.float32([[0.1]]), np.array([0.1]))[0, 0]


def test_no_document_gets_no_decision():
    nothing = apply_thresholds(np.zeros((0, 2)), np.zeros(2), at_least_one=True)
    assert nothing.shape == (0, 2)


@pytest.mark.parametrize("fit", [fit_global_threshold, fit_label_thresholds])
def test_nan_and_empty_scores_are_refused(fit):
    scores = np.zeros((2, 3), np.float32)
    scores[1, 2] = np.nan
    with pytest.raises(ValueError, match="document 1, label 2 is NaN"):
        fit(scores, np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"neither of them empty; got \(0, 3\)"):
        fit(np.zeros((0, 3), np.float32), np.zeros((0, 3)))


def test_shapes_that_differ_are_refused():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=r"got \(2, 3\) and \(2, 4\)"):
            fit_global_threshold(np.zeros((2, 3)), np.zeros((2, 4)))
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("shrinkage", [-1.0, np.nan])
def test_a_shrinkage_out_of_range_is_refused(shrinkage):
    with pytest.raises(ValueError, match="shrinkage must be >= 0, got"):
        fit_label_thresholds(np.zeros((1, 1)), np.ones((1, 1)), shrinkage=shrinkage)


@settings(max_examples=30, deadline=None)
@given(validation(np.float32), st.integers(1, 4))
def test_the_k_most_probable_are_decided_ties_by_label_index(example, k):
    scores, _ = example
    expected = np.zeros(SHAPE, bool)
    for m, row in enumerate(scores):
        expected[m, sorted(range(3), key=lambda n: (-row[n], n))[:k]] = True
    np.testing.assert_array_equal(decide_top_k(scores, k), expected)
    for form in (decide_top_k, jax.jit(decide_top_k, static_argnames="k")):
        np.testing.assert_array_equal(form(jnp.asarray(scores), k), expected)


@settings(max_examples=50, deadline=None)
@given(validation(np.float32), st.lists(st.booleans(), min_size=18, max_size=18))
def test_the_fitted_k_attains_the_best_micro_f1_of_any_k(example, annotated):
    scores, targets = example
    mask = np.array(annotated).reshape(SHAPE)
    mask[0, 0] = True
    k = fit_top_k(scores, targets, target_mask=mask)

    def of(k):
        return f1(decide_top_k(scores, k)[mask], targets[mask])

    most = max(1, 2 * (targets & mask).sum(1).max())
    values = [of(other) for other in range(1, min(3, most) + 1)]
    assert k == 1 + values.index(max(values))


def test_fewer_labels_than_k_are_all_decided_and_none_is_no_k():
    assert decide_top_k(np.float32([[0.1, 0.2]]), 5).all()
    with pytest.raises(ValueError, match="k must be >= 1, got 0"):
        decide_top_k(np.float32([[0.1]]), 0)
    assert fit_top_k(np.float32([[0.1, 0.2]]), np.zeros((1, 2))) == 1
