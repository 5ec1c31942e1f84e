"""The loop resumes exactly, stops early, keeps the best, and never saves nonsense."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.loop import TrainResult, train_loop
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer
from labelgraph_jax.training.parallel import compile_train_step, make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step

from .conftest import Batches, apply_linear, initial_params, logistic_loss


def accuracy(params: Any) -> dict[str, float]:
    batch = next(Batches(64))
    logits = apply_linear(params, batch, key=None, train=False)
    return {"accuracy": float(np.mean((np.asarray(logits) > 0) == batch["targets"]))}


def run(workdir: Path, batches: Batches | None = None, **options: Any) -> TrainResult:
    optimizer = make_optimizer(learning_rate=0.05, warmup_steps=3, total_steps=23)
    step = make_train_step(
        multi_label_objective(apply_linear, logistic_loss),
        optimizer,
        jax.random.key(7),
    )
    settings: dict[str, Any] = dict(
        total_steps=23,
        steps_per_epoch=5,
        evaluate_fn=accuracy,
        metric="accuracy",
        progress=False,
        log_every=2,
    )
    with (
        CheckpointStore(workdir / "checkpoints", metric="accuracy") as store,
        MetricsLog(workdir) as log,
    ):
        return train_loop(
            init_train_state(initial_params(), optimizer),
            compile_train_step(step, make_mesh(jax.devices()[:1])),
            batches or Batches(),
            store=store,
            log=log,
            **(settings | options),
        )


def assert_same_bits(left: Any, right: Any) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("cut", [1, 5, 7, 12, 22])
def test_a_run_cut_off_in_an_epoch_ends_bit_identical(tmp_path: Path, cut: int) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(tmp_path / "cut", Batches(raise_at=cut))
    resumed = run(tmp_path / "cut")
    assert resumed.resumed_from == cut // 5 * 5
    assert_same_bits(whole.state, resumed.state)
    assert whole.history == resumed.history
    assert (whole.best_step, whole.best_metric) == (
        resumed.best_step,
        resumed.best_metric,
    )
