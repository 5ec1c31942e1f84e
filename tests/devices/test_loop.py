"""A run over eight devices goes on exactly, and moves to one."""

from pathlib import Path

import jax
import numpy as np
import pytest

from tests.training.conftest import (
    Batches,
    assert_same_bits,
    compiled_step,
    train,
)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_run_over_eight_devices_resumes_exactly(
    tmp_path: Path, parallel: str
) -> None:
    eight = compiled_step(8, parallel)
    whole = train(tmp_path / "whole", compiled=eight)
    with pytest.raises(RuntimeError):
        train(tmp_path / "cut", Batches(raise_at=8), compiled=eight)
    assert_same_bits(whole.state, train(tmp_path / "cut", compiled=eight).state)


def test_a_run_moves_from_eight_devices_to_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        train(tmp_path / "moved", Batches(raise_at=8), compiled=compiled_step(8))
    moved = train(tmp_path / "moved")
    assert moved.resumed_from == 5
    whole = train(tmp_path / "whole")
    for one, other in zip(
        jax.tree.leaves(moved.state), jax.tree.leaves(whole.state), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
