"""Evaluation: probabilities of every document, in document order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike
from numpy.typing import DTypeLike

from labelgraph_jax.training.objectives import ApplyFn, Batch, Params
from labelgraph_jax.training.parallel import (
    batch_divisor,
    batch_sharding,
    make_mesh,
    pad_batch,
    place_whole,
    replicated_sharding,
    shard_batch,
)

# A model is never shown these, so they stay on the host.
NOT_INPUTS = ("targets", "target_mask", "positives", "example_index", "example_weight")


@dataclass(frozen=True)
class Compiled:
    """A compiled `(params, host batch)` -> rows `[B, ...]` on the devices.

    Attributes:
        run: `(placed params, placed batch)` -> what the model gives.
        place_params: host or device parameters -> what `run` takes; what it gave it
            gives back.
        place_batch: a host batch to the devices.
    """

    run: Callable[[Params, Batch], jax.Array]
    place_params: Callable[[Params], Params]
    place_batch: Callable[[Batch], Batch]

    def __call__(self, params: Params, batch: Batch) -> jax.Array | np.ndarray:
        """With several processes each passes its own rows, and gets those alone."""
        return own_rows(self.run(params, self.place_batch(batch)))


ProbabilityFn = Compiled


def place_inputs(batch: Batch, mesh: Mesh) -> dict[str, jax.Array]:
    """Put what a model is shown of a host batch on a mesh.

    Rows are padded until they divide by the devices; `example_mask` leaves those out.
    """
    inputs = {name: batch[name] for name in batch if name not in NOT_INPUTS}
    return shard_batch(pad_batch(inputs, batch_divisor(mesh)), mesh)


def compile_probabilities(
    apply_fn: ApplyFn,
    mesh: Mesh | None = None,
    *,
    link: Callable[[jax.Array], jax.Array] = jax.nn.sigmoid,
) -> Compiled:
    """Compile a model for evaluation: float32 probabilities, no dropout.

    Compile once and keep the result: every call compiles anew for new batch shapes
    only. A batch that does not divide by the devices is padded; `targets`,
    `target_mask` and `example_index` are left out of what the model is given.

    Args:
        apply_fn: `apply_fn(params, batch, *, key, train)` -> logits `[B, N]`.
        mesh: from `make_mesh`; all devices by default.
        link: float32 logits -> what is wanted of them; outputs of several kinds at once
            (`functional.task_probabilities`) are no sigmoids.
    """
    mesh = make_mesh() if mesh is None else mesh
    replicated, rows = replicated_sharding(mesh), batch_sharding(mesh)

    def probabilities(params: Params, batch: Batch) -> jax.Array:
        logits = apply_fn(params, batch, key=None, train=False)
        return link(logits.astype(jnp.float32))

    return Compiled(
        jax.jit(probabilities, in_shardings=(replicated, rows), out_shardings=rows),
        partial(place_whole, mesh=mesh),
        partial(place_inputs, mesh=mesh),
    )


def own_rows(array: jax.Array) -> jax.Array | np.ndarray:
    """The rows of an array over all processes that this process put in."""
    if array.is_fully_addressable:
        return array
    pieces = {
        shard.index[0].start or 0: shard.data for shard in array.addressable_shards
    }
    return np.concatenate([np.asarray(pieces[start]) for start in sorted(pieces)])


def predict_probabilities(
    probability_fn: Callable[[Params, Batch], ArrayLike],
    params: Params,
    batches: Iterable[Batch],
) -> np.ndarray:
    """Probabilities of all documents, in document order.

    Args:
        probability_fn: from `compile_probabilities`, or any function of the parameters
            and a batch that gives probabilities `[B, N]` (or `[>= B, N]`, padded).
        params: host or device parameters.
        batches: each with `example_index` `[B]`, the place of a row among the
            documents, and, where rows are padded, `example_mask` `[B]`. With several
            processes, as many on each, of its own rows; every process gets all
            probabilities.

    Returns:
        float32 `[M, N]`, M the number of documents; `[0, 0]` for no batch at all.

    Raises:
        ValueError: the indices are not 0 .. M-1, each once.
    """
    if isinstance(probability_fn, Compiled):
        params = probability_fn.place_params(params)
    return predict_rows(partial(probability_fn, params), batches, np.float32)


def predict_rows(
    row_fn: Callable[[Batch], ArrayLike], batches: Iterable[Batch], dtype: DTypeLike
) -> np.ndarray:
    """Apply a function to all batches and return its rows in document order.

    The next batch is prepared while the devices compute the one before.

    Args:
        row_fn: a batch -> rows `[B, W]` (or `[>= B, W]`, padded).
        batches: as of `predict_probabilities`.
        dtype: of the result, 32 bits wide.

    Returns:
        `[M, W]`; `[0, 0]` for no batch at all.

    Raises:
        ValueError: the indices are not 0 .. M-1, each once.
    """
    indices: list[np.ndarray] = []
    values: list[np.ndarray] = []
    waiting: tuple[ArrayLike, Batch] | None = None

    def take(result: ArrayLike, batch: Batch) -> None:
        index = np.asarray(batch["example_index"])
        keep = np.asarray(batch.get("example_mask", np.ones(len(index), bool)), bool)
        indices.append(index[keep])
        values.append(np.asarray(result, dtype)[: len(index)][keep])

    for batch in batches:
        result = row_fn(batch)
        if waiting is not None:
            take(*waiting)
        waiting = (result, batch)
    if waiting is None:
        return np.zeros((0, 0), dtype)
    take(*waiting)
    return _in_document_order(*_of_all_processes(indices, values))


def _in_document_order(
    indices: list[np.ndarray], values: list[np.ndarray]
) -> np.ndarray:
    order = np.concatenate(indices)
    if not np.array_equal(np.sort(order), np.arange(len(order))):
        raise ValueError(
            f"example_index must hold 0 .. {len(order) - 1}, each once; got "
            f"{len(np.unique(order))} distinct values from {order.min()} to "
            f"{order.max()}"
        )
    rows = np.concatenate(values)
    ordered = np.empty_like(rows)
    ordered[order] = rows
    return ordered


def _of_all_processes(
    indices: list[np.ndarray], values: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The rows of all processes, on every one."""
    if jax.process_count() == 1:
        return indices, values
    from jax.experimental import multihost_utils

    index, value = np.concatenate(indices), np.concatenate(values)
    counts = np.asarray(multihost_utils.process_allgather(np.int64(len(index))))
    padded = int(counts.max())
    rows = np.zeros((padded, value.shape[1]), value.dtype)
    rows[: len(value)] = value
    places = np.zeros(padded, np.int32)
    places[: len(index)] = index
    gathered = multihost_utils.process_allgather((places, rows))
    every = [np.asarray(part) for part in gathered]
    return (
        [part[:count] for part, count in zip(every[0], counts, strict=True)],
        [part[:count] for part, count in zip(every[1], counts, strict=True)],
    )
