import jaxtyping
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.functional.metrics.tasks import (
    explained_variance,
    log_loss,
    pr_auc,
    rmse,
    roc_auc,
    task_metrics,
)
from tests.examples import examples


@pytest.fixture
def untyped():
    """What a user sees: shapes are checked by the functions themselves."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@examples(40)
@given(seed=st.integers(0, 2**20), levels=st.integers(1, 30))
def test_areas_equal_scikit_learns_also_with_ties(seed: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, 40) / levels
    targets = (generator.random(40) < 0.3).astype(float)
    targets[:2] = 0, 1
    expected = sklearn.metrics.roc_auc_score(targets, scores)
    assert roc_auc(scores, targets) == pytest.approx(expected)
    expected = sklearn.metrics.average_precision_score(targets, scores)
    assert pr_auc(scores, targets) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_target_has_no_area_under_a_curve(value: float) -> None:
    targets = np.full(5, value)
    scores = np.arange(5.0)
    assert roc_auc(scores, targets) is None
    assert pr_auc(scores, targets) is None


def test_log_loss_of_extreme_logits_is_finite_and_that_of_the_definition() -> None:
    logits, targets = np.array([-2.0, 0.0, 3.0]), np.array([0, 1, 1])
    probabilities = 1 / (1 + np.exp(-logits))
    expected = sklearn.metrics.log_loss(targets, probabilities)
    assert log_loss(logits, targets) == pytest.approx(expected)
    assert log_loss(np.array([1e4]), np.array([0])) == pytest.approx(1e4)


def test_errors_of_values_equal_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    values, targets = generator.normal(size=(2, 20))
    expected = sklearn.metrics.root_mean_squared_error(targets, values)
    assert rmse(values, targets) == pytest.approx(expected)
    expected = sklearn.metrics.r2_score(targets, values)
    assert explained_variance(values, targets) == pytest.approx(expected)
    assert explained_variance(values, np.ones(20)) is None


def test_each_kind_of_task_is_measured_over_what_is_annotated_for_it() -> None:
    tasks = (
        Task("click", "binary"),
        Task("topics", "multi_label", 2),
        Task("colour", "multi_class", 3),
        Task("rating", "squared"),
    )
    generator = np.random.default_rng(0)
    rows = 30
    outputs = generator.normal(size=(rows, 7))
    targets = np.zeros((rows, 7))
    targets[:, :3] = generator.random((rows, 3)) < 0.4
    classes = generator.integers(0, 3, rows)
    targets[np.arange(rows), 3 + classes] = 1
    targets[:, 6] = generator.normal(size=rows)
    mask = np.ones((rows, 7), bool)
    mask[:10, 0] = False
    mask[20:, 3:6] = False
    found = task_metrics(outputs, targets, tasks, target_mask=mask)

    click = found["click"]
    assert click["rows"] == 20
    expected = sklearn.metrics.roc_auc_score(targets[10:, 0], outputs[10:, 0])
    assert click["auc"] == pytest.approx(expected)
    expected = sklearn.metrics.f1_score(targets[10:, 0], outputs[10:, 0] > 0)
    assert click["f1"] == pytest.approx(expected)

    topics = found["topics"]
    chosen = outputs[:, 1:3] > 0
    for average in ("micro", "macro"):
        expected = sklearn.metrics.f1_score(targets[:, 1:3], chosen, average=average)
        assert topics[f"{average}_f1"] == pytest.approx(expected)
    expected = sklearn.metrics.roc_auc_score(targets[:, 1:3], outputs[:, 1:3])
    assert topics["auc"] == pytest.approx(expected)

    colour = found["colour"]
    decided = outputs[:20, 3:6].argmax(axis=1)
    assert colour["rows"] == 20
    assert colour["accuracy"] == pytest.approx((decided == classes[:20]).mean())
    expected = sklearn.metrics.f1_score(classes[:20], decided, average="macro")
    assert colour["macro_f1"] == pytest.approx(expected)
    shares = np.exp(outputs[:20, 3:6])
    shares /= shares.sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(classes[:20], shares)
    assert colour["log_loss"] == pytest.approx(expected)
    assert found["rating"]["rows"] == rows


def test_a_task_that_no_row_is_annotated_for_has_no_metric() -> None:
    tasks = (Task("a", "binary"), Task("b", "multi_class", 2), Task("c", "squared"))
    mask = np.zeros((3, 4), bool)
    found = task_metrics(np.zeros((3, 4)), np.zeros((3, 4)), tasks, target_mask=mask)
    for metrics in found.values():
        assert metrics.pop("rows") == 0
        assert set(metrics.values()) == {None}


def test_shapes_that_do_not_fit_are_refused(untyped) -> None:
    tasks = (Task("a", "binary"),)
    with pytest.raises(ValueError, match=r"must be \[M, 1\]"):
        task_metrics(np.zeros((3, 2)), np.zeros((3, 2)), tasks)
    with pytest.raises(ValueError, match=r"two arrays \[M\]"):
        roc_auc(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="must not be NaN"):
        roc_auc(np.full(3, np.nan), np.zeros(3))


def test_a_row_of_weight_three_is_measured_as_three_rows_and_one_of_zero_as_none() -> (
    None
):
    generator = np.random.default_rng(5)
    tasks = [
        Task("click", "binary"),
        Task("tags", "multi_label", 2),
        Task("genre", "multi_class", 3),
        Task("rating", "squared"),
    ]
    outputs, targets = generator.normal(size=(2, 60, 7))
    targets[:, :3] = targets[:, :3] > 0.3
    targets[:, 3:6] = np.eye(3)[generator.integers(0, 3, 60)]
    outputs = np.round(outputs, 1)  # ties
    mask = np.repeat(generator.random((60, 4)) < 0.8, [1, 2, 3, 1], axis=1)
    counts = generator.integers(0, 4, 60)
    weighted = task_metrics(
        outputs, targets, tasks, target_mask=mask, weights=counts.astype(float)
    )
    repeated = task_metrics(
        np.repeat(outputs, counts, axis=0),
        np.repeat(targets, counts, axis=0),
        tasks,
        target_mask=np.repeat(mask, counts, axis=0),
    )
    for name, metrics in weighted.items():
        for metric, value in metrics.items():
            if metric != "rows":
                expected = repeated[name][metric]
                assert value == pytest.approx(expected, abs=1e-12), (name, metric)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(1), "weights .* must fit together"),
        (np.ones(3), "weights .* must fit together"),
        (np.ones((4, 1)), "weights .* must fit together"),
        (
            np.array([1.0, -5.0, 1.0, 1.0]),
            "weights must be finite numbers of",
        ),
        (np.array([1.0, np.inf, 1.0, 1.0]), "weights must be finite"),
        (np.array([1.0, np.nan, 1.0, 1.0]), "weights must be numbers, got NaN"),
        (np.zeros(4), "weights must not all be 0"),
    ],
)
@pytest.mark.parametrize(
    "metric", [roc_auc, pr_auc, log_loss, rmse, explained_variance]
)
def test_weights_that_weigh_nothing_are_refused(
    untyped, metric, weights: np.ndarray, message: str
) -> None:
    values, targets = np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=message):
        metric(values, targets, weights)
