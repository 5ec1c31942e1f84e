"""Training and evaluation over labels whose scores are made a chunk at a time."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from labelgraph_jax.functional.many_labels.label_chunks import (
    CHUNK,
    chunked_loss,
    top_labels,
)
from labelgraph_jax.training.evaluate import Compiled, place_inputs, predict_rows
from labelgraph_jax.training.objectives import Batch, LossFn, LossSum, Params
from labelgraph_jax.training.parallel import (
    batch_sharding,
    label_sharding,
    make_mesh,
    place_split,
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


RankFn = Compiled


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
    train: bool = True,
    **options: ArrayLike | None,
) -> LossFn:
    """`multi_label_objective` for very many labels: a chunk of them at a time.

    Args:
        factors_fn: `factors_fn(params, batch, *, key, train)` -> documents `[B, D]`,
            labels `[N, D]`, bias `[N]`, of which logits are the product and the sum.
        loss: see `functional.chunked_loss`; may be a `partial`.
        chunk: labels at a time, at most.
        train: with dropout.
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
        documents, labels, bias = factors_fn(params, batch, key=key, train=train)
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


def compile_top_labels(
    document_fn: DocumentFn,
    label_fn: LabelFn,
    mesh: Mesh | None = None,
    *,
    k: int,
    chunk: int = CHUNK,
) -> Compiled:
    """Compile a model to find the k most probable labels of documents.

    The label vectors are the same for all documents: they are computed once, where the
    parameters are placed. On a mesh with a `model` axis they are split over it.

    Args:
        document_fn: `document_fn(params, batch)` -> document vectors `[B, D]`.
        label_fn: `label_fn(params)` -> label vectors `[N, D]` and biases `[N]`.
        mesh: from `make_mesh`; all devices by default.
        k: labels per document; at the first batch a ValueError where it exceeds N.
        chunk: labels at a time, at most.

    Returns:
        Its `place_params` gives a `PlacedModel`, the label vectors computed: keep that
        to compute them once for several calls. Its `run` gives ids, and probabilities
        as the same bits, one array int32 `[B, 2 K]`.
    """
    mesh = make_mesh() if mesh is None else mesh
    label_side: Callable[[Params], tuple[jax.Array, jax.Array]] | None = None

    def place_params(params: Params | PlacedModel) -> PlacedModel:
        nonlocal label_side
        if isinstance(params, PlacedModel):
            return params
        placed = place_split(params, mesh)
        if label_side is None:
            labels, _ = jax.eval_shape(label_fn, placed)
            layout = label_sharding(labels.shape[0], mesh)
            label_side = jax.jit(label_fn, out_shardings=layout)
        return PlacedModel(placed, *label_side(placed))

    def rank(placed: PlacedModel, batch: Batch) -> jax.Array:
        documents = document_fn(placed.params, batch)
        logits, ids = top_labels(
            documents, placed.labels, placed.bias, k=k, chunk=chunk
        )
        bits = jax.lax.bitcast_convert_type(jax.nn.sigmoid(logits), jnp.int32)
        return jnp.concatenate([ids, bits], axis=1)

    return Compiled(
        jax.jit(rank, out_shardings=batch_sharding(mesh)),
        place_params,
        partial(place_inputs, mesh=mesh),
    )


def predict_top_labels(
    rank_fn: Compiled, params: Params | PlacedModel, batches: Iterable[Batch]
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
