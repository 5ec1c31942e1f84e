"""Training and evaluation over labels whose scores are made a chunk at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from labelgraph_jax.functional.label_chunks import CHUNK, chunked_loss, top_labels
from labelgraph_jax.training.evaluate import (
    NOT_INPUTS,
    gather_rows,
    in_document_order,
    own_rows,
)
from labelgraph_jax.training.objectives import Batch, LossFn, LossSum, Params
from labelgraph_jax.training.parallel import (
    batch_divisor,
    batch_sharding,
    make_mesh,
    pad_batch,
    place_whole,
    replicated_sharding,
    shard_batch,
)

LabelFn = Callable[[Params], tuple[jax.Array, jax.Array]]
DocumentFn = Callable[[Params, Batch], jax.Array]


class TopLabels(NamedTuple):
    """The most probable labels of M documents, best first.

    Attributes:
      ids: int32 `[M, K]`.
      probabilities: float32 `[M, K]`.
    """

    ids: Int[np.ndarray, "M K"]
    probabilities: Float[np.ndarray, "M K"]


def many_label_objective(
    factors_fn: Callable[..., tuple[jax.Array, jax.Array, jax.Array]],
    loss: Callable[..., LossSum],
    *,
    chunk: int = CHUNK,
) -> LossFn:
    """Join a model and a loss as `multi_label_objective` does, a chunk of labels at a
    time.

    Args:
      factors_fn: `factors_fn(params, batch, *, key, train)` -> documents `[B, D]`,
        labels `[N, D]`, bias `[N]`, of which logits are the product and the sum.
      loss: see `functional.chunked_loss`.
      chunk: labels at a time.

    Returns:
      A function of the parameters, a batch with `positives` `[B, P]` (and, where it
      exists, `example_mask` `[B]`) and the dropout key, giving `(loss_sum,
      weight_sum)`.
    """

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        documents, labels, bias = factors_fn(params, batch, key=key, train=True)
        return chunked_loss(
            documents,
            labels,
            bias,
            batch["positives"],
            loss=loss,
            example_mask=batch.get("example_mask"),
            chunk=chunk,
        )

    return loss_fn


@dataclass
class RankFn:
    """A compiled `(placed params, host batch)` -> (ids, probabilities) `[B, K]`."""

    run: Callable[..., tuple[jax.Array, jax.Array]]
    place_params: Callable[[Params], Any]
    place_batch: Callable[[Batch], Any]

    def __call__(self, placed: Any, batch: Batch) -> tuple[Any, Any]:
        """With several processes each passes its own rows, and gets those alone."""
        ids, probabilities = self.run(*placed, self.place_batch(batch))
        return own_rows(ids), own_rows(probabilities)


@dataclass
class _Placed:
    """The label side of the parameters that were asked for last."""

    params: Any = None
    sides: Any = field(default=None)


def compile_top_labels(
    document_fn: DocumentFn,
    label_fn: LabelFn,
    mesh: Mesh | None = None,
    *,
    k: int,
    chunk: int = CHUNK,
) -> RankFn:
    """Compile a model to find the k most probable labels of documents.

    The label vectors, which are the same for all documents, are computed once for
    given parameters.

    Args:
      document_fn: `document_fn(params, batch)` -> document vectors `[B, D]`.
      label_fn: `label_fn(params)` -> label vectors `[N, D]` and biases `[N]`.
      mesh: from `make_mesh`; all devices by default.
      k: labels per document.
      chunk: labels at a time.
    """
    mesh = make_mesh() if mesh is None else mesh
    replicated, rows = replicated_sharding(mesh), batch_sharding(mesh)

    def rank(params: Params, sides: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        documents = document_fn(params, batch)
        logits, ids = top_labels(documents, *sides, k=k, chunk=chunk)
        return ids, jax.nn.sigmoid(logits.astype(jnp.float32))

    compiled = jax.jit(
        rank, in_shardings=(replicated, replicated, rows), out_shardings=(rows, rows)
    )
    label_side = jax.jit(label_fn, in_shardings=(replicated,), out_shardings=replicated)
    last = _Placed()

    def place_params(params: Params) -> Any:
        if last.params is not params:
            placed = place_whole(params, mesh)
            last.params, last.sides = params, (placed, label_side(placed))
        return last.sides

    def place_batch(batch: Batch) -> Any:
        inputs = {name: batch[name] for name in batch if name not in NOT_INPUTS}
        return shard_batch(pad_batch(inputs, batch_divisor(mesh)), mesh)

    return RankFn(compiled, place_params, place_batch)


def predict_top_labels(
    rank_fn: RankFn, params: Params, batches: Iterable[Batch]
) -> TopLabels:
    """The most probable labels of all documents, in document order.

    Args:
      rank_fn: from `compile_top_labels`.
      params: host or device parameters.
      batches: as of `predict_probabilities`.

    Raises:
      ValueError: there is no batch, or the indices are not 0 .. M-1, each once.
    """
    placed = rank_fn.place_params(params)
    indices: list[np.ndarray] = []
    ids: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for batch in batches:
        found, probabilities = rank_fn(placed, batch)
        index = np.asarray(batch["example_index"])
        keep = np.asarray(batch.get("example_mask", np.ones(len(index), bool)), bool)
        indices.append(index[keep])
        ids.append(np.asarray(found)[: len(index)][keep])
        values.append(np.asarray(probabilities, np.float32)[: len(index)][keep])
    if not indices:
        raise ValueError("there must be at least one batch of documents to rank")
    together = np.concatenate([np.concatenate(ids), _bits(np.concatenate(values))], 1)
    order, rows = gather_rows([np.concatenate(indices)], [together])
    ordered = in_document_order(order, rows)
    k = ordered.shape[1] // 2
    return TopLabels(ordered[:, :k].copy(), ordered[:, k:].copy().view(np.float32))


def _bits(values: np.ndarray) -> np.ndarray:
    """float32 as int32 of the same bits, to travel beside label ids."""
    return np.ascontiguousarray(values, np.float32).view(np.int32)
