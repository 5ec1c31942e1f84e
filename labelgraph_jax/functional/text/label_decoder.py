"""A recurrent decoder that writes a document's labels one after another (CNN-RNN).

Symbols 0 .. N-1 are the labels, symbol N stops the sequence. At every step the decoder
chooses among the labels that it has not written yet and the stop symbol.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets, is_positive
from labelgraph_jax.functional.graph.edges import check_label_count
from labelgraph_jax.functional.losses.elementwise import LossSum
from labelgraph_jax.functional.text.recurrent import LstmWeights, lstm

LARGEST_PROBABILITY = 1 - 2**-23
SMALLEST_HAZARD = 1e-30
"""Least -log(1 - p): with both bounds the odds of a label are finite in float32."""


class DecoderWeights(NamedTuple):
    """Parameters of the decoder; M = N + 1 symbols, G = 4 H."""

    embedding: Float[Array, "M E"]  # of what was written last; row N: nothing yet
    cell: LstmWeights
    output_kernel: Float[Array, "H M"]
    output_bias: Float[Array, " M"]


class LabelSequences(NamedTuple):
    """The label sets of a batch as sequences to be written."""

    symbols: Int[Array, "B T"]  # N from the stop on
    steps: Bool[Array, "B T"]  # true up to and including the stop
    free: Bool[Array, "B T M"]  # symbols that may still be written at a step


def label_sequences(
    targets: Shaped[ArrayLike, "B N"],
    label_counts: Shaped[ArrayLike, " N"],
    *,
    max_labels: int,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> LabelSequences:
    """Put the labels of every document in order: the most frequent first, then stop.

    A sequence has T = min(max_labels, N) steps. A document with T labels or more fills
    them all with its T most frequent ones and never stops; of equally frequent labels
    the one of the smaller number comes first.

    Args:
        targets: positive where > 0.
        label_counts: training documents with each label.
        max_labels: the longest sequence.
        target_mask: true where the label of the document is annotated. A label that is
            not is never written, and no step may choose it.

    Raises:
        ValueError: max_labels is below 1, there is no label, shapes do not fit
            together; or an annotated target is NaN or outside 0..1 (seen only where it
            is known, so not under `jit`).
    """
    check_axes(targets=(targets, "B N"), target_mask=(target_mask, "B N"))
    check_targets(targets, target_mask)
    check_label_count(jnp.shape(targets)[1])
    targets = is_positive(targets)
    counts = jnp.asarray(label_counts)
    documents, labels = targets.shape
    if max_labels < 1:
        raise ValueError(f"max_labels must be at least 1, got {max_labels}")
    if counts.shape != (labels,):
        raise ValueError(
            f"label_counts must have shape {(labels,)}, got {counts.shape}"
        )
    kept = jnp.ones_like(targets)
    if target_mask is not None:
        kept = jnp.asarray(target_mask, bool)
    targets &= kept
    length = min(max_labels, labels)
    order = jnp.argsort(-counts, stable=True)  # the label of each rank
    rank = jnp.argsort(order)
    wanted = jnp.where(targets, rank, labels)
    first, _ = jax.lax.top_k(-wanted, length)
    symbols = jnp.append(order, labels)[-first]
    steps = jnp.arange(length) <= jnp.sum(targets, axis=1)[:, None]

    # The place of each label in its document's sequence.
    place = (jnp.cumsum(targets[:, order], axis=1) - 1)[:, rank]
    written = targets[:, None, :] & (place[:, None, :] < jnp.arange(length)[:, None])
    stop = jnp.ones((documents, length, 1), bool)
    free = jnp.concatenate([kept[:, None, :] & ~written, stop], axis=2)
    return LabelSequences(symbols, steps, free)


def label_sequence_loss(
    weights: DecoderWeights,
    hidden: Float[Array, "B H"],
    cell: Float[Array, "B H"],
    sequences: LabelSequences,
    example_mask: Bool[ArrayLike, " B"] | None = None,
) -> LossSum:
    """Sum the cross-entropy of every symbol given those before it (teacher forcing).

        z_bt = LSTM(E_{y_b,t-1}) W + b
        loss = -sum_bt log softmax(z_bt)[y_bt]

    the softmax over the symbols that are free at that step. A symbol that is not free,
    an un-annotated label among them, adds nothing, and the gradient of its score is
    exactly zero: what is learned is the choice among the annotated labels. A document
    of which no label is annotated adds nothing at all, and neither does padding.

    Args:
        weights: the decoder.
        hidden: its hidden state before the first symbol, made from the document.
        cell: its cell state there.
        sequences: from `label_sequences`.
        example_mask: true where the document is real.

    Returns:
        (loss_sum, weight_sum), float32: weight_sum counts the symbols, stops included.

    Raises:
        ValueError: shapes do not fit together.
    """
    weights, hidden, cell = _checked(weights, hidden, cell)
    symbols, steps, free = sequences
    check_axes(
        hidden=(hidden, "B H"),
        symbols=(symbols, "B T"),
        example_mask=(example_mask, "B"),
    )
    annotated = jnp.any(free[:, 0, :-1], axis=1)
    kept = steps & annotated[:, None]
    if example_mask is not None:
        kept &= jnp.asarray(example_mask, bool)[:, None]
    start = jnp.full_like(symbols[:, :1], free.shape[2] - 1)
    before = jnp.concatenate([start, symbols[:, :-1]], axis=1)
    states, _, _ = lstm(
        weights.embedding[before],
        kept,
        *weights.cell,
        initial_hidden=hidden,
        initial_cell=cell,
    )
    scores = _symbol_scores(weights, states)
    scores = jnp.where(free, scores, 0)
    log_total = jax.nn.logsumexp(scores, axis=-1, where=free)
    chosen = jnp.take_along_axis(scores, symbols[..., None], axis=-1)[..., 0]
    losses = jnp.where(kept, log_total - chosen, 0)
    return losses.sum(dtype=jnp.float32), kept.sum(dtype=jnp.float32)


class Decoded(NamedTuple):
    """Result of `greedy_decode`."""

    logits: Float[Array, "B N"]
    symbols: Int[Array, "B T"]  # what was written; N from the stop on


def greedy_decode(
    weights: DecoderWeights,
    hidden: Float[Array, "B H"],
    cell: Float[Array, "B H"],
    *,
    max_labels: int,
) -> Decoded:
    """Write the most probable symbol at every step; give every label a probability.

    With p_t(n) the probability of label n at step t, among the symbols not yet
    written,

        p_n = 1 - prod_t (1 - p_t(n)),    logits = log(p_n / (1 - p_n))

    the product over the steps up to and including the one that stops. It is the
    probability that n is drawn at some step while the decoder follows its greedy path,
    and not the marginal over all sequences. A label that was written counts the step
    that wrote it. Where every choice is clear the labels with p_n >= 0.5 are those
    written; they differ where a label was written with less than half of the
    probability, or was second at several steps.

    Args:
        weights: the decoder.
        hidden: its hidden state before the first symbol.
        cell: its cell state there.
        max_labels: the most labels it may write, N at most.

    Returns:
        Logits `[B, N]` in float32, finite; and the symbols `[B, T]`,
        T = min(max_labels, N), label numbers and then N.

    Raises:
        ValueError: max_labels is below 1, or shapes do not fit together.
    """
    if max_labels < 1:
        raise ValueError(f"max_labels must be at least 1, got {max_labels}")
    weights, hidden, cell = _checked(weights, hidden, cell)
    documents, stop = hidden.shape[0], weights.output_bias.shape[0] - 1
    one_step = jnp.ones((documents, 1), bool)

    # One step: score symbols, note what each label's chance was, write the best.
    def step(state, _):
        hidden, cell, last, free, going, hazard = state
        inputs = weights.embedding[last][:, None]
        _, hidden, cell = lstm(
            inputs, one_step, *weights.cell, initial_hidden=hidden, initial_cell=cell
        )
        scores = _symbol_scores(weights, hidden)
        probabilities = jax.nn.softmax(scores, axis=-1, where=free)
        capped = jnp.minimum(probabilities[:, :stop], LARGEST_PROBABILITY)
        hazard = hazard - jnp.where(going[:, None], jnp.log1p(-capped), 0)
        best = jnp.argmax(jnp.where(free, scores, -jnp.inf), axis=-1)
        symbol = jnp.where(going, best, stop)
        free &= (jnp.arange(stop + 1) != symbol[:, None]).at[:, stop].set(True)
        return (hidden, cell, symbol, free, going & (symbol != stop), hazard), symbol

    # Start after a stop symbol, with all labels free.
    start = (
        hidden,
        cell,
        jnp.full(documents, stop),
        jnp.ones((documents, stop + 1), bool),
        jnp.ones(documents, bool),
        jnp.zeros((documents, stop), jnp.float32),
    )
    steps = min(max_labels, stop)
    (*_, hazard), symbols = jax.lax.scan(step, start, length=steps)
    hazard = jnp.maximum(hazard, SMALLEST_HAZARD)
    # log(p / (1 - p)) with 1 - p = exp(-hazard), for any hazard without overflow.
    logits = hazard + jnp.log(-jnp.expm1(-hazard))
    return Decoded(logits, symbols.T)


def _checked(
    weights: DecoderWeights, hidden: ArrayLike, cell: ArrayLike
) -> tuple[DecoderWeights, Array, Array]:
    """The decoder and its state as JAX arrays, or a ValueError."""
    hidden, cell = jnp.asarray(hidden), jnp.asarray(cell)
    weights = jax.tree.map(jnp.asarray, weights)
    check_axes(
        hidden=(hidden, "B H"),
        cell=(cell, "B H"),
        embedding=(weights.embedding, "M E"),
        output_kernel=(weights.output_kernel, "H M"),
        output_bias=(weights.output_bias, "M"),
    )
    return weights, hidden, cell


def _symbol_scores(
    weights: DecoderWeights, states: Float[Array, "*batch H"]
) -> Float[Array, "*batch M"]:
    scores = jnp.einsum(
        "...h,hm->...m",
        states,
        weights.output_kernel,
        preferred_element_type=jnp.float32,
    )
    return scores + weights.output_bias.astype(jnp.float32)
