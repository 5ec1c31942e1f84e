"""Targets that say nothing and arrays that do not fit are refused by every function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.functional.checks import check_axes, check_targets
from labelgraph_jax.functional.metrics.bootstrap import resampled_f1
from labelgraph_jax.functional.metrics.bootstrap_ranking import resampled_areas
from labelgraph_jax.functional.metrics.counts import DocumentCounts
from labelgraph_jax.functional.metrics.tasks import explained_variance
from tests.functional.test_every_function import as_users_call

__all__ = ["as_users_call"]  # of every test here

F = lg.functional
SCORES = np.array([[0.9, 0.2], [0.3, 0.6], [0.7, 0.8]], np.float32)
TARGETS = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
HALF = np.array([0.5, 0.5], np.float32)
DECIDED = SCORES > 0.5
COUNTS = np.array([3, 2])
ONES = np.ones((1, 3), int)
TASKS = [F.Task("seen", "binary"), F.Task("kind", "binary")]
ABOVE = np.array([[False, False], [True, False]])

OF_CELLS: dict[str, Callable[..., Any]] = {
    "asymmetric_loss": lambda t, **m: F.asymmetric_loss(SCORES, t, **m),
    "binary_cross_entropy": lambda t, **m: F.binary_cross_entropy(SCORES, t, **m),
    "calibration_bins": lambda t, **m: F.calibration_bins(SCORES, t, **m),
    "class_balanced_loss": lambda t, **m: F.class_balanced_loss(SCORES, t, COUNTS, **m),
    "confused_with": lambda t, **m: F.confused_with(DECIDED, t, **m),
    "cooccurrence": lambda t, **m: F.cooccurrence(t, **m),
    "count_cuts": lambda t, **m: F.count_cuts(SCORES, t, COUNTS, **m),
    "distribution_balanced_loss": lambda t, **m: F.distribution_balanced_loss(
        SCORES, t, COUNTS, 3, **m
    ),
    "evaluate_scores": lambda t, **m: F.evaluate_scores(SCORES, t, HALF, **m),
    "fit_global_threshold": lambda t, **m: F.fit_global_threshold(SCORES, t, **m),
    "fit_label_thresholds": lambda t, **m: F.fit_label_thresholds(SCORES, t, **m),
    "fit_top_k": lambda t, **m: F.fit_top_k(SCORES, t, **m),
    "focal_loss": lambda t, **m: F.focal_loss(SCORES, t, **m),
    "hierarchical_counts": lambda t, **m: F.hierarchical_counts(DECIDED, t, ABOVE, **m),
    "label_counts": lambda t, **m: F.label_counts(DECIDED, t, **m),
    "label_sequences": lambda t, **m: F.label_sequences(t, COUNTS, max_labels=2, **m),
    "missed_together": lambda t, **m: F.missed_together(DECIDED, t, **m),
    "multi_task_loss": lambda t, **m: F.multi_task_loss(SCORES, t, TASKS, **m),
    "negative_tolerant_loss": lambda t, **m: F.negative_tolerant_loss(
        SCORES, t, COUNTS, 3, **m
    ),
    "simplest_rule": lambda t, **m: F.simplest_rule({"a": DECIDED}, t, **m),
    "task_loss_sums": lambda t, **m: F.task_loss_sums(SCORES, t, TASKS, **m),
    "task_metrics": lambda t, **m: F.task_metrics(SCORES, t, TASKS, **m),
}
UNMASKED: dict[str, Callable[..., Any]] = {
    "group_hits": lambda t: F.group_hits(SCORES, t, np.array([0]), 1),
    "group_ranking_metrics": lambda t: F.group_ranking_metrics(
        SCORES, t, {"all": np.array([0, 1])}
    ),
    "log_loss": lambda t: F.log_loss(SCORES[:, 0], t[:, 0]),
    "pr_auc": lambda t: F.pr_auc(SCORES[:, 0], t[:, 0]),
    "resampled_areas": lambda t: resampled_areas(SCORES[:, 0], t[:, 0], ONES),
    "resampled_f1": lambda t: resampled_f1(DECIDED, t, ONES),
    "roc_auc": lambda t: F.roc_auc(SCORES[:, 0], t[:, 0]),
}
REAL: dict[str, Callable[..., Any]] = {
    "explained_variance": lambda t: explained_variance(SCORES[:, 0], t[:, 0]),
    "rmse": lambda t: F.rmse(SCORES[:, 0], t[:, 0]),
    "task_metrics": lambda t: F.task_metrics(
        SCORES[:, :1], t[:, :1], [F.Task("t", "squared")]
    ),
    "task_loss_sums": lambda t: F.task_loss_sums(
        SCORES[:, :1], t[:, :1], [F.Task("t", "squared")]
    ),
}


def spoilt(value: float) -> np.ndarray:
    targets = TARGETS.copy()
    targets[1, 0] = value
    return targets


@pytest.mark.parametrize("value", [np.nan, -1.0, 2.0, np.inf])
@pytest.mark.parametrize("name", OF_CELLS)
def test_a_target_that_is_no_answer_is_refused_unless_it_is_masked(name, value):
    call, targets = OF_CELLS[name], spoilt(value)
    with pytest.raises(ValueError, match="target_mask") as refused:
        call(targets)
    assert f"got {value:g} at document 1, label 0" in str(refused.value)
    mask = np.ones(TARGETS.shape, bool)
    mask[1, 0] = False
    found, expected = call(targets, target_mask=mask), call(TARGETS, target_mask=mask)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        if not isinstance(one, str):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [np.nan, -1.0, 2.0])
@pytest.mark.parametrize("name", UNMASKED)
def test_functions_without_a_mask_say_so_too(name, value):
    UNMASKED[name](TARGETS)
    with pytest.raises(ValueError, match="target_mask"):
        UNMASKED[name](spoilt(value))


@pytest.mark.parametrize("name", REAL)
def test_a_number_to_be_predicted_may_be_any_but_must_be_finite(name):
    for value in (-1.0, 2.0):
        REAL[name](spoilt(value))
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="target_mask"):
            REAL[name](spoilt(value))


def test_integers_booleans_and_shares_are_targets():
    for targets in (TARGETS.astype(int), TARGETS > 0, TARGETS / 2, TARGETS.tolist()):
        check_targets(targets)
    with pytest.raises(ValueError, match="got -1 at row 1"):
        check_targets(np.array([0, -1]))


def test_padding_may_hold_anything():
    real = np.array([True, False, True])
    loss, _ = F.binary_cross_entropy(SCORES, spoilt(np.nan), example_mask=real)
    expected, _ = F.binary_cross_entropy(SCORES[real], TARGETS[real])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    F.label_counts(DECIDED, spoilt(-1), example_mask=real)


def test_traced_targets_are_not_looked_at_but_their_shape_is():
    loss = jax.jit(lambda t: F.binary_cross_entropy(SCORES, t)[0])
    assert np.isnan(loss(spoilt(np.nan)))
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2,\)"):
        loss(TARGETS[0])


@pytest.mark.parametrize("name", ["rmse", "log_loss", "roc_auc", "pr_auc"])
def test_a_row_beside_a_column_is_refused_with_both_shapes(name):
    with pytest.raises(ValueError, match=r"\(3,\) and \(3, 1\)"):
        getattr(F, name)(np.array([0.1, 0.2, 0.3]), np.array([[1], [0], [1]]))


@pytest.mark.parametrize(
    "name", [n for n in OF_CELLS if n.endswith("loss") and n != "multi_task_loss"]
)
def test_losses_refuse_targets_and_masks_of_another_shape(name):
    call = OF_CELLS[name]
    for targets, masks in (
        (TARGETS[:, :1], {}),
        (TARGETS[:1], {}),
        (TARGETS, {"target_mask": DECIDED[:, :1]}),
        (TARGETS, {"target_mask": DECIDED[0]}),
        (TARGETS, {"example_mask": DECIDED[:1, 0]}),
        (TARGETS, {"example_mask": DECIDED}),
    ):
        with pytest.raises(ValueError, match=r"got shapes \(3, 2\)"):
            call(targets, **masks)


def test_weights_of_another_number_of_labels_are_refused():
    with pytest.raises(ValueError, match=r"positive_weight \[N\]"):
        F.binary_cross_entropy(SCORES, TARGETS, positive_weight=np.ones(1))
    with pytest.raises(ValueError, match=r"thresholds \[N\]"):
        F.apply_thresholds(SCORES, np.ones(1, np.float32))


def test_axes_of_one_letter_have_one_size():
    check_axes(a=(np.ones((2, 3)), "B N"), b=(None, "N"), c=(np.ones(3), "N"))
    check_axes(a=(jnp.ones((4, 2, 3)), "... N"), b=(jnp.ones((4, 2, 5)), "... K"))
    with pytest.raises(ValueError, match="must fit together, got shapes"):
        check_axes(a=(np.ones((4, 2, 3)), "... N"), b=(np.ones((2, 5)), "... K"))
    with pytest.raises(ValueError, match=r"a \[6\] must"):
        check_axes(a=(np.ones(5), "6"))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.apply_thresholds(x, HALF),
        lambda x: F.decide_top_k(x, 1),
        lambda x: F.group_hits(x, TARGETS, np.array([0]), 1),
    ],
)
@pytest.mark.parametrize("form", [np.asarray, jnp.asarray])
def test_decisions_and_rankings_refuse_nan(call, form):
    scores = SCORES.copy()
    scores[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN at index \[2, 1\]"):
        call(form(scores))


def test_looking_up_a_label_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="0 to 1; got 2 to 2"):
        F.group_hits(SCORES, TARGETS, np.array([2]), 1)
    nodes, kernel, half = np.ones((3, 2)), np.ones((2, 1, 2)), np.ones((1, 2))
    with pytest.raises(ValueError, match=r"receivers must lie in 0\.\.2, got 1\.\.3"):
        F.receiver_scores(np.array([1, 3]), nodes, kernel, half, half)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.group_hits(SCORES, TARGETS, x[0], 1),
        lambda x: F.chunked_loss(
            SCORES, SCORES, SCORES[:, 0], np.ones((3, 1)) * x[0, 0]
        ),
        lambda x: F.bag_of_embeddings(jnp.ones((4, 2)), x, jnp.ones(x.shape, bool)),
        lambda x: F.position_logits(jnp.ones((1, 3, 2)), x),
        lambda x: F.memory_labels(SCORES, SCORES, np.ones((3, 1)), temperature=1, k=1),
        lambda x: F.receiver_scores(
            x[0], np.ones((3, 2)), np.ones((2, 1, 2)), np.ones((1, 2)), np.ones((1, 2))
        ),
    ],
)
def test_ids_that_are_no_integers_are_refused(call):
    for form in (lambda f: f, jax.jit):
        with pytest.raises(ValueError, match=r"must hold integers, got float"):
            form(call)(np.zeros((1, 2), np.float32))


def test_words_are_no_numbers():
    words = np.array([["yes", "no"]] * 3)
    with pytest.raises(ValueError, match="targets must hold numbers, got <U3"):
        F.binary_cross_entropy(SCORES, words)
    with pytest.raises(ValueError, match="targets must hold numbers, got object"):
        F.roc_auc(SCORES[:, 0], words[:, 0].astype(object))
    with pytest.raises(ValueError, match="predictions must hold numbers, got <U3"):
        F.label_counts(words, TARGETS)


def test_counts_of_one_label_do_not_stand_for_those_of_all():
    one, two = np.ones(1, int), np.ones(2, int)
    with pytest.raises(
        ValueError, match=r"got shapes \(2,\), \(1,\), \(2,\) and \(2,\)"
    ):
        F.label_f1(F.LabelCounts(two, one, two, two))
    with pytest.raises(ValueError, match=r"got shapes \(2,\), \(1,\) and \(2,\)"):
        F.f1_from_counts(two, one, two)
    with pytest.raises(ValueError, match=r"label_mask \[N\] must fit together"):
        counts = F.LabelCounts(two, two, two, two)
        F.summarise_label_counts(counts, np.array([True]))
    with pytest.raises(ValueError, match=r"positives \[M\] must fit together"):
        F.f1_from_counts(two, two, two, DocumentCounts(two, two, one))
