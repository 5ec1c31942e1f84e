"""Scores of documents against very many labels, a chunk of the labels at a time.

    logits[b, n] = documents[b] . labels[n] + bias[n]

is never whole, and neither is its gradient: a loop takes a chunk of the labels, scores
the documents against it, and keeps sums, counts or the best labels. Beyond arguments
and results, memory depends on the chunk and not on N.

What the truth is comes as ids, `positives` [B, P]: the labels of every document in any
order, -1 where there is none. That no id stands in a row twice, or is N or more, is for
the caller to see to.

Where the label axis is split over devices, a chunk takes a piece of every device's
share, so that they divide the work of each chunk. That needs no copy and no message as
long as N divides by their number, which must itself divide 48.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.checks import is_known
from labelgraph_jax.functional.losses.elementwise import LossSum, binary_cross_entropy
from labelgraph_jax.functional.losses.sliced import slice_loss
from labelgraph_jax.functional.many_labels.label_layout import (
    LabelLayout,
    checked_factors,
    label_layout,
)
from labelgraph_jax.functional.metrics.counts import DocumentCounts

CHUNK = 4096
"""Labels at a time: at 32 documents half a megabyte of logits, which a cache holds."""
Spec = tuple[Callable[..., LossSum], tuple[tuple[str, object], ...], LabelLayout]
"""A loss, its options, and the chunks of labels."""
Constants = tuple[Array, Array, dict[str, Array], dict[str, Array]]
"""Positives, example mask, and what a loss reads by label and by document."""


class DecisionCounts(NamedTuple):
    """Counts of how often labels are predicted, rightly or at all, and are true.

    Attributes:
        true_positives, predicted, positives: per label.
        documents: the same per document; all zero where it is padding.
    """

    true_positives: Int[Array | np.ndarray, " N"]
    predicted: Int[Array | np.ndarray, " N"]
    positives: Int[Array | np.ndarray, " N"]
    documents: DocumentCounts


def chunked_loss(
    documents: Float[ArrayLike, "B D"],
    labels: Float[ArrayLike, "N D"],
    bias: Float[ArrayLike, " N"],
    positives: Int[ArrayLike, "B P"],
    /,
    *,
    loss: Callable[..., LossSum] = binary_cross_entropy,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    chunk: int = CHUNK,
    **options: ArrayLike | None,
) -> LossSum:
    """Sum a loss over all (document, label) cells, a chunk of the labels at a time.

        loss(documents @ labels.T + bias, multi-hot positives, **options)

    and its gradient, to rounding. The gradient is computed in the same sweep as the
    loss wherever one is taken; it flows to documents, labels and bias, and to no
    option. There is no forward mode (`jax.jvp`). A document that is masked out adds
    nothing, whatever it holds.

    Args:
        documents: document vectors, of any float type.
        labels: label vectors, of any float type.
        bias: of the labels.
        positives: ids of every document's labels, -1 where there is none.
        loss: `binary_cross_entropy` or any other loss of `functional.losses`, or a
            `partial` of one; see `slice_loss` for others.
        example_mask: True where the document is real, False where it is padding.
        chunk: labels at a time, at most.
        **options: of the loss: `positive_weight` [N], `label_smoothing`, `gamma` ...;
            arrays must be one number per label.

    Returns:
        (loss_sum, weight_sum), float32 scalars, as of the loss: weight_sum counts
        cells.

    Raises:
        ValueError: shapes do not fit, there is no label, chunk is below 1, or an option
            is refused by the loss or is an array of another length than N.
    """
    arrays = checked_factors(documents, labels, bias, positives, example_mask)
    prepared = slice_loss(loss, options, arrays[3], len(arrays[1]))
    constants = (*arrays[3:], prepared.of_labels, prepared.of_documents)
    spec = (prepared.loss, prepared.options, label_layout(len(arrays[1]), chunk))
    return _compiled_loss(spec, *arrays[:3], jax.lax.stop_gradient(constants))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(
    spec: Spec, documents: Array, labels: Array, bias: Array, constants: Constants
) -> LossSum:
    layout = spec[2]

    def add(chunk: Array, sums: LossSum) -> LossSum:
        logits = layout.scores(documents, labels, bias, chunk)
        found = _cells_loss(spec, logits, constants, chunk)
        return sums[0] + found[0], sums[1] + found[1]

    zero = jnp.zeros((), jnp.float32)
    documents = _silenced(documents, constants)
    return jax.lax.fori_loop(0, layout.chunks, add, (zero, zero))


def _cells_loss(
    spec: Spec, logits: Array, constants: Constants, chunk: Array
) -> LossSum:
    """The loss of the cells of one chunk."""
    loss, options, layout = spec
    positives, example_mask, of_labels, of_documents = constants
    return loss(
        logits,
        layout.targets(positives, chunk).astype(jnp.float32),
        target_mask=jnp.broadcast_to(layout.is_new(chunk), logits.shape),
        example_mask=example_mask,
        **{name: layout.take(array, chunk) for name, array in of_labels.items()},
        **of_documents,
        **dict(options),
    )


def _silenced(documents: Array, constants: Constants) -> Array:
    """Zeros for padding: its gradient of zero times NaN would be NaN."""
    return jnp.where(constants[1][:, None], documents, 0)


def _loss_and_gradient(
    spec: Spec, documents: Array, labels: Array, bias: Array, constants: Constants
) -> tuple[LossSum, tuple[Array, ...]]:
    layout = spec[2]
    silenced = _silenced(documents, constants)
    wide = silenced.astype(jnp.float32)

    def add(chunk: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        loss_sum, weight_sum, to_documents, to_labels, to_bias = carry
        piece = layout.take(labels, chunk)  # [C, D]
        (loss, weight), to_logits = jax.value_and_grad(
            lambda logits: _cells_loss(spec, logits, constants, chunk), has_aux=True
        )(layout.scores(silenced, labels, bias, chunk))
        to_documents += jnp.einsum(
            "bc,cd->bd",
            to_logits,
            piece.astype(jnp.float32),
            preferred_element_type=jnp.float32,
        )
        # Labels that were in a chunk before have a gradient of zero in this one.
        own = jnp.einsum("bc,bd->cd", to_logits, wide).astype(to_labels.dtype)
        to_labels = layout.put(to_labels, own + layout.take(to_labels, chunk), chunk)
        own = to_logits.sum(axis=0).astype(to_bias.dtype)
        to_bias = layout.put(to_bias, own + layout.take(to_bias, chunk), chunk)
        return loss_sum + loss, weight_sum + weight, to_documents, to_labels, to_bias

    zero = jnp.zeros((), jnp.float32)
    start = (zero, zero, *map(jnp.zeros_like, (wide, labels, bias)))
    loss_sum, weight_sum, to_documents, *others = jax.lax.fori_loop(
        0, layout.chunks, add, start
    )
    gradient = (to_documents.astype(documents.dtype), *others)
    return (loss_sum, weight_sum), gradient


def _backward(
    spec: Spec, gradient: tuple[Array, ...], cotangents: LossSum
) -> tuple[Array | None, ...]:
    scale = cotangents[0]
    return (
        *(
            (scale * array.astype(jnp.float32)).astype(array.dtype)
            for array in gradient
        ),
        None,
    )


_loss.defvjp(_loss_and_gradient, _backward)
_compiled_loss = jax.jit(_loss, static_argnums=0)


@partial(jax.jit, static_argnames=("k", "chunk"))
def top_labels(
    documents: Float[ArrayLike, "B D"],
    labels: Float[ArrayLike, "N D"],
    bias: Float[ArrayLike, " N"],
    *,
    k: int,
    chunk: int = CHUNK,
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The k labels of highest logit of every document, best first, exactly.

    Equal logits come by ascending id; minus infinity counts as the lowest finite
    number. A document with NaN among its logits has no best labels: all k are NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> documents = jnp.array([[1.0, 0.0]])
        >>> labels = jnp.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> logits, ids = lg.functional.top_labels(documents, labels, jnp.zeros(3), k=2)
        >>> logits.tolist(), ids.tolist()
        ([[2.0, 0.0]], [[0, 1]])

    Args:
        documents: as of `chunked_loss`.
        labels: as of `chunked_loss`.
        bias: as of `chunked_loss`.
        k: how many labels.
        chunk: as of `chunked_loss`.

    Returns:
        (logits, ids), float32 and int32.

    Raises:
        ValueError: k is below 1 or above N, or as `chunked_loss`.
    """
    none = jnp.zeros((jnp.shape(documents)[0], 0), jnp.int32)
    documents, labels, bias, *_ = checked_factors(documents, labels, bias, none, None)
    layout = label_layout(len(labels), chunk)
    if not 1 <= k <= layout.labels:
        raise ValueError(
            f"k must lie between 1 and the number of labels; got k = {k} of "
            f"{layout.labels} labels"
        )

    def merge(
        chunk: Array, best: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        logits = layout.scores(documents, labels, bias, chunk)
        unknown = best[2] | jnp.isnan(logits).any(axis=1)
        logits = jnp.where(logits == 0, 0, logits)  # -0.0 and 0.0 are a tie
        logits = jnp.maximum(logits, jnp.finfo(jnp.float32).min)
        logits = jnp.where(layout.is_new(chunk), logits, -jnp.inf)
        # Ids ascend within a chunk, so that of equals the first are kept.
        found, place = jax.lax.top_k(logits, min(k, layout.size))
        ids = layout.ids(chunk)[place]
        negated = jnp.concatenate([-best[0], -found], axis=1)
        both = jnp.concatenate([best[1], ids], axis=1)
        negated, both = jax.lax.sort((negated, both), num_keys=2)
        return -negated[:, :k], both[:, :k], unknown

    # No label: worse than any, and later than all.
    start = (
        jnp.full((documents.shape[0], k), -jnp.inf, jnp.float32),
        jnp.full((documents.shape[0], k), layout.labels, jnp.int32),
        jnp.zeros(documents.shape[0], bool),
    )
    best, ids, unknown = jax.lax.fori_loop(0, layout.chunks, merge, start)
    return jnp.where(unknown[:, None], jnp.nan, best), jnp.minimum(ids, len(labels) - 1)


def decision_counts(
    documents: Float[ArrayLike, "B D"],
    labels: Float[ArrayLike, "N D"],
    bias: Float[ArrayLike, " N"],
    positives: Int[ArrayLike, "B P"],
    thresholds: Float[ArrayLike, " N"],
    *,
    example_mask: Bool[ArrayLike, " B"] | None = None,
    at_least_one: bool = False,
    chunk: int = CHUNK,
) -> DecisionCounts:
    """Count the decisions probability >= threshold, a chunk of the labels at a time.

    Args:
        documents: as of `chunked_loss`.
        labels: as of `chunked_loss`.
        bias: as of `chunked_loss`.
        positives: as of `chunked_loss`.
        thresholds: of the probabilities sigmoid(logit), one per label.
        example_mask: as of `chunked_loss`.
        at_least_one: decide for a document's most probable label (the first of them
            on a tie) where no label reaches its threshold.
        chunk: as of `chunked_loss`.

    Returns:
        The counts, which add over batches.

    Raises:
        ValueError: there is not one threshold per label; a score or a threshold is NaN
            (seen where it is known, so not under `jit`); or as `chunked_loss`.
    """
    scored = (documents, labels, bias, positives, thresholds, example_mask)
    counts, unknown = _decision_counts(*scored, at_least_one, chunk)
    if is_known(unknown) and unknown:
        raise ValueError(
            "documents, labels, bias and thresholds must be numbers, got NaN in a "
            "score or a threshold"
        )
    return counts


@partial(jax.jit, static_argnums=(6, 7))
def _decision_counts(
    documents: Float[ArrayLike, "B D"],
    labels: Float[ArrayLike, "N D"],
    bias: Float[ArrayLike, " N"],
    positives: Int[ArrayLike, "B P"],
    thresholds: Float[ArrayLike, " N"],
    example_mask: Bool[ArrayLike, " B"] | None,
    at_least_one: bool,
    chunk: int,
) -> tuple[DecisionCounts, Bool[Array, ""]]:
    """The counts, and whether a score of a real document or a threshold is NaN."""
    documents, labels, bias, positives, mask = checked_factors(
        documents, labels, bias, positives, example_mask
    )
    layout = label_layout(len(labels), chunk)
    if jnp.shape(thresholds) != (layout.labels,):
        raise ValueError(
            f"thresholds must be one number for each of {layout.labels} labels, got "
            f"the shape {jnp.shape(thresholds)}"
        )
    cutoffs = jnp.asarray(thresholds, jnp.float32)

    def count(
        chunk: Array, state: tuple[DecisionCounts, Array]
    ) -> tuple[DecisionCounts, Array]:
        totals, unknown = state
        logits = layout.scores(documents, labels, bias, chunk)  # [B, C]
        unknown |= (jnp.isnan(logits) & mask[:, None]).any()
        decided = jax.nn.sigmoid(logits) >= layout.take(cutoffs, chunk)
        decided &= mask[:, None]
        positive = layout.targets(positives, chunk) & mask[:, None]
        hits = decided & positive
        new = layout.is_new(chunk)

        def of_labels(total: ArrayLike, cells: Array) -> Array:
            # A label that comes twice is counted anew: equals replace its counts.
            return layout.put(
                jnp.asarray(total), cells.sum(axis=0, dtype=jnp.int32), chunk
            )

        def of_documents(total: ArrayLike, cells: Array) -> Array:
            return jnp.asarray(total) + (cells & new).sum(axis=1, dtype=jnp.int32)

        counts = DecisionCounts(
            of_labels(totals.true_positives, hits),
            of_labels(totals.predicted, decided),
            of_labels(totals.positives, positive),
            DocumentCounts(
                of_documents(totals.documents.tp, hits),
                of_documents(totals.documents.predicted, decided),
                of_documents(totals.documents.positives, positive),
            ),
        )
        return counts, unknown

    zeros = jnp.zeros(layout.labels, jnp.int32)
    none = jnp.zeros(len(documents), jnp.int32)
    start = DecisionCounts(zeros, zeros, zeros, DocumentCounts(none, none, none))
    state = (start, jnp.isnan(cutoffs).any())
    counts, unknown = jax.lax.fori_loop(0, layout.chunks, count, state)
    if not at_least_one:
        return counts, unknown
    best = top_labels(documents, labels, bias, k=1, chunk=chunk)[1][:, 0]
    return _with_best(counts, best, positives, mask), unknown


def _with_best(
    counts: DecisionCounts,
    best: Int[Array, " B"],
    positives: Int[Array, "B P"],
    mask: Bool[Array, " B"],
) -> DecisionCounts:
    """The counts, where a document without a decision gets its best label."""
    lacking = mask & (counts.documents.predicted == 0)
    hit = lacking & (positives == best[:, None]).any(axis=1)
    lacking, hit = lacking.astype(jnp.int32), hit.astype(jnp.int32)
    of_documents = counts.documents
    return DecisionCounts(
        jnp.asarray(counts.true_positives).at[best].add(hit),
        jnp.asarray(counts.predicted).at[best].add(lacking),
        counts.positives,
        DocumentCounts(
            of_documents.tp + hit,
            of_documents.predicted + lacking,
            of_documents.positives,
        ),
    )
