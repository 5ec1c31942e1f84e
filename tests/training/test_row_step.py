"""A step of the rows that a batch reads is the step of the whole table."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from labelgraph_jax.training.checkpoint import (
    CheckpointMismatchError,
    CheckpointStore,
)
from labelgraph_jax.training.compiled_step import CompiledStep, compile_train_step
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import TrainState, init_train_state
from tests.training.conftest import TOTAL_STEPS, assert_same_bits, train
from tests.training.row_model import (
    ROWS,
    RowBatches,
    compiled_rows,
    dense_step,
    initial_params,
    optimizer,
    row_step,
    settings,
)


def assert_close(left: Any, right: Any) -> None:
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def dense() -> CompiledStep:
    return compile_train_step(dense_step(), make_mesh(jax.devices()[:1]))


def dense_state() -> TrainState:
    return init_train_state(initial_params(), optimizer(rows=False))


def steps(
    compiled: CompiledStep, state: TrainState, batches: RowBatches
) -> tuple[Any, list[Any]]:
    placed, metrics = compiled.place_state(state), []
    for _ in range(TOTAL_STEPS):
        placed, values = compiled(placed, compiled.place_batch(next(batches)))
        metrics.append(jax.device_get(values))
    return jax.device_get(compiled.whole(placed)), metrics


def test_parameters_losses_and_norms_are_those_of_the_dense_step() -> None:
    whole, first = steps(dense(), dense_state(), RowBatches(rows=False))
    rows, second = steps(
        compiled_rows(), row_step().init(initial_params()), RowBatches()
    )
    assert_close(whole.params, rows.params)
    assert_close(first, second)
    # The norm is that of all gradients, and it is clipped.
    assert max(values["gradient_norm"] for values in second) > 0.3
    assert_same_bits(
        rows.params["encoder"]["weight"], initial_params()["encoder"]["weight"]
    )


def test_eager_and_compiled_agree() -> None:
    step, batches = row_step(), RowBatches()
    state = step.split(step.init(initial_params()))
    with jax.disable_jit():
        for _ in range(3):
            batch = next(batches)
            rows = batch.pop("table_rows")
            moved, touched, _ = step.advance(*state[:3], state, rows, batch)
            tables = step.write(state.tables, rows, touched)
            state = state._replace(
                step=moved[0], params=moved[1], rest=moved[2], tables=tables
            )
    compiled, batches = compiled_rows(), RowBatches()
    placed = compiled.place_state(step.init(initial_params()))
    for _ in range(3):
        placed, _ = compiled(placed, compiled.place_batch(next(batches)))
    assert_close(step.join(state).params, compiled.whole(placed).params)


def test_micro_batches_read_the_rows_of_the_whole_batch(tmp_path: Path) -> None:
    step = row_step(micro_batches=2)
    moved = step.advance(
        *step.split(step.init(initial_params()))[:3],
        step.split(step.init(initial_params())),
        *_parted(next(RowBatches())),
    )
    whole = dense_step(micro_batches=2)
    expected, _ = whole(dense_state(), next(RowBatches(rows=False)))
    assert_close(moved[0][1]["head"], expected.params["head"])


def _parted(batch: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return batch.pop("table_rows"), batch


@pytest.mark.parametrize("cut", [3, 5, 9])
def test_a_run_cut_off_anywhere_ends_bit_identical(tmp_path: Path, cut: int) -> None:
    whole = train(tmp_path / "whole", **settings())
    with pytest.raises(RuntimeError):
        broken = settings(batches=RowBatches(raise_at=cut))
        train(tmp_path / "cut", **broken, checkpoint_every=2)
    resumed = train(tmp_path / "cut", **settings(), checkpoint_every=2)
    assert resumed.resumed_from in (2, 5, 8)
    assert_same_bits(whole.state, resumed.state)


def test_a_checkpoint_within_an_epoch_holds_the_true_parameters(
    tmp_path: Path,
) -> None:
    with pytest.raises(RuntimeError):
        broken = settings(batches=RowBatches(raise_at=9))
        train(tmp_path / "cut", **broken, checkpoint_every=2)
    with CheckpointStore(tmp_path / "cut" / "checkpoints") as store:
        saved = store.restore_params(8)
    compiled, batches = dense(), RowBatches(rows=False)
    placed = compiled.place_state(dense_state())
    for _ in range(8):
        placed, _ = compiled(placed, compiled.place_batch(next(batches)))
    assert_close(saved, jax.device_get(placed.params))


def test_a_run_that_began_dense_goes_on_by_rows(tmp_path: Path) -> None:
    begun = settings(
        compiled=dense(),
        state=dense_state(),
        batches=RowBatches(rows=False, raise_at=7),
    )
    with pytest.raises(RuntimeError):
        train(tmp_path / "moved", **begun)
    moved = train(tmp_path / "moved", **settings())
    assert moved.resumed_from == 5
    assert_close(
        moved.state.params, train(tmp_path / "rows", **settings()).state.params
    )


def test_a_checkpoint_of_another_model_is_refused_as_ever(tmp_path: Path) -> None:
    train(tmp_path / "linear")
    with pytest.raises(CheckpointMismatchError, match="encoder/table"):
        train(tmp_path / "linear", **settings())


def test_averages_that_begin_anew_begin_where_the_run_is(tmp_path: Path) -> None:
    compiled, step = compiled_rows(), row_step()
    fresh = step.anew(step.init(initial_params()).opt_state, 7)
    state = TrainState(np.int32(7), initial_params(), fresh)
    assert_same_bits(
        compiled.whole(compiled.place_state(state)).params, initial_params()
    )
    placed = compiled.place_state(state)
    batch = next(RowBatches())
    placed, metrics = compiled(placed, compiled.place_batch(batch))
    rows = jax.device_get(compiled.whole(placed)).params["encoder"]["table"]
    # A first step of Adam moves each number by about the rate of that step.
    moved = np.abs(rows - initial_params()["encoder"]["table"])
    read = np.unique(batch["table_rows"][batch["token_ids"]])
    assert moved[read].max() == pytest.approx(float(metrics["learning_rate"]), rel=0.1)
    others = np.setdiff1d(np.arange(ROWS), read)
    assert moved[others].max() < 0.05 * moved[read].max()
