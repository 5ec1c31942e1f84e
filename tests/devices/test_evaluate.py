"""Probabilities over eight devices are those of one, whatever the batches."""

import numpy as np
import pytest

from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.parallel import make_mesh
from tests.training.conftest import apply_without_dropout, initial_params
from tests.training.test_evaluate import batches, expected


@pytest.mark.parametrize("batch_size", [1, 4, 7, 21, 32])
def test_any_batch_size_gives_the_same_over_eight_devices(batch_size: int) -> None:
    compiled = compile_probabilities(apply_without_dropout, make_mesh())
    result = predict_probabilities(compiled, initial_params(), batches(batch_size))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(), rtol=1e-5)
