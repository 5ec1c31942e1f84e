"""A block of a stream on the device: scored, learned from, remembered.

Everything here is a pure function of what is kept from block to block. Labels have
places; one without a label is masked, has no gradient and is never predicted.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.functional.streams.reservoir import Reservoir, reservoir_insert
from labelgraph_jax.functional.streams.running import (
    PageHinkley,
    decayed_edges,
    page_hinkley,
    running_quantile,
)

BATCH, AGAIN = 100, 50
"""Documents of a step, and how many of the memory beside them."""
WIDEST = 32
"""Labels of a document in the memory; one that has more is not kept."""
CUT = -0.8
"""First threshold of a new label, a logit: probability 0.31."""
CUT_RATE, LOWEST, HIGHEST = 0.02, -3.0, 3.0
"""Move of a rare label's threshold by one document too many or too few, and where it
stays."""
EDGE_DECAY = 0.98
"""Share of the weight of a pair of labels that a block leaves."""
PAIRED = 8
"""Labels of a document whose pairs count."""
PRIOR_DECAY = 0.9
TOLERANCE, DRIFT = 0.05, 0.7
"""Of the tests for drift, on logarithms: a rise by 5 % is none."""
UNBORN = -6.0
"""First bias of a label."""


class Head(NamedTuple):
    """A vector per place of a label, and what goes with it.

    Attributes:
        vectors, bias: logits are `documents @ vectors.T + bias`.
        vector_squares, bias_squares: sums of squared gradients.
        active: places that hold a label.
        cuts: logits from which a label is predicted.
        positives: documents with the label, so far.
        predicted: decayed share of documents that it was predicted for.
    """

    vectors: Float[Array, "N D"]
    bias: Float[Array, " N"]
    vector_squares: Float[Array, "N D"]
    bias_squares: Float[Array, " N"]
    active: Bool[Array, " N"]
    cuts: Float[Array, " N"]
    positives: Int[Array, " N"]
    predicted: Float[Array, " N"]


EMPTY = Head(0.0, UNBORN, 0.0, 0.0, False, CUT, 0, 0.0)  # type: ignore[arg-type]
"""Content of a place without a label."""


class Teacher(NamedTuple):
    """The head as it was, which distillation holds on to."""

    vectors: Float[Array, "N D"]
    bias: Float[Array, " N"]
    active: Bool[Array, " N"]


class State(NamedTuple):
    """All that learning changes on the device."""

    head: Head
    teacher: Teacher | None
    memory: Reservoir | None
    edges: Edges
    loss: PageHinkley
    prior: PageHinkley


class Documents(NamedTuple):
    """Vectors and labels of documents, padded.

    `labels` are places of labels, N where there is none; a document that is none has
    `mask` False.
    """

    vectors: Float[Array, "B D"]
    labels: Int[Array, "B P"]
    mask: Bool[Array, " B"]


Found = tuple[tuple[Array, Array, Array, Array], Array, tuple[Array, Array], Array]
"""Counts, loss, drift and places in the memory, see `learn_block`."""


def learn_block(
    state: State,
    documents: Documents,
    again: Documents | None,
    uniforms: Array,
    *,
    rate: float,
    distil: float,
    at_least_one: bool,
) -> tuple[State, Found]:
    """Score a block with what was known before it, then learn from it.

    Args:
        state: so far.
        documents: of the block, a multiple of `BATCH`.
        again: documents of the memory, `AGAIN` for each step.
        uniforms: two numbers for each document, see `functional.reservoir_insert`.
        rate: of learning.
        distil: weight of the teacher.
        at_least_one: a document without a label gets its most probable one.

    Returns:
        What is kept; and counts per place (hits, wrong, missed, unborn), the loss of a
        document, whether loss and prior have risen, and the place in the memory of
        each document, or -1.
    """
    head, ids = state.head, documents.labels
    places = len(head.bias)
    there = jnp.maximum(documents.mask.sum(), 1)

    def per_place(cells: Array) -> Array:  # [B, P] -> [N]
        none = jnp.zeros(places, jnp.int32)
        return none.at[ids].add(cells.astype(jnp.int32), mode="drop")

    # Score with what was known before this block. What documents have is sparse,
    # and so are the counts: few passes go over all cells.
    logits = documents.vectors @ head.vectors.T + head.bias
    known = head.active & documents.mask[:, None]
    decided = (logits >= head.cuts) & known
    if at_least_one:
        best = jnp.argmax(jnp.where(head.active, logits, -jnp.inf), axis=1)
        first = jax.nn.one_hot(best, places, dtype=bool) & known
        decided |= first & ~decided.any(axis=1, keepdims=True)
    rows = jnp.arange(len(ids))[:, None]
    has = per_place(ids < places)
    hits = per_place(decided.at[rows, ids].get(mode="fill", fill_value=False))
    shown = decided.sum(axis=0)
    unborn = jnp.where(head.active, 0, has)
    counts = (hits, shown - hits, has - hits, unborn)
    own = jnp.where(known, logits, -jnp.inf)
    true = own.at[rows, ids].get(mode="fill", fill_value=0)
    losses = jax.nn.softplus(own).sum() - jnp.where(jnp.isinf(true), 0, true).sum()
    loss, share = losses / there, shown / there
    moved = jnp.abs(share - head.predicted).sum()
    rule: Any = {"tolerance": TOLERANCE, "threshold": DRIFT}
    on_loss, worse = page_hinkley(state.loss, jnp.log(loss + 1e-6), **rule)
    on_prior, other = page_hinkley(state.prior, jnp.log(moved + 1e-2), **rule)

    # A threshold is the running quantile that as many scores exceed as there are
    # documents with the label. One document too many counts for less where there are
    # many: the threshold of a frequent label would swing from end to end.
    cuts = running_quantile(
        head.cuts,
        logits,
        known,
        quantile=1 - jnp.minimum(has / there, 1),
        rates=CUT_RATE * there / (1 + CUT_RATE * (has + shown)),
    )
    positives = head.positives + has
    first_block = ~head.active.any()
    decay = jnp.where(first_block, 0.0, PRIOR_DECAY)
    head = head._replace(
        active=head.active | (has > 0),
        cuts=jnp.clip(cuts, LOWEST, HIGHEST),
        positives=positives,
        predicted=decay * head.predicted + (1 - decay) * share,
    )

    # Learn: steps over the block, each with as many documents of the memory.
    def batches(given: Documents, size: int) -> Documents:
        parts = (x.reshape(-1, size, *x.shape[1:]) for x in given)
        return Documents(*parts)

    def step(
        head: Head, given: tuple[Documents, Documents | None]
    ) -> tuple[Head, None]:
        parts: Any = {"rate": rate, "distil": distil}
        return stream_step(head, *given, state.teacher, **parts), None

    more = None if again is None else batches(again, AGAIN)
    each_step = batches(documents, BATCH), more
    head, _ = jax.lax.scan(step, head, each_step)

    # Remember, and note which labels come together.
    memory, slots = state.memory, jnp.full(len(documents.mask), -1)
    if memory is not None:
        most = jnp.iinfo(jnp.int32).max
        rarity = positives.at[ids].get(mode="fill", fill_value=most)
        rarest = jnp.take_along_axis(
            ids, jnp.argmin(rarity, axis=1, keepdims=True), axis=1
        )[:, 0]
        owner = jnp.where(rarest < places, rarest + 1, 0)
        labels = (ids < places).sum(axis=1)
        fits = documents.mask & (labels <= WIDEST)

        def offer(
            memory: Reservoir, given: tuple[Array, Array, Array]
        ) -> tuple[Reservoir, Array]:
            label, fit, draws = given
            after, slot = reservoir_insert(memory, label, draws)
            kept = jax.tree.map(lambda a, b: jnp.where(fit, a, b), after, memory)
            return kept, jnp.where(fit, slot, -1)

        filled, slots = jax.lax.scan(offer, memory, (owner, fits, uniforms))
        memory = filled
    edges = _paired(state.edges, ids, places)
    after = State(head, state.teacher, memory, edges, on_loss, on_prior)
    return after, (counts, loss, (worse, other), slots)


def stream_step(
    head: Head,
    documents: Documents,
    again: Documents | None = None,
    teacher: Teacher | None = None,
    *,
    rate: float,
    distil: float = 0.0,
) -> Head:
    """Take one step of Adagrad on the cross-entropy of labels that are there.

    Args:
        head: so far.
        documents: of the stream.
        again: of the memory, each with the same weight.
        teacher: whose probabilities are targets, too, for the labels that it has.
        rate: of the move.
        distil: weight of the teacher.

    Reference: Duchi et al., Adaptive subgradient methods, JMLR 2011; Li and Hoiem,
    Learning without forgetting, ECCV 2016, whose softmax is a sigmoid here.
    """
    parts = [documents] if again is None else [documents, again]
    x = jnp.concatenate([given.vectors for given in parts])
    mask = jnp.concatenate([given.mask for given in parts])
    truth = jnp.concatenate([multi_hot(given, len(head.bias)) for given in parts])
    shown = jax.nn.sigmoid(x @ head.vectors.T + head.bias)
    wrong = shown - truth
    if teacher is not None:
        before = jax.nn.sigmoid(x @ teacher.vectors.T + teacher.bias)
        wrong += distil * jnp.where(teacher.active, shown - before, 0)
    wrong = jnp.where(head.active & mask[:, None], wrong, 0) / BATCH
    vectors, bias = wrong.T @ x, wrong.sum(axis=0)
    squares, bias_squares = (
        head.vector_squares + vectors**2,
        head.bias_squares + bias**2,
    )
    return head._replace(
        vectors=head.vectors - rate * vectors * jax.lax.rsqrt(squares + 1e-12),
        bias=head.bias - rate * bias * jax.lax.rsqrt(bias_squares + 1e-12),
        vector_squares=squares,
        bias_squares=bias_squares,
    )


def multi_hot(documents: Documents, places: int) -> Float[Array, "B N"]:
    """Labels of documents as ones."""
    rows = jnp.arange(len(documents.mask))[:, None]
    none = jnp.zeros((len(documents.mask), places))
    return none.at[rows, documents.labels].set(1.0, mode="drop")


def _paired(edges: Edges, labels: Int[Array, "B P"], places: int) -> Edges:
    """Add the pairs of the first labels of each document to decayed edges."""
    ids = labels[:, :PAIRED]
    form = (*ids.shape, ids.shape[1])
    to, by = (jnp.broadcast_to(x, form) for x in (ids[..., None], ids[:, None]))
    pairs = (to < places) & (by < places) & (to != by)
    weights = pairs.astype(jnp.float32).ravel()
    return decayed_edges(
        edges, to.ravel(), by.ravel(), weights, decay=EDGE_DECAY, n=places
    )


def padded(
    vectors: np.ndarray, labels: Sequence[Sequence[int]], *, room: int, places: int
) -> Documents:
    """Documents and their labels in arrays of `room` rows."""
    filled = np.zeros((room, vectors.shape[1]), np.float32)
    filled[: len(vectors)] = vectors
    width = 1 << (max([WIDEST, *map(len, labels)]) - 1).bit_length()
    ids = np.full((room, width), places, np.int32)
    for row, own in enumerate(labels):
        ids[row, : len(own)] = own
    return Documents(filled, ids, np.arange(room) < len(vectors))  # type: ignore[arg-type]
