"""Training and evaluation over labels whose scores are made a chunk at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from labelgraph_jax.functional.many_labels.label_chunks import (
    CHUNK,
    DecisionCounts,
    chunked_loss,
    decision_counts,
    top_labels,
)
from labelgraph_jax.functional.metrics.counts import DocumentCounts
from labelgraph_jax.training.evaluate import NOT_INPUTS, own_rows, predict_rows
from labelgraph_jax.training.objectives import Batch, LossFn, LossSum, Params
from labelgraph_jax.training.parallel import (
    batch_divisor,
    batch_sharding,
    label_sharding,
    make_mesh,
    pad_batch,
    place_split,
    place_whole,
    replicated_sharding,
    shard_batch,
)

DocumentFn = Callable[[Params, Batch], jax.Array]
LabelFn = Callable[[Params], tuple[jax.Array, jax.Array]]


class TopLabels(NamedTuple):
    """The most probable labels of M documents, best first.

    Attributes:
      ids: int32 `[M, K]`.
      probabilities: float32 `[M, K]`.
    """

    ids: Int[np.ndarray, "M K"]
    probabilities: Float[np.ndarray, "M K"]


class PlacedModel(NamedTuple):
    """Parameters on the devices and the label side, which they give for all documents.

    Attributes:
      params: placed.
      labels: label vectors `[N, D]`.
      bias: `[N]`.
    """

    params: Params
    labels: jax.Array
    bias: jax.Array


def many_label_objective(
    factors_fn: Callable[..., tuple[jax.Array, jax.Array, jax.Array]],
    loss: Callable[..., LossSum],
    *,
    chunk: int = CHUNK,
    **options: Any,
) -> LossFn:
    """`multi_label_objective` for very many labels: a chunk of them at a time.

    Args:
      factors_fn: `factors_fn(params, batch, *, key, train)` -> documents `[B, D]`,
        labels `[N, D]`, bias `[N]`, of which logits are the product and the sum.
      loss: see `functional.chunked_loss`; may be a `partial`.
      chunk: labels at a time, at most.
      **options: of the loss.

    Returns:
      A function of the parameters, a batch with `positives` `[B, P]` (and, where it
      exists, `example_mask` `[B]`) and the dropout key, giving `(loss_sum,
      weight_sum)`, both float32 scalars.

    Raises:
      ValueError: at the first batch: it has a `target_mask`, which says of every cell
        whether it counts, or no `positives`.
    """

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        if "target_mask" in batch or "positives" not in batch:
            raise ValueError(
                "labels in chunks are learned from `positives` and without a "
                f"target_mask; got a batch of {', '.join(sorted(batch))}"
            )
        documents, labels, bias = factors_fn(params, batch, key=key, train=True)
        return chunked_loss(
            documents,
            labels,
            bias,
            batch["positives"],
            loss=loss,
            example_mask=batch.get("example_mask"),
            chunk=chunk,
            **options,
        )

    return loss_fn


class _Placement:
    """Where parameters, label vectors and batches go on a mesh."""

    def __init__(self, label_fn: LabelFn, mesh: Mesh | None) -> None:
        self.mesh = make_mesh() if mesh is None else mesh
        self._label_fn = label_fn
        self._compiled: Any = None

    def params(self, params: Params | PlacedModel) -> PlacedModel:
        if isinstance(params, PlacedModel):
            return params
        placed = place_split(params, self.mesh)
        if self._compiled is None:
            labels, _ = jax.eval_shape(self._label_fn, placed)
            layout = label_sharding(labels.shape[0], self.mesh)
            self._compiled = jax.jit(self._label_fn, out_shardings=layout)
        return PlacedModel(placed, *self._compiled(placed))

    def batch(self, batch: Batch) -> dict[str, jax.Array]:
        return shard_batch(pad_batch(batch, batch_divisor(self.mesh)), self.mesh)


def _inputs(batch: Batch) -> dict[str, Any]:
    """What a model is shown."""
    return {name: batch[name] for name in batch if name not in NOT_INPUTS}


@dataclass(frozen=True)
class RankFn:
    """A compiled `(placed model, host batch)` -> the best labels of its documents.

    Attributes:
      run: `(placed, placed batch)` -> ids, and probabilities as the same bits, one
        array int32 `[B, 2 K]`.
      place_params: parameters -> what `run` takes, the label vectors computed. What it
        gave it gives back: keep that to compute the label vectors once for several
        calls.
      place_batch: to the devices.
    """

    run: Callable[..., jax.Array]
    place_params: Callable[[Params | PlacedModel], PlacedModel]
    place_batch: Callable[[Batch], Any]

    def __call__(
        self, params: Params | PlacedModel, batch: Batch
    ) -> jax.Array | np.ndarray:
        """With several processes each passes its own rows, and gets those alone."""
        placed = self.place_params(params)
        return own_rows(self.run(placed, self.place_batch(batch)))


def compile_top_labels(
    document_fn: DocumentFn,
    label_fn: LabelFn,
    mesh: Mesh | None = None,
    *,
    k: int,
    chunk: int = CHUNK,
) -> RankFn:
    """Compile a model to find the k most probable labels of documents.

    The label vectors are the same for all documents: they are computed once, where the
    parameters are placed. On a mesh with a `model` axis they are split over it.

    Args:
      document_fn: `document_fn(params, batch)` -> document vectors `[B, D]`.
      label_fn: `label_fn(params)` -> label vectors `[N, D]` and biases `[N]`.
      mesh: from `make_mesh`; all devices by default.
      k: labels per document; at the first batch a ValueError where it exceeds N.
      chunk: labels at a time, at most.
    """
    place = _Placement(label_fn, mesh)

    def rank(placed: PlacedModel, batch: Batch) -> jax.Array:
        documents = document_fn(placed.params, batch)
        logits, ids = top_labels(
            documents, placed.labels, placed.bias, k=k, chunk=chunk
        )
        bits = jax.lax.bitcast_convert_type(jax.nn.sigmoid(logits), jnp.int32)
        return jnp.concatenate([ids, bits], axis=1)

    return RankFn(
        jax.jit(rank, out_shardings=batch_sharding(place.mesh)),
        place.params,
        lambda batch: place.batch(_inputs(batch)),
    )


def predict_top_labels(
    rank_fn: RankFn, params: Params | PlacedModel, batches: Iterable[Batch]
) -> TopLabels:
    """The most probable labels of all documents, in document order.

    Args:
      rank_fn: from `compile_top_labels`.
      params: host or device parameters, or what `rank_fn.place_params` made of them.
      batches: as of `predict_probabilities`.

    Returns:
      `[M, K]` each; `[0, 0]` for no batch at all.

    Raises:
      ValueError: the indices are not 0 .. M-1, each once.
    """
    placed = rank_fn.place_params(params)
    rows = predict_rows(lambda batch: rank_fn(placed, batch), batches, np.int32)
    k = rows.shape[1] // 2
    return TopLabels(rows[:, :k].copy(), rows[:, k:].copy().view(np.float32))


@dataclass(frozen=True)
class CountFn:
    """A compiled count of the decisions about a batch, see `count_decisions`.

    Attributes:
      run: `(placed, thresholds, totals, placed batch)` -> the totals `[3, N]` with the
        batch, and the counts of its documents `[B, 3]`.
      place_params, place_batch: as of `RankFn`, the batch with its `positives`.
      place_whole: any tree to the devices, whole on each.
    """

    run: Callable[..., tuple[jax.Array, jax.Array]]
    place_params: Callable[[Params | PlacedModel], PlacedModel]
    place_batch: Callable[[Batch], Any]
    place_whole: Callable[[Any], Any]


def compile_decision_counts(
    document_fn: DocumentFn,
    label_fn: LabelFn,
    mesh: Mesh | None = None,
    *,
    at_least_one: bool = False,
    chunk: int = CHUNK,
) -> CountFn:
    """Compile a model to count decisions about all labels, a chunk at a time.

    Args:
      document_fn, label_fn, mesh, chunk: as of `compile_top_labels`.
      at_least_one: see `functional.decision_counts`.
    """
    place = _Placement(label_fn, mesh)
    rows, whole = batch_sharding(place.mesh), replicated_sharding(place.mesh)

    def count(
        placed: PlacedModel, thresholds: Any, totals: Any, batch: Batch
    ) -> tuple[jax.Array, jax.Array]:
        counts = decision_counts(
            document_fn(placed.params, _inputs(batch)),
            placed.labels,
            placed.bias,
            batch["positives"],
            thresholds,
            example_mask=batch["example_mask"],
            at_least_one=at_least_one,
            chunk=chunk,
        )
        return totals + jnp.stack(counts[:3]), jnp.stack(counts.documents, axis=1)

    def place_batch(batch: Batch) -> dict[str, jax.Array]:
        return place.batch(_inputs(batch) | {"positives": batch["positives"]})

    return CountFn(
        jax.jit(count, out_shardings=(whole, rows), donate_argnums=2),
        place.params,
        place_batch,
        lambda tree: place_whole(tree, place.mesh),
    )


def count_decisions(
    count_fn: CountFn,
    params: Params | PlacedModel,
    batches: Iterable[Batch],
    thresholds: Float[np.ndarray, " N"],
) -> DecisionCounts:
    """Count the decisions about all documents and all labels.

    Args:
      count_fn: from `compile_decision_counts`.
      params: host or device parameters, or what `count_fn.place_params` made of them.
      batches: as of `predict_probabilities`, with `positives` `[B, P]`.
      thresholds: of the probabilities, one per label.

    Returns:
      The counts on the host: of labels over the documents of all processes, and of
      documents in document order; `functional.f1_from_counts` makes metrics of them.

    Raises:
      ValueError: there is not one threshold per label, or the indices are not
        0 .. M-1, each once.
    """
    placed = count_fn.place_params(params)
    thresholds = np.asarray(thresholds, np.float32)
    if thresholds.shape != placed.bias.shape:
        raise ValueError(
            f"thresholds must be one number for each of {len(placed.bias)} labels, got "
            f"the shape {thresholds.shape}"
        )
    totals = count_fn.place_whole(np.zeros((3, len(placed.labels)), np.int32))
    cutoffs = count_fn.place_whole(thresholds)

    def count(batch: Batch) -> Any:
        nonlocal totals
        totals, rows = count_fn.run(
            placed, cutoffs, totals, count_fn.place_batch(batch)
        )
        return own_rows(rows)

    of_documents = predict_rows(count, batches, np.int32).reshape(-1, 3)
    right, predicted, positives = np.asarray(totals)
    documents = DocumentCounts(*of_documents.T)
    return DecisionCounts(right, predicted, positives, documents)
