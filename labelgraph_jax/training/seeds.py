"""Several runs of one shape at once: the train step of one run, vmapped over trials.

Runs that differ in a seed or a number alone (first parameters, dropout keys, batch
order, learning rate, a random label graph) have arrays of equal shapes. Where the
training data is small enough to lie on the device, they train together: `jax.vmap` of
the same pure step, an epoch as one `lax.scan`. Every run draws and computes what it
would have alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from labelgraph_jax.functional.trees import Tree
from labelgraph_jax.training.objectives import Params
from labelgraph_jax.training.parallel import DATA_AXIS, make_mesh
from labelgraph_jax.training.step import TrainState, TrainStep


class Trial(NamedTuple):
    """Settings that may differ between runs that train together.

    Inside the program every field is a traced array.

    Attributes:
        seed: of first parameters, batches and dropout.
        learning_rate: the peak.
        weight_decay: decoupled.
        constants: any tree of arrays, of equal shapes in all runs.
    """

    seed: int | jax.Array
    learning_rate: float | jax.Array
    weight_decay: float | jax.Array = 0.0
    constants: PyTree[jax.Array | np.ndarray] = None


Shared = TypeVar("Shared")
Result = TypeVar("Result")
MakeStep = Callable[[Trial], TrainStep]
"""`make_step(trial)` -> the train step of one run; all of the trial may be traced."""
Epoch = Callable[
    [TrainState, Trial, Int[np.ndarray, "..."]], tuple[TrainState, Float[Array, " S"]]
]
"""Result of `compile_epoch`: `epoch(states, trials, rows)` -> `(states, losses)`."""


@dataclass(frozen=True)
class SeedsResult:
    """Result of runs trained together.

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


def stack_trees(trees: Sequence[Tree]) -> Tree:
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


def stack_trials(trials: Sequence[Trial]) -> Trial:
    """Trials as one, with a leading axis `S`: seeds uint32, rates float32."""
    return Trial(
        jnp.asarray([trial.seed for trial in trials], jnp.uint32),
        jnp.asarray([trial.learning_rate for trial in trials], jnp.float32),
        jnp.asarray([trial.weight_decay for trial in trials], jnp.float32),
        stack_trees([trial.constants for trial in trials]),
    )


