"""The FLOPs of a step are counted over all the devices that share it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from labelgraph_jax.training.compiled_step import (
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.step import init_train_state, make_train_step
from tests.training.conftest import apply_without_dropout, logistic_loss


def flops_of(kind: str, rows: int, features: int, labels: int) -> float:
    optimizer = optax.sgd(0.1)
    step = make_train_step(
        multi_label_objective(apply_without_dropout, logistic_loss),
        optimizer,
        jax.random.key(0),
    )
    if kind == "pmap":
        compiled = compile_train_step_pmap(step)
    else:
        compiled = compile_train_step(step, make_mesh(jax.devices()[: int(kind)]))
    params = {
        "head": {"kernel": jnp.zeros((features, labels)), "bias": jnp.zeros(labels)}
    }
    state = compiled.place_state(init_train_state(params, optimizer))
    batch = compiled.place_batch(
        {
            "inputs": np.ones((rows, features), np.float32),
            "targets": np.zeros((rows, labels), np.float32),
        }
    )
    assert compiled.flops(batch) == 0.0  # not compiled yet
    compiled(state, batch)
    return compiled.flops(batch)


@pytest.mark.parametrize("kind", ["1", "8", "pmap"])
def test_the_flops_of_a_linear_step_are_those_of_its_two_products(kind: str) -> None:
    rows, features, labels = 512, 32, 16
    flops = flops_of(kind, rows, features, labels)
    # Logits and the kernel's gradient, over all devices; what is left is entry by
    # entry: a few dozen per logit, a few per parameter and device.
    products = 2 * 2 * rows * features * labels
    assert products <= flops <= 2 * products
