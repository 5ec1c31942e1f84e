"""Runs of one network that train together: seeds, or learning rates, or both."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.census.inputs import Arrays, CensusInputs
from experiments.census.networks import Shape, apply_fn, network_inputs
from labelgraph_jax.functional.metrics.tasks import roc_auc
from labelgraph_jax.functional.mixture.experts import (
    GateStatistics,
    gate_statistics,
    gate_sums,
)
from labelgraph_jax.modules.mixture import GATES, gate_weights_of, l2_constraint
from labelgraph_jax.training import seeds
from labelgraph_jax.training.objectives import multi_task_objective
from labelgraph_jax.training.optimizer import has_weight_decay, make_schedule
from labelgraph_jax.training.step import (
    TrainState,
    TrainStep,
    init_train_state,
    make_train_step,
    path_string,
)

_SCORED_AT_ONCE = 8_192


@dataclass(frozen=True)
class Schedule:
    """What all runs that train together have in common.

    Attributes:
        epochs: the learning rate falls linearly to zero over them.
        batch_size: rows per step.
        dropout: after every hidden layer.
        rows: training rows that are used, the first of a fixed draw; 0 means all.
    """

    epochs: int
    batch_size: int
    dropout: float
    rows: int = 0


@dataclass(frozen=True)
class Trial:
    """What may differ between runs that train together.

    Attributes:
        seed: of parameters, batches and dropout.
        learning_rate: Adam's at the start.
        weight_decay: decoupled.
        constraint: weight of the squared distance between the tasks' networks;
            l2_constrained alone has one.
    """

    seed: int
    learning_rate: float
    weight_decay: float = 0.0
    constraint: float = 0.0


@dataclass(frozen=True)
class Trained:
    """One run.

    Attributes:
        trial: its settings.
        best_epoch: by the main task's AUC on validation, from 1.
        validation, test: AUC of every task at that epoch.
        history: the main task's AUC on validation after every epoch.
        seconds: its share of the time.
        test_outputs: logits `[M, T]` of the test rows; None where not scored.
        gates: what the gates do on the test rows; None without gates.
    """

    trial: Trial
    best_epoch: int
    validation: tuple[float, ...]
    test: tuple[float, ...]
    history: tuple[float, ...]
    seconds: float
    test_outputs: np.ndarray | None
    gates: dict[str, Any] | None


def train_together(
    inputs: CensusInputs,
    shape: Shape,
    trials: Sequence[Trial],
    schedule: Schedule,
    *,
    scores: bool = True,
) -> list[Trained]:
    """Trains one network under several settings at once; each keeps its best epoch.

    Args:
        inputs: of one group.
        shape: of the network.
        trials: the runs; the first one's seed says in which order they see the rows.
        schedule: what they have in common.
        scores: without, the runs are for tuning: the test rows are not looked at.
    """
    started = time.perf_counter()
    network = shape.network(inputs.tasks, schedule.dropout)
    train = _drawn_rows(inputs.splits["train"], schedule.rows)
    steps = -(-len(train["targets"]) // schedule.batch_size)
    total = steps * schedule.epochs

    def make_step(trial: seeds.Trial) -> TrainStep:
        penalty = None
        if shape.kind == "l2_constrained":

            def penalty(params: Any) -> jax.Array:
                return trial.constants * l2_constraint(params)

        loss = multi_task_objective(apply_fn(network), inputs.tasks, penalty=penalty)
        key = jax.random.key(1_000_003 + trial.seed)
        return make_train_step(loss, _optimizer(trial, total), key)

    score = _Scorer(network, inputs)
    main = inputs.splits["validation"]["targets"][:, 0]

    def evaluate(params: Any) -> list[float]:
        outputs = score(params, "validation")
        return [_auc(run[:, 0], main) for run in outputs]

    # One order for all runs: to read the rows and spell them out costs as much as the
    # network itself.
    orders = seeds.batch_orders(
        len(train["targets"]),
        batch_size=schedule.batch_size,
        epochs=schedule.epochs,
        seeds=[trials[0].seed],
    )
    result = seeds.fit_seeds(
        seeds.compile_epoch(make_step, train, share_batches=True),
        _first_states(network, inputs.width, trials, total),
        [
            seeds.Trial(t.seed, t.learning_rate, t.weight_decay, t.constraint)
            for t in trials
        ],
        (rows for (rows,) in orders),
        evaluate=evaluate,
    )
    measured = ("validation", "test") if scores else ("validation",)
    outputs = {name: score(result.params, name) for name in measured}
    aucs = {
        name: [
            tuple(_auc(run[:, t], targets[:, t]) for t in range(len(inputs.tasks)))
            for run in outputs[name]
        ]
        for name, targets in ((n, inputs.splits[n]["targets"]) for n in outputs)
    }
    gates = score.gates(result.params) if scores else []
    seconds = (time.perf_counter() - started) / len(trials)
    return [
        Trained(
            trial=trial,
            best_epoch=int(result.best_epoch[i]),
            validation=aucs["validation"][i],
            test=aucs["test"][i] if scores else (),
            history=tuple(float(value) for value in result.values[:, i]),
            seconds=seconds,
            test_outputs=outputs["test"][i] if scores else None,
            gates=gates[i] if gates else None,
        )
        for i, trial in enumerate(trials)
    ]


def _optimizer(trial: Trial | seeds.Trial, total: int) -> optax.GradientTransformation:
    """AdamW with a linear decay, whose numbers may be traced."""
    decay = make_schedule(1.0, warmup_steps=0, total_steps=total, schedule="linear")

    def mask(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: has_weight_decay(path_string(path), leaf), params
        )

    return optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(trial.weight_decay, mask),
        optax.scale_by_schedule(lambda step: -trial.learning_rate * decay(step)),
    )


def _first_states(
    network: Any, width: int, trials: Sequence[Trial], total: int
) -> TrainState:
    optimizer, row = _optimizer(trials[0], total), jnp.zeros((1, width))

    @jax.jit
    @jax.vmap
    def first(key: jax.Array) -> TrainState:
        return init_train_state(network.init(key, row)["params"], optimizer)

    return first(jnp.stack([jax.random.key(trial.seed) for trial in trials]))


def _drawn_rows(train: Arrays, rows: int) -> Arrays:
    count = len(train["targets"])
    if not rows or rows >= count:
        return train
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:rows])
    return {name: array[chosen] for name, array in train.items()}


def _auc(scores: np.ndarray, targets: np.ndarray) -> float:
    auc = roc_auc(scores, targets)
    return float("nan") if auc is None else auc


class _Scorer:
    """Stacked parameters -> outputs of a split, or what the gates do on the test."""

    def __init__(self, network: Any, inputs: CensusInputs) -> None:
        self.inputs = inputs
        self.has_gates = network.kind in ("omoe", "mmoe")

        def outputs(params: Any, batch: Any) -> jax.Array:
            return apply_fn(network)(params, batch, key=None, train=False)

        def gates(params: Any, batch: Any) -> Any:
            _, variables = network.apply(
                {"params": params}, network_inputs(batch), mutable=GATES
            )
            weights: Any = gate_weights_of(variables)
            return gate_sums(weights), jnp.sum(weights.min(axis=1))

        self._outputs = jax.jit(jax.vmap(outputs, in_axes=(0, None)))
        self._gates = jax.jit(jax.vmap(gates, in_axes=(0, None)))

    def __call__(self, params: Any, split: str) -> np.ndarray:
        parts = [self._outputs(params, batch) for batch in self._batches(split)]
        return np.concatenate(parts, axis=1)

    def gates(self, params: Any) -> list[dict[str, Any]]:
        """Per run the statistics, and the tasks' overlap: mean sum_e min_t weight."""
        if not self.has_gates:
            return []
        sums = [self._gates(params, batch) for batch in self._batches("test")]
        total, overlap = jax.tree.map(lambda *leaves: sum(leaves), *sums)
        statistics: GateStatistics = jax.vmap(gate_statistics)(total)
        rows = np.asarray(total.rows)
        return [
            {
                **{
                    n: np.asarray(v)[i].tolist()
                    for n, v in statistics._asdict().items()
                },
                "overlap": float(overlap[i] / rows[i]),
            }
            for i in range(len(rows))
        ]

    def _batches(self, split: str) -> Iterator[Arrays]:
        arrays = self.inputs.splits[split]
        for start in range(0, len(arrays["targets"]), _SCORED_AT_ONCE):
            yield {
                name: array[start : start + _SCORED_AT_ONCE]
                for name, array in arrays.items()
                if name != "targets"
            }
