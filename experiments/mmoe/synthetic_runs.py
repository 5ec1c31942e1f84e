"""The runs of a cell trained together, on synthetic data drawn as they learn.

A run is a seed: its tasks, its examples and its first parameters are its own. Every
batch is new, so the loss of a step, taken before the update, is a loss on examples that
the model has never seen.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from experiments.mmoe.synthetic import (
    SyntheticSpec,
    SyntheticTasks,
    directions_for,
    draw_examples,
    draw_tasks,
    target_variance,
)
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.modules.mixture import MixtureKind, MultiTaskNetwork
from labelgraph_jax.training.objectives import multi_task_objective
from labelgraph_jax.training.seeds import (
    Trial,
    compile_epoch,
    fit_seeds,
    over_runs,
    stack_trials,
)
from labelgraph_jax.training.step import (
    Metrics,
    TrainState,
    TrainStep,
    init_train_state,
    make_train_step,
)

MODELS = ("shared-bottom", "omoe", "mmoe")
EXPERTS, EXPERT_UNITS, TOWER_UNITS = 8, 16, 8
TASKS = (Task("first", "squared"), Task("second", "squared"))


class Sizes(NamedTuple):
    """How much each run sees.

    Attributes:
        features: d of the inputs.
        batch: examples of a step.
        steps: of an epoch, all on new examples.
        epochs: points of the curve.
        held_out: new examples for the final loss.
    """

    features: int = 100
    batch: int = 64
    steps: int = 160
    epochs: int = 20
    held_out: int = 16_384


class Runs(NamedTuple):
    """What several runs of one model on one correlation gave.

    Attributes:
        curves: mean squared error of both tasks on the examples of an epoch, before
            they were learned, `[S, epochs]`.
        losses: mean squared error of each task at the end, on new examples `[S, T]`.
        variances: of the labels of each run's tasks: what a constant guess loses `[S]`.
    """

    curves: np.ndarray
    losses: np.ndarray
    variances: np.ndarray


def network(model: str, features: int = 100) -> MultiTaskNetwork:
    """One of the paper's three models; towers of 8 units and a linear output each.

    MMoE and OMoE have 8 experts of one layer of 16 units, and gates without a bias; the
    shared bottom is one layer as wide as makes the parameters equal (`shared_units`).

    Raises:
        ValueError: an unknown model.
    """
    if model not in MODELS:
        raise ValueError(f"there is no model {model!r}; there are {', '.join(MODELS)}")
    kinds: dict[str, MixtureKind] = {
        "shared-bottom": "shared_bottom",
        "omoe": "omoe",
        "mmoe": "mmoe",
    }
    shared = model == "shared-bottom"
    return MultiTaskNetwork(
        TASKS,
        kind=kinds[model],
        hidden=(shared_units(features) if shared else EXPERT_UNITS,),
        experts=EXPERTS,
        towers=(TOWER_UNITS,),
    )


def shared_units(features: int) -> int:
    """Units of the shared bottom with as many weights as the experts and two towers.

    For d = 100 the paper's (100 x 16 x 8 + 16 x 8 x 2) / (100 + 8 x 2) = 113; gates,
    biases and outputs are not counted, as there.
    """
    mixture = features * EXPERT_UNITS * EXPERTS
    towers = EXPERT_UNITS * TOWER_UNITS * len(TASKS)
    return round((mixture + towers) / (features + TOWER_UNITS * len(TASKS)))


def parameter_count(model: str, features: int = 100) -> int:
    """All numbers that a model learns: gates, biases and outputs too."""
    rows = jnp.zeros((1, features))
    shapes = jax.eval_shape(network(model, features).init, jax.random.key(0), rows)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"]))


def _apply(model: MultiTaskNetwork) -> Callable[..., Array]:
    def apply(params: Any, batch: Any, *, key: Any, train: bool) -> Array:
        outputs = model.apply({"params": params}, batch["inputs"])
        assert isinstance(outputs, jax.Array)
        return outputs

    return apply


def _held_out_losses(
    predict: Callable[[Array], Any],
    key: Key[Array, ""],
    tasks: SyntheticTasks,
    sizes: Sizes,
) -> Float[Array, " T"]:
    """Each task's mean squared error on new examples, a batch at a time."""
    part = min(sizes.held_out, 256)
    parts = -(-sizes.held_out // part)

    def add(total: Array, number: Array) -> tuple[Array, None]:
        inputs, targets = draw_examples(jax.random.fold_in(key, number), tasks, part)
        return total + jnp.square(predict(inputs) - targets).mean(axis=0), None

    zeros = jnp.zeros(len(TASKS))
    total, _ = jax.lax.scan(add, zeros, jnp.arange(parts))
    return total / parts


class Trainer:
    """A model compiled for many runs at once.

    The runs are split over the devices; each device takes `together` of them at a time
    under `vmap`, so that their parameters and optimizer stay in its cache. On a CPU
    with the cores as devices that is faster than one `vmap` over all runs, whose
    parameters come from main memory at every step.

    What is drawn for the data of a run depends on its seed alone: runs of other models,
    rates and correlations with the same seed see the same inputs.

    Args:
        model: one of `MODELS`.
        spec: of the data.
        sizes: of a run.
        together: runs under one vmap on each device.
    """

    def __init__(
        self, model: str, spec: SyntheticSpec, sizes: Sizes, *, together: int = 4
    ) -> None:
        if together < 1:
            raise ValueError(f"together must be at least 1; got {together}")
        self.sizes = sizes
        module = network(model, sizes.features)
        objective = multi_task_objective(_apply(module), TASKS)

        def tasks_of(trial: Trial) -> SyntheticTasks:
            key = _key(trial, 0)
            return draw_tasks(key, spec, trial.constants, features=sizes.features)

        def first_state(_: None, trial: Trial) -> TrainState:
            rows = jnp.zeros((1, sizes.features))
            params = module.init(_key(trial, 3), rows)["params"]
            return init_train_state(params, optax.adam(trial.learning_rate))

        def make_step(trial: Trial) -> TrainStep:
            tasks, data_key = tasks_of(trial), _key(trial, 1)
            optimizer = optax.adam(trial.learning_rate)
            step = make_train_step(objective, optimizer, jax.random.key(trial.seed))

            def on_new_examples(
                state: TrainState, batch: Any, axis_name: str | None = None
            ) -> tuple[TrainState, Metrics]:
                key = jax.random.fold_in(data_key, state.step)
                inputs, targets = draw_examples(key, tasks, sizes.batch)
                return step(state, {"inputs": inputs, "targets": targets}, axis_name)

            return on_new_examples

        def measure(
            _: None, run: tuple[Trial, Any]
        ) -> tuple[Float[Array, " T"], Float[Array, ""]]:
            trial, params = run
            tasks, predict = tasks_of(trial), partial(module.apply, {"params": params})
            losses = _held_out_losses(predict, _key(trial, 2), tasks, sizes)
            return losses, target_variance(spec, tasks)

        self._first_states = jax.jit(over_runs(first_state, together=together))
        self._epoch = compile_epoch(
            make_step, {}, share_batches=True, together=together
        )
        self._measure = jax.jit(over_runs(measure, together=together))

    def __call__(
        self,
        seeds: Sequence[int],
        correlations: Sequence[float],
        learning_rates: Sequence[float],
    ) -> Runs:
        """Trains one run per seed, each on its correlation and at its rate.

        Raises:
            FloatingPointError: a run's loss is not finite.
        """
        trials = [
            Trial(
                seed, rate, constants=directions_for(p, len(TASKS)).astype(np.float32)
            )
            for seed, p, rate in zip(seeds, correlations, learning_rates, strict=True)
        ]
        stacked = stack_trials(trials)
        # No rows are read: every step draws examples of its own.
        orders = repeat(np.zeros((self.sizes.steps, 1), np.int32), self.sizes.epochs)
        states = self._first_states(None, stacked)
        result = fit_seeds(self._epoch, states, trials, orders)
        losses, variances = (
            np.asarray(part, np.float64)
            for part in self._measure(None, (stacked, result.params))
        )
        if not np.isfinite(losses).all():
            wrong = np.flatnonzero(~np.isfinite(losses).all(axis=1)).tolist()
            raise FloatingPointError(
                f"the loss is not finite in the runs of seeds "
                f"{[seeds[row] for row in wrong]}"
            )
        return Runs(result.losses.T / len(TASKS), losses, variances)


def _key(trial: Trial, purpose: int) -> Key[Array, ""]:
    """The key of a run's tasks (0), examples (1), held-out examples (2), start (3)."""
    return jax.random.fold_in(jax.random.key(trial.seed), purpose)
