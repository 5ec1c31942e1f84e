"""A bag of embeddings over a table of 50 rows, of which a batch reads a few."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.data.batches.touched import TABLE_ROWS
from labelgraph_jax.training.compiled_rows import (
    compile_row_step,
    compile_row_step_pmap,
)
from labelgraph_jax.training.compiled_step import CompiledStep
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer, make_schedule
from labelgraph_jax.training.parallel import make_mesh
from labelgraph_jax.training.row_optimizer import RowAdamW
from labelgraph_jax.training.row_step import LookedUp, RowStep
from labelgraph_jax.training.step import make_gradient, make_train_step
from tests.training.conftest import LABELS, TOTAL_STEPS, logistic_loss

ROWS, WIDTH, TOKENS = 50, 4, 3
TABLE, WEIGHT = "encoder/table", "encoder/weight"
SCHEDULE: dict[str, Any] = {"warmup_steps": 3, "total_steps": TOTAL_STEPS}
LOOKED_UP = LookedUp((TABLE,), (WEIGHT,))


def initial_params() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "encoder": {
            "table": rng.normal(size=(ROWS, WIDTH)).astype(np.float32),
            "weight": rng.uniform(0.5, 2.0, ROWS).astype(np.float32),
        },
        "head": {"kernel": rng.normal(size=(WIDTH, LABELS)).astype(np.float32)},
    }


def apply_bag(params: Any, batch: Any, *, key: Any, train: bool) -> jax.Array:
    """Logits of a weighted bag, a tenth of whose tokens are hidden in training."""
    ids, encoder = batch["token_ids"], params["encoder"]
    seen = jnp.ones(ids.shape)
    if train:
        seen = jax.random.bernoulli(key, 0.9, ids.shape).astype(jnp.float32)
    weights = seen * jnp.asarray(encoder["weight"])[ids]
    vectors = jnp.asarray(encoder["table"])[ids]
    return jnp.einsum("bs,bsd->bd", weights, vectors) @ params["head"]["kernel"]


class RowBatches:
    """An endless stream; each batch reads ten of the rows, now these, now those."""

    def __init__(self, *, rows: bool = True, raise_at: int | None = None) -> None:
        self.position, self.rows, self.raise_at = 0, rows, raise_at

    def __next__(self) -> dict[str, np.ndarray]:
        if self.position == self.raise_at:
            raise RuntimeError("pulled the plug")
        rng = np.random.default_rng(self.position)
        self.position += 1
        rows = np.sort(rng.choice(ROWS, 10, replace=False)).astype(np.int32)
        places = rng.integers(0, 9, (16, TOKENS), dtype=np.int32)  # the last fills up
        targets = (rows[places].sum(1, keepdims=True) % [2, 3, 5] == 0).astype("f")
        mask = np.arange(16) < 16 - self.position % 4
        batch = {"targets": targets, "example_mask": mask}
        if self.rows:
            return batch | {"token_ids": places, TABLE_ROWS: rows}
        return batch | {"token_ids": rows[places]}

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def is_frozen(path: str) -> bool:
    return path == WEIGHT


def optimizer(*, rows: bool) -> Any:
    return make_optimizer(
        learning_rate=0.05,
        is_frozen=is_frozen,
        is_table=(lambda path: path == TABLE) if rows else None,
        clip_norm=0.3,
        **SCHEDULE,
    )


def options(**others: Any) -> dict[str, Any]:
    schedule = make_schedule(0.05, **SCHEDULE)
    return {"is_frozen": is_frozen, "learning_rate": schedule} | others


def dense_step(**others: Any) -> Any:
    objective = multi_label_objective(apply_bag, logistic_loss)
    key = jax.random.key(5)
    return make_train_step(objective, optimizer(rows=False), key, **options(**others))


def row_step(**others: Any) -> RowStep:
    objective = multi_label_objective(apply_bag, logistic_loss)
    return RowStep(
        make_gradient(objective, jax.random.key(5), **options(**others)),
        optimizer(rows=True),
        RowAdamW(make_schedule(0.05, **SCHEDULE), TOTAL_STEPS),
        LOOKED_UP,
        is_frozen,
    )


@functools.cache
def compiled_rows(device_count: int = 1, parallel: str = "jit") -> CompiledStep:
    devices, dense = jax.devices()[:device_count], optimizer(rows=False)
    if parallel == "pmap":
        return compile_row_step_pmap(row_step(), devices, dense=dense)
    return compile_row_step(row_step(), make_mesh(devices), dense=dense)


def mean_logit(params: Any) -> dict[str, float]:
    batch = next(RowBatches(rows=False))
    logits = apply_bag(params, batch, key=None, train=False)
    return {"accuracy": float(jnp.mean((logits > 0) == batch["targets"]))}


def settings(**others: Any) -> dict[str, Any]:
    """What `tests.training.conftest.train` is told to train this model."""
    return {
        "compiled": compiled_rows(),
        "state": row_step().init(initial_params()),
        "evaluate_fn": mean_logit,
        "batches": RowBatches(),
    } | others
