"""Runs of one ranker that train together, and what they say of other rows."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE, Task
from labelgraph_jax.functional.mixture.experts import GateSums, gate_sums
from labelgraph_jax.modules.mixture import GATES, gate_weights_of
from labelgraph_jax.modules.ranker import Ranker
from labelgraph_jax.training.objectives import multi_task_objective
from labelgraph_jax.training.optimizer import make_optimizer
from labelgraph_jax.training.seeds import (
    Trial,
    batch_orders,
    compile_epoch,
    fit_seeds,
    stack_trees,
)
from labelgraph_jax.training.step import TrainStep, init_train_state, make_train_step

Arrays = Mapping[str, np.ndarray]
_CHUNK = 4_096


@dataclasses.dataclass(frozen=True)
class Plan:
    """How every run is trained."""

    epochs: int = 3
    batch: int = 512
    weight_decay: float = 0.1


@dataclasses.dataclass(frozen=True)
class Runs:
    """Finished runs of one ranker.

    Attributes:
        params: of each run's best epoch, stacked.
        best_epoch, best_value: by validation `[S]`.
        seconds: of all runs together, compilation included.
    """

    params: Any
    best_epoch: np.ndarray
    best_value: np.ndarray
    seconds: float


def train_runs(
    model: Ranker,
    tasks: Sequence[Task],
    data: Arrays,
    plan: Plan,
    *,
    seeds: Sequence[int],
    rates: Sequence[float],
    evaluate: Callable[[Any], Sequence[float]],
    own: Arrays | None = None,
    weighting: str = "given",
) -> Runs:
    """Trains runs together, one per seed; the epoch with the best validation is kept.

    Args:
        model: what is trained.
        tasks: its tasks.
        data: `categories`, `numbers` and, where all runs share them, `targets`,
            `target_mask`, `positions`, `groups`.
        plan: the same for all runs.
        seeds: of first parameters, batch order and dropout.
        rates: each run's learning rate.
        evaluate: stacked parameters -> one value per run, larger is better.
        own: arrays that differ from run to run, `[S, M, ...]`, under the same names.
        weighting: of the tasks' losses, as `mixture.weighting`.
    """
    started = time.perf_counter()
    count = len(data["categories"])
    steps = -(-count // plan.batch)

    def optimizer(rate: Any) -> optax.GradientTransformation:
        # AdamW's update is linear in its rate: runs of different rates share a program.
        unit = make_optimizer(
            learning_rate=1.0,
            total_steps=steps * plan.epochs,
            weight_decay=plan.weight_decay,
        )
        return optax.chain(unit, optax.scale(rate))

    learned = weighting in ("uncertainty", "gradnorm")
    objective = multi_task_objective(
        applied(model),
        tasks,
        log_variance=(lambda params: params[LOG_VARIANCE])
        if weighting == "uncertainty"
        else None,
        balance=weighting if weighting in ("gradnorm", "project") else "",
        constant=constant_outputs(tasks, data) if weighting != "given" else None,
    )

    def make_step(trial: Trial) -> TrainStep:
        def loss_fn(params: Any, batch: Any, key: jax.Array) -> Any:
            rows = batch["row"]
            taken = {name: array[rows] for name, array in trial.constants.items()}
            return objective(params, {**batch, **taken}, key)

        key = jax.random.fold_in(jax.random.key(trial.seed), 1)
        return make_train_step(loss_fn, optimizer(trial.learning_rate), key)

    @jax.jit
    def first(key: jax.Array) -> Any:
        params = initial_params(model, key, data)
        more = {LOG_VARIANCE: jnp.zeros(len(tasks))} if learned else {}
        return {**params, **more}

    states = [
        init_train_state(first(jax.random.key(seed)), optimizer(1.0)) for seed in seeds
    ]
    trials = [
        Trial(seed, rate, constants={n: array[run] for n, array in (own or {}).items()})
        for run, (seed, rate) in enumerate(zip(seeds, rates, strict=True))
    ]
    result = fit_seeds(
        compile_epoch(make_step, {**data, "row": np.arange(count, dtype=np.int32)}),
        stack_trees(states),
        trials,
        batch_orders(count, batch_size=plan.batch, epochs=plan.epochs, seeds=seeds),
        evaluate=evaluate,
    )
    return Runs(
        params=result.params,
        best_epoch=result.best_epoch,
        best_value=result.best_value,
        seconds=time.perf_counter() - started,
    )


def constant_outputs(tasks: Sequence[Task], data: Arrays) -> np.ndarray:
    """Of every task the output that predicts the mean of its targets, for all rows."""
    known, targets = data["target_mask"], data["targets"].astype(np.float64)
    mean = (targets * known).sum(axis=0) / known.sum(axis=0)
    binary = np.array([task.kind == "binary" for task in tasks])
    share = np.clip(np.where(binary, mean, 0.5), 1e-6, 1 - 1e-6)
    return np.where(binary, np.log(share) - np.log1p(-share), mean).astype(np.float32)


def applied(model: Ranker) -> Callable[..., Any]:
    """The model as `apply_fn(params, batch, *, key, train)`."""

    def apply_fn(
        params: Any, batch: Any, *, key: jax.Array | None, train: bool
    ) -> jax.Array:
        outputs = model.apply(
            {"params": params},
            batch["categories"],
            batch["numbers"],
            batch.get("positions"),
            batch.get("groups"),
            deterministic=not train,
            rngs=None if key is None else {"dropout": key},
        )
        return jnp.asarray(outputs)

    return apply_fn


def initial_params(model: Ranker, key: jax.Array, data: Arrays) -> Any:
    """The first parameters of a run."""
    return model.init(
        key, jnp.asarray(data["categories"][:1]), jnp.asarray(data["numbers"][:1])
    )["params"]


def predictor(
    model: Ranker, data: Arrays, own: Arrays | None = None
) -> Callable[[Any], np.ndarray]:
    """`predict(stacked params)` -> outputs `[S, M, O]` of all rows, without dropout.

    Args:
        model: that is asked.
        data: inputs of all rows; without `positions` the ranker serves.
        own: inputs that differ from run to run, `[S, M, ...]`.
    """
    apply_fn = applied(model)
    count = len(data["categories"])
    chunks = _chunked(data)
    own_chunks = jax.vmap(_chunked)(dict(own or {})) if own else {}

    @jax.jit
    def outputs(params: Any, chunks: Any, own_chunks: Any) -> jax.Array:
        def one(run: Any) -> jax.Array:
            def part(batch: Any) -> jax.Array:
                return apply_fn(run[0], batch, key=None, train=False)

            return jax.lax.map(part, {**chunks, **run[1]})

        return jax.lax.map(one, (params, own_chunks))

    def predict(params: Any) -> np.ndarray:
        made = np.asarray(outputs(params, chunks, own_chunks))
        return made.reshape(len(made), -1, made.shape[-1])[:, :count]

    return predict


def gate_counts(model: Ranker, data: Arrays, params: Any) -> list[GateSums]:
    """What the gates of each run do with all rows."""
    count = len(data["categories"])
    chunks = _chunked(data)
    real = (np.arange(len(chunks["numbers"]) * _CHUNK) < count).reshape(-1, _CHUNK)

    @jax.jit
    def sums(params: Any, chunks: Any, real: Any) -> GateSums:
        def part(batch: Any) -> GateSums:
            _, left = model.apply(
                {"params": params},
                batch[0]["categories"],
                batch[0]["numbers"],
                mutable=GATES,
            )
            weights = gate_weights_of(left)
            assert weights is not None
            return gate_sums(weights, batch[1])

        parts = jax.lax.map(part, (chunks, real))
        return jax.tree.map(lambda leaf: leaf.sum(axis=0), parts)

    runs = len(jax.tree.leaves(params)[0])
    return [
        jax.tree.map(np.asarray, sums(_run(params, run), chunks, real))
        for run in range(runs)
    ]


def _run(params: Any, run: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[run], params)


def _chunked(data: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The arrays in chunks `[N, _CHUNK, ...]`, the last one filled with zeros."""
    chunks = {}
    for name, array in data.items():
        fill = [(0, -len(array) % _CHUNK)] + [(0, 0)] * (array.ndim - 1)
        padded = jnp.pad(jnp.asarray(array), fill)
        chunks[name] = padded.reshape(-1, _CHUNK, *array.shape[1:])
    return chunks
