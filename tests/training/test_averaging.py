"""An average of the parameters is what validation and checkpoints see."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from labelgraph_jax.training.averaging import publishing_average, with_average
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.compiled_step import CompiledStep, compile_train_step
from labelgraph_jax.training.loop import TrainResult, train_loop
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step

from .conftest import (
    STEPS_PER_EPOCH,
    TOTAL_STEPS,
    Batches,
    apply_linear,
    assert_same_bits,
    initial_params,
    logistic_loss,
)

EVERY: dict[str, dict[str, int]] = {
    "ema": {},
    "epochs": {"every": STEPS_PER_EPOCH, "first": 2},
}


def step_of(kind: str) -> tuple[Any, CompiledStep]:
    optimizer = with_average(optax.adam(0.05), **EVERY[kind])
    objective = multi_label_objective(apply_linear, logistic_loss)
    step = make_train_step(objective, optimizer, jax.random.key(3))
    compiled = compile_train_step(step, make_mesh(jax.devices()[:1]))
    return optimizer, publishing_average(compiled)


def train(workdir: Path, kind: str, batches: Batches | None = None) -> TrainResult:
    optimizer, compiled = step_of(kind)
    return train_loop(
        init_train_state(initial_params(), optimizer),
        compiled,
        batches or Batches(),
        total_steps=TOTAL_STEPS,
        steps_per_epoch=STEPS_PER_EPOCH,
        evaluate_fn=lambda params: {"bias": float(params["head"]["bias"].sum())},
        metric="bias",
        store=CheckpointStore(workdir, metric="bias"),
        checkpoint_every=2,
        progress=False,
    )


def trained(kind: str) -> list[Any]:
    """The parameters after every step, as no average would leave them."""
    optimizer, _ = step_of(kind)
    objective = multi_label_objective(apply_linear, logistic_loss)
    step = jax.jit(make_train_step(objective, optimizer, jax.random.key(3)))
    state, batches = init_train_state(initial_params(), optimizer), Batches()
    found = []
    for _ in range(TOTAL_STEPS):
        state, _ = step(state, next(batches))
        found.append(state.params)
    return found


def averaged(kind: str, params: list[Any]) -> Any:
    """The average by its definition."""
    if kind == "epochs":
        ends = range(STEPS_PER_EPOCH, TOTAL_STEPS + 1, STEPS_PER_EPOCH)
        chosen = [params[n - 1] for n in list(ends)[1:]]
        return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *chosen)
    average = initial_params()
    for n, new in enumerate(params, 1):
        kept = min(0.99, n / (n + 9))
        average = jax.tree.map(
            lambda a, b, kept=kept: kept * a + (1 - kept) * b, average, new
        )
    return average


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_kept_is_the_average_and_the_steps_are_as_ever(
    kind: str, tmp_path: Path
) -> None:
    result, params = train(tmp_path, kind), trained(kind)
    expected = averaged(kind, params)
    kept = CheckpointStore(tmp_path).restore_params(TOTAL_STEPS)
    for one, other in zip(
        jax.tree.leaves(kept), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert_same_bits(kept, result.state.params)
    last = result.state.opt_state.average
    for one, other in zip(
        jax.tree.leaves(last), jax.tree.leaves(params[-1]), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    # Validation measured the same.
    bias = float(np.sum(expected["head"]["bias"]))
    assert result.history[-1]["bias"] == pytest.approx(bias, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("cut", [11])
def test_a_run_that_was_cut_off_goes_on_bit_for_bit(
    kind: str, cut: int, tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", kind)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        train(tmp_path / "cut", kind, Batches(raise_at=cut))
    resumed = train(tmp_path / "cut", kind)
    assert 0 < resumed.resumed_from <= cut
    assert_same_bits(whole.state, resumed.state)
    assert whole.history == resumed.history


@pytest.mark.parametrize("kind", EVERY)
def test_parameters_that_are_kept_alone_are_where_their_average_begins(
    kind: str, tmp_path: Path
) -> None:
    train(tmp_path, kind)
    with CheckpointStore(tmp_path, metric="bias") as store:
        store.keep_parameters()
        step = store.steps()[-1]
        kept = store.restore_params(step)

    class Anew(Batches):
        def set_state(self, state: dict[str, int]) -> None:
            """It counts otherwise than those of a run."""

    optimizer, compiled = step_of(kind)
    result = train_loop(
        init_train_state(jax.tree.map(jnp.zeros_like, initial_params()), optimizer),
        compiled,
        Anew(),
        total_steps=step,
        steps_per_epoch=STEPS_PER_EPOCH,
        store=CheckpointStore(tmp_path),
        progress=False,
    )
    assert_same_bits(result.state.params, kept)
    assert_same_bits(result.state.opt_state.average, kept)


def test_before_its_first_end_an_average_of_epochs_is_the_parameters() -> None:
    optimizer = with_average(optax.sgd(0.1), every=2, first=2)
    params = {"w": jnp.float32(1.0)}
    state, found, own = optimizer.init(params), [], []
    for _ in range(7):
        updates, state = optimizer.update({"w": jnp.float32(1)}, state, params)
        params = optax.apply_updates(params, updates)
        own.append(float(params["w"]))
        found.append(float(state.average["w"]))
    both = (own[3] + own[5]) / 2
    np.testing.assert_allclose(found, [*own[:4], own[3], both, both], rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"every": -1}, {"every": 2, "first": 0}])
def test_counts_out_of_their_range_are_told(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="every must be at least 0 and first at least"):
        with_average(optax.sgd(0.1), **wrong)
