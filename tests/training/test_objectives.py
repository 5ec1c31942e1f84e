"""A model and a loss make one objective."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.training import objectives
from labelgraph_jax.training.objectives import multi_label_objective

from .conftest import Batches, apply_without_dropout, initial_params


def test_masks_and_options_reach_the_loss() -> None:
    seen: dict[str, Any] = {}

    def loss(logits: jax.Array, targets: jax.Array, **options: Any) -> Any:
        seen.update(options, logits=logits, targets=targets)
        return logits.sum(), targets.sum()

    batch = next(Batches())
    loss_fn = multi_label_objective(apply_without_dropout, loss, label_smoothing=0.1)
    loss_sum, weight_sum = loss_fn(initial_params(), batch, jax.random.key(0))
    assert seen["label_smoothing"] == 0.1
    assert seen["target_mask"] is None
    np.testing.assert_array_equal(seen["example_mask"], batch["example_mask"])
    assert (loss_sum, weight_sum) == (seen["logits"].sum(), batch["targets"].sum())


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_of_given_outputs_is_that_of_all_rows_however_they_are_cut(
    masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(37, 5)).astype(np.float32)
    targets = (rng.random((37, 5)) < 0.3).astype(np.float32)
    mask = rng.random((37, 5)) < 0.8 if masked else None
    loss_fn = multi_label_objective(
        objectives.given_outputs, lg.functional.binary_cross_entropy
    )
    probabilities = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    cells = -np.log(np.where(targets > 0, probabilities, 1 - probabilities))
    expected = cells[mask].mean() if masked else cells.mean()
    for rows in (1, 8, 100):
        monkeypatch.setattr(objectives, "ROWS_AT_ONCE", rows)
        loss = objectives.loss_of_outputs(loss_fn, {}, outputs, targets, mask)
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [0.5, 1.0, 30.0])
def test_positives_that_count_more_leave_the_logit_that_of_the_probability(
    weight: float,
) -> None:
    targets = np.zeros((20, 1), np.float32)
    targets[:3] = 1.0
    share = np.log(3 / 17)
    loss_fn = objectives.multi_task_objective(
        lambda params, batch, *, key, train: params * np.ones((20, 1), np.float32),
        [Task("rare", "binary")],
        positive_weight=np.array([weight]),
    )

    def loss(logit: Any) -> Any:
        return loss_fn(logit, {"targets": targets}, jax.random.key(0))[0]

    assert abs(float(jax.grad(loss)(np.float32(share)))) < 1e-4
    assert abs(float(jax.grad(loss)(np.float32(share + 1)))) > 0.1


def test_an_added_loss_raises_the_mean_loss_by_its_weight_times_its_mean() -> None:
    labelled = multi_label_objective(
        apply_without_dropout, lg.functional.binary_cross_entropy
    )
    batch, key, params = next(Batches()), jax.random.key(0), initial_params()
    added = objectives.added_objective(labelled, lambda *_: jnp.float32(0.5), 3.0)
    alone, cells = labelled(params, batch, key)
    total, weight = added(params, batch, key)
    assert weight == cells
    assert float(total / weight) == pytest.approx(float(alone / cells) + 1.5)


def test_an_added_loss_of_weight_0_is_the_labelled_loss_itself() -> None:
    labelled = multi_label_objective(
        apply_without_dropout, lg.functional.binary_cross_entropy
    )
    assert objectives.added_objective(labelled, lambda *_: 1 / 0, 0.0) is labelled


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_an_added_loss_needs_a_weight(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be finite and at least 0"):
        objectives.added_objective(lambda *_: (0, 0), lambda *_: 0, weight)  # type: ignore[arg-type,return-value]
