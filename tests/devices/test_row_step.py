"""The rows that a batch reads are the same on eight devices, under jit and pmap."""

from pathlib import Path

import jax
import pytest

from tests.training.conftest import assert_same_bits, train
from tests.training.row_model import (
    RowBatches,
    compiled_rows,
    initial_params,
    row_step,
    settings,
)
from tests.training.test_row_step import assert_close, steps


def test_rows_agree_on_one_device_eight_devices_and_under_pmap() -> None:
    def run(count: int, parallel: str = "jit") -> object:
        compiled = compiled_rows(count, parallel)
        state, metrics = steps(
            compiled, row_step().init(initial_params()), RowBatches()
        )
        return compiled.collect(state) if parallel == "jit" else state, metrics

    one = run(1)
    assert_close(one, run(8))
    pmapped, metrics = run(8, "pmap")
    assert_close(one, (jax.tree.map(lambda leaf: leaf[0], pmapped), metrics))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_rows_over_eight_devices_resume_exactly(tmp_path: Path, parallel: str) -> None:
    eight = compiled_rows(8, parallel)
    whole = train(tmp_path / "whole", **settings(compiled=eight))
    with pytest.raises(RuntimeError):
        broken = settings(compiled=eight, batches=RowBatches(raise_at=7))
        train(tmp_path / "cut", **broken, checkpoint_every=2)
    resumed = train(tmp_path / "cut", **settings(compiled=eight), checkpoint_every=2)
    assert resumed.resumed_from == 6
    assert_same_bits(whole.state, resumed.state)
    one = train(tmp_path / "one", **settings())
    assert_close(one.state.params, whole.state.params)
