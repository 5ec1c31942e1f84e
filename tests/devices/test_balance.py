"""Tasks balanced by their gradients: one device, eight, and pmap take one step."""

from typing import Any

import jax
import numpy as np
import optax
import pytest

from labelgraph_jax.training.compiled_step import (
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step
from tests.training.test_balance import batch_of, objective, params


@pytest.mark.parametrize("kind", ["project", "gradnorm"])
def test_balanced_steps_are_the_same_on_all_devices(kind: str) -> None:
    optimizer = optax.adam(0.05)
    step = make_train_step(objective(kind), optimizer, jax.random.key(1))
    first = init_train_state(params(), optimizer)

    def after_three(compiled: Any) -> Any:
        state = compiled.place_state(first)
        for seed in range(3):
            state, _ = compiled(state, compiled.place_batch(batch_of(seed)))
        return jax.device_get(compiled.collect(state).params)

    one = after_three(compile_train_step(step, make_mesh(jax.devices()[:1])))
    for other in (compile_train_step(step), compile_train_step_pmap(step)):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
            one,
            after_three(other),
        )
