"""Attention over a list of edges: softmax and sums by segments, in O(edges) memory."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.graph.edges import Edges

EDGE_BYTES = 64 << 20
"""Bytes of the gathered features, `[edges, heads, features]`, that are in memory at
once."""


def edge_scores(
    receivers: Float[Array, "H N"], senders: Float[Array, "H N"], edges: Edges
) -> Float[Array, "E H"]:
    """receivers_i + senders_j of every edge i <- j."""
    received = receivers.T.at[edges.receivers].get(indices_are_sorted=True)
    return received + senders.T[edges.senders]


def edge_softmax(
    logits: Float[Array, "E H"],
    kept: Bool[Array, "E #H"],
    receivers: Int[Array, "E"],
    labels: int,
) -> Float[Array, "E H"]:
    """Softmax over the kept edges of each receiver; 0 for an edge that is not kept."""
    segments = partial(
        _by_receiver, receivers=receivers, labels=labels, total=jax.ops.segment_max
    )
    kept = kept & (logits != -jnp.inf)
    hidden = jnp.where(kept, jax.lax.stop_gradient(logits), -jnp.inf)
    largest = segments(hidden)
    raised = jnp.where(kept, jnp.exp(jnp.where(kept, logits - largest, 0.0)), 0.0)
    total = segments(raised, total=jax.ops.segment_sum)
    return raised / jnp.where(total == 0, 1.0, total)


def _by_receiver(
    x: Array, *, receivers: Array, labels: int, total: Callable[..., Array]
) -> Float[Array, "E H"]:
    """Total over all edges of a receiver, at each of its edges."""
    found = total(x, receivers, num_segments=labels, indices_are_sorted=True)
    return found.at[receivers].get(indices_are_sorted=True)


def fixed_edges(
    weights: Float[Array, "E"], receivers: Int[Array, "E"], *, heads: int, labels: int
) -> Float[Array, "E H"]:
    """The attention of role `fixed`: w_ij / sum_j abs(w_ij), the same in every head."""
    weights = jax.lax.stop_gradient(weights).astype(jnp.float32)[:, None]
    total = _by_receiver(
        jnp.abs(weights),
        receivers=receivers,
        labels=labels,
        total=jax.ops.segment_sum,
    )
    shares = weights / jnp.where(total > 0, total, 1.0)
    return jnp.broadcast_to(shares, (len(weights), heads))


def gather_edges(
    attention: Float[Array, "E H"],
    values: Float[Array, "N H F"],
    receivers: Int[Array, "E"],
    senders: Int[Array, "E"],
) -> Float[Array, "N H F"]:
    """out_i = the sum over the edges i <- j of attention_e values_j.

    Edges are taken a block at a time, forwards and backwards, so that what they carry,
    `[E, H, F]`, is never whole. Differentiable in reverse mode, not in forward mode.

    Args:
        attention: one weight per edge and head.
        values: what is gathered.
        receivers: i of every edge, sorted.
        senders: j of every edge.

    Returns:
        The sums, of the type of `values`; added up in float32.
    """
    values, receivers, senders = (jnp.asarray(x) for x in (values, receivers, senders))
    return _gather(attention, values, receivers, senders)


@jax.custom_vjp
def _gather(
    attention: Array, values: Array, receivers: Array, senders: Array
) -> Float[Array, "N H F"]:
    return _gather_forward(attention, values, receivers, senders)[0]


def _gather_forward(
    attention: Array, values: Array, receivers: Array, senders: Array
) -> tuple[Array, tuple[Array, ...]]:
    def add(total: Array, piece: tuple[Array, ...]) -> tuple[Array, None]:
        weights, to, come_from = piece
        sent = values[come_from].astype(jnp.float32)
        carried = weights[..., None].astype(jnp.float32) * sent
        return total.at[to].add(carried, indices_are_sorted=True), None

    pieces = _edge_blocks(values, attention, receivers, senders)
    start = jnp.zeros(values.shape, jnp.float32)
    out, _ = jax.lax.scan(add, start, pieces)
    return out.astype(values.dtype), (attention, values, receivers, senders)


def _gather_backward(
    kept: tuple[Array, ...], gradient: Float[Array, "N H F"]
) -> tuple[Array | None, ...]:
    attention, values, receivers, senders = kept

    def add(total: Array, piece: tuple[Array, ...]) -> tuple[Array, Array]:
        weights, to, come_from = piece
        received = gradient.at[to].get(indices_are_sorted=True).astype(jnp.float32)
        sent = values[come_from].astype(jnp.float32)
        shared = weights[..., None].astype(jnp.float32) * received
        total = total.at[come_from].add(shared)
        return total, jnp.sum(received * sent, axis=-1)

    pieces = _edge_blocks(values, attention, receivers, senders)
    start = jnp.zeros(values.shape, jnp.float32)
    to_values, to_attention = jax.lax.scan(add, start, pieces)
    to_attention = to_attention.reshape(-1, attention.shape[1])[: len(attention)]
    return (
        to_attention.astype(attention.dtype),
        to_values.astype(values.dtype),
        None,
        None,
    )


def _edge_blocks(
    values: Array, attention: Array, receivers: Array, senders: Array
) -> tuple[Array, Array, Array]:
    """Return the edges in blocks of one size.

    Those that fill up the last one carry nothing to the last label, so that the
    receivers stay sorted.
    """
    edges, heads = attention.shape
    most = max(1, EDGE_BYTES // max(4 * heads * values.shape[-1], 1))
    size = max(1, min(edges, most))
    missing = -edges % size
    ends = ((attention, 0.0), (receivers, len(values) - 1), (senders, 0))

    def split(array: Array, end: float | int) -> Array:
        padding = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
        filled = jnp.pad(array, padding, constant_values=end)
        return filled.reshape(-1, size, *array.shape[1:])

    weights, to, come_from = (split(*pair) for pair in ends)
    return weights, to, come_from


_gather.defvjp(_gather_forward, _gather_backward)