def batch_orders(
    count: int, *, batch_size: int, epochs: int, seeds: Sequence[int]
) -> Iterator[Int[np.ndarray, "S K B"]]:
    """The rows of every batch of each run, one array per epoch; -1 fills the last.

    Args:
        count: rows there are; each stands in one batch of an epoch.
        batch_size: B.
        epochs: arrays to give.
        seeds: of the runs; with the epoch's number a seed gives the order.
    """
    steps = -(-count // batch_size)
    for epoch in range(epochs):
        rows = np.full((len(seeds), steps * batch_size), -1, np.int32)
        for run, seed in enumerate(seeds):
            rows[run, :count] = np.random.default_rng((seed, epoch)).permutation(count)
        yield rows.reshape(len(seeds), steps, batch_size)


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


def over_runs(
    one_run: Callable[[Shared, Tree], Result], *, together: int = 0
) -> Callable[[Shared, Tree], Result]:
    """Map `one_run(shared, run)` over stacked runs.

    Args:
        one_run: pure; `shared` is the same for all runs.
        together: runs under one `vmap` on each device of this process, between which
            the runs are split; 0 takes all under one `vmap` where the arrays lie. On a
            CPU with its cores as devices, a few small networks at a time stay in the
            cache.
    """
    if not together:
        return jax.vmap(one_run, in_axes=(None, 0))
    mesh = make_mesh(jax.local_devices())
    split = PartitionSpec(DATA_AXIS)
    mapped = jax.shard_map(
        lambda shared, runs: jax.lax.map(
            partial(one_run, shared), runs, batch_size=together
        ),
        mesh=mesh,
        in_specs=(PartitionSpec(), split),
        out_specs=split,
        check_vma=False,
    )

    def padded(shared: Shared, runs: Tree) -> Result:
        # Padding repeats runs: what is computed twice is thrown away.
        count, multiple = len(jax.tree.leaves(runs)[0]), mesh.size * together
        rows = np.resize(np.arange(count), -(-count // multiple) * multiple)
        results = mapped(shared, jax.tree.map(lambda leaf: leaf[rows], runs))
        return jax.tree.map(lambda leaf: leaf[:count], results)

    return padded


def compile_epoch(
    make_step: MakeStep,
    data: Mapping[str, ArrayLike],
    *,
    share_batches: bool = False,
    together: int = 0,
) -> Epoch:
    """Compile one epoch of several runs.

    Args:
        make_step: see `MakeStep`.
        data: as in `gather_batch`; placed on the device once.
        share_batches: all runs see the batches of the same rows. What does not depend
            on a run (reading rows, spelling them out) is then computed once for all,
            and the first layers of all runs are one matrix product.
        together: see `over_runs`.

    Returns:
        `epoch(states, trials, rows)` -> `(states, losses)`: stacked states and trials,
        the documents of every batch, `[S, K, B]` or, where they are shared, `[K, B]`;
        losses `[S]` are means over the documents.
    """
    placed = {name: jnp.asarray(array) for name, array in data.items()}

    def one_run(
        shared: tuple[Mapping[str, Array], Int[Array, "K B"] | None],
        run: tuple[TrainState, Trial, Int[Array, "K B"] | None],
    ) -> tuple[TrainState, Float[Array, ""]]:
        data, shared_rows = shared
        state, trial, own_rows = run
        step = make_step(trial)

        def advance(
            state: TrainState, rows: Int[Array, " B"]
        ) -> tuple[TrainState, tuple[Array, Array]]:
            state, metrics = step(state, gather_batch(data, rows))
            return state, (metrics["loss"] * metrics["examples"], metrics["examples"])

        rows = shared_rows if share_batches else own_rows
        state, (losses, examples) = jax.lax.scan(advance, state, rows)
        return state, losses.sum() / examples.sum()

    runs = over_runs(one_run, together=together)

    @partial(jax.jit, donate_argnums=1)
    def epoch(
        data: Mapping[str, Array], states: TrainState, trials: Trial, rows: Array
    ) -> tuple[TrainState, Float[Array, " S"]]:
        if share_batches:
            return runs((data, rows), (states, trials, None))
        return runs((data, None), (states, trials, rows))

    return partial(epoch, placed)


def fit_seeds(
    epoch: Epoch,
    states: TrainState,
    trials: Sequence[Trial],
    orders: Iterable[Int[np.ndarray, "..."]],
    *,
    evaluate: Callable[[Params], Sequence[float]] | None = None,
) -> SeedsResult:
    """Train several runs to the end, and keep each one's best epoch.

    Args:
        epoch: from `compile_epoch`.
        states: stacked first states; given away to the computation.
        trials: what each run has of its own.
        orders: one array of document numbers per epoch, see `compile_epoch`.
        evaluate: stacked parameters -> one validation value per run, larger is better;
            of equal values the first counts, a NaN never. Without, the last epoch is
            kept.

    Raises:
        ValueError: there is no epoch.
        FloatingPointError: a loss is not finite.
    """
    stacked, count = stack_trials(trials), len(trials)
    best, best_epoch = None, np.zeros(count, np.int64)
    best_value = np.full(count, -np.inf)
    values: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    # One epoch of all runs at once; a loss that is not finite ends them.
    for number, rows in enumerate(orders, 1):
        states, loss = epoch(states, stacked, rows)
        losses.append(np.asarray(loss, np.float64))
        if not np.isfinite(losses[-1]).all():
            wrong = np.flatnonzero(~np.isfinite(losses[-1])).tolist()
            raise FloatingPointError(
                f"the loss is not finite in epoch {number}, runs {wrong} of seeds "
                f"{[trials[run].seed for run in wrong]}"
            )
        # Each run's parameters at its best epoch.
        if evaluate is None:
            continue
        values.append(np.asarray(evaluate(states.params), np.float64))
        better = values[-1] > best_value
        if best is None:
            best = jax.tree.map(jnp.copy, states.params)
        best = _choose(jnp.asarray(better), states.params, best)
        best_value = np.where(better, values[-1], best_value)
        best_epoch = np.where(better, number, best_epoch)
    if not losses:
        raise ValueError("there must be at least one epoch; got none")
    # Without validation the last epoch is kept.
    if evaluate is None:
        best, best_value = states.params, np.full(count, np.nan)
        best_epoch = np.full(count, len(losses))
    return SeedsResult(
        params=best,
        best_epoch=best_epoch,
        best_value=best_value,
        values=np.stack(values) if values else np.zeros((0, count)),
        losses=np.stack(losses),
    )


@jax.jit
def _choose(better: Bool[Array, " S"], new: Params, old: Params) -> Params:
    def pick(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(pick, new, old)
