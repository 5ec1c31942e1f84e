"""Several runs of one shape at once: the train step of one run, vmapped over seeds.

Runs that differ in their seed alone (first parameters, dropout keys, batch order, a
random label graph) have arrays of equal shapes. Where the training data is small
enough to lie on the device, they train together: `jax.vmap` of the same pure step, an
epoch as one `lax.scan`. Every run draws and computes what it would have alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from labelgraph_jax.training.objectives import Batch, Params
from labelgraph_jax.training.step import TrainState, TrainStep

MakeStep = Callable[[Any, jax.Array], TrainStep]
"""`make_step(constants, key)` -> the train step of one run; both may be traced."""


@dataclass(frozen=True)
class SeedsResult:
    """How the runs ended.

    Attributes:
      params: of each run's best epoch, stacked: every leaf `[S, ...]`.
      best_epoch: int64 `[S]`, counted from 1; the last one without validation.
      best_value: float64 `[S]`, NaN without validation.
      values: float64 `[epochs, S]`, what the validation gave.
      losses: float64 `[epochs, S]`, the mean training loss.
    """

    params: Params
    best_epoch: np.ndarray
    best_value: np.ndarray
    values: np.ndarray
    losses: np.ndarray


def stack_trees(trees: Sequence[Any]) -> Any:
    """Trees of equal shapes as one tree with a leading axis `S`.

    Raises:
      ValueError: no tree, or shapes that differ: such runs cannot train together.
    """
    if not trees:
        raise ValueError("there must be at least one tree to stack; got none")
    shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in trees]
    if any(shape != shapes[0] for shape in shapes[1:]):
        raise ValueError("runs that train together must have arrays of equal shapes")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def gather_batch(
    data: Mapping[str, Array], rows: Int[Array, " B"]
) -> dict[str, Array | Bool[Array, " B"]]:
    """The batch of the documents `rows`; a row of -1 is padding.

    Args:
      data: arrays of all documents `[M, ...]`, among them `targets`.
      rows: numbers of documents.

    Returns:
      The same names `[B, ...]`, zeros where a row is padding, and `example_mask`.
    """
    real = rows >= 0
    index = jnp.maximum(rows, 0)

    def take(array: Array) -> Array:
        taken = array[index]
        mask = real.reshape(-1, *[1] * (taken.ndim - 1))
        return jnp.where(mask, taken, jnp.zeros((), taken.dtype))

    return {name: take(array) for name, array in data.items()} | {"example_mask": real}


def compile_epoch(
    make_step: MakeStep, data: Mapping[str, Any]
) -> Callable[..., tuple[TrainState, Float[Array, " S"]]]:
    """Compile one epoch of several runs.

    Args:
      make_step: see `MakeStep`.
      data: as in `gather_batch`; placed on the device once.

    Returns:
      `epoch(states, keys, constants, rows)` -> `(states, losses)`: stacked states, the
      runs' dropout keys `[S]`, stacked constants (None where there are none), the
      documents of every batch `[S, steps, B]`; losses `[S]` are means over the
      documents.
    """
    placed = {name: jnp.asarray(array) for name, array in data.items()}

    def one_run(
        data: Batch,
        state: TrainState,
        key: Key[Array, ""],
        constants: Any,
        rows: Int[Array, "K B"],
    ) -> tuple[TrainState, Float[Array, ""]]:
        step = make_step(constants, key)

        def advance(
            state: TrainState, rows: Int[Array, " B"]
        ) -> tuple[TrainState, tuple[Array, Array]]:
            state, metrics = step(state, gather_batch(data, rows))
            return state, (metrics["loss"] * metrics["examples"], metrics["examples"])

        state, (losses, examples) = jax.lax.scan(advance, state, rows)
        return state, losses.sum() / examples.sum()

    runs = jax.vmap(one_run, in_axes=(None, 0, 0, 0, 0))
    compiled = jax.jit(runs, donate_argnums=1)
    return lambda *arguments: compiled(placed, *arguments)


def train_seeds(
    epoch: Callable[..., tuple[TrainState, Float[Array, " S"]]],
    states: TrainState,
    keys: Key[Array, " S"],
    constants: Any,
    orders: Iterable[Int[np.ndarray, "S K B"]],
    *,
    evaluate: Callable[[Params], Sequence[float]] | None = None,
) -> SeedsResult:
    """Train several runs to the end, and keep each one's best epoch.

    Args:
      epoch: from `compile_epoch`.
      states: stacked first states; given away to the computation.
      keys: each run's dropout key.
      constants: stacked constants of the runs, handed to `make_step`.
      orders: one array of document numbers per epoch.
      evaluate: stacked parameters -> one validation value per run, larger is better;
        of equal values the first counts, a NaN never. Without, the last epoch is kept.

    Raises:
      ValueError: there is no epoch.
      FloatingPointError: a loss is not finite.
    """
    best, best_value, best_epoch = None, None, None
    values: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    for number, rows in enumerate(orders, 1):
        states, loss = epoch(states, keys, constants, jnp.asarray(rows))
        losses.append(np.asarray(loss, np.float64))
        if not np.isfinite(losses[-1]).all():
            wrong = np.flatnonzero(~np.isfinite(losses[-1])).tolist()
            raise FloatingPointError(
                f"the loss is not finite in epoch {number}, runs {wrong}"
            )
        if evaluate is None:
            continue
        value = np.asarray(evaluate(states.params), np.float64)
        values.append(value)
        if best is None or best_value is None or best_epoch is None:
            better = np.ones(len(value), bool)
            best = jax.tree.map(jnp.copy, states.params)
            best_value, best_epoch = np.full(len(value), -np.inf), np.zeros(len(value))
        better = value > best_value
        best = _choose(jnp.asarray(better), states.params, best)
        best_value = np.where(better, value, best_value)
        best_epoch = np.where(better, number, best_epoch)
    if not losses:
        raise ValueError("there must be at least one epoch; got none")
    count = len(losses[0])
    if best is None or best_value is None or best_epoch is None:
        best, best_epoch = states.params, np.full(count, len(losses))
        best_value = np.full(count, np.nan)
    return SeedsResult(
        params=best,
        best_epoch=best_epoch.astype(np.int64),
        best_value=best_value,
        values=np.stack(values) if values else np.zeros((0, count)),
        losses=np.stack(losses),
    )


@jax.jit
def _choose(better: Bool[Array, " S"], new: Params, old: Params) -> Params:
    def pick(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(pick, new, old)
