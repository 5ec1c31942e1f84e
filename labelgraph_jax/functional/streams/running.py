"""Statistics that follow a stream: quantiles, drift, labels that come together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.checks import (
    check_axes,
    check_integers,
    check_numbers,
    check_shares,
)
from labelgraph_jax.functional.graph.edges import Edges


class PageHinkley(NamedTuple):
    """State of a test for a mean that rises.

    Attributes:
        values: number of them since the test began.
        mean: of them.
        total: sum of what lay above the mean of its time, less the tolerance.
        least: the smallest that this sum has been.
    """

    values: Float[Array, ""]
    mean: Float[Array, ""]
    total: Float[Array, ""]
    least: Float[Array, ""]

    @classmethod
    def start(cls) -> "PageHinkley":
        """Return the state before the first value."""
        zero = jnp.zeros(())
        return cls(zero, zero, zero, zero)


def page_hinkley(
    state: PageHinkley,
    value: Float[ArrayLike, ""],
    *,
    tolerance: float = 0.005,
    threshold: float = 1.0,
) -> tuple[PageHinkley, Bool[Array, ""]]:
    """Take one value of a stream; tell whether its mean has risen.

        m_t = m_{t-1} + x_t - mean_t - tolerance,    drift: m_t - min m > threshold

    After a drift the test begins anew. Made to be scanned over; for a mean that falls
    the values are negated.

    Example:
        >>> import labelgraph_jax as lg
        >>> state, found = lg.functional.PageHinkley.start(), []
        >>> for value in (1.0, 1.0, 1.0, 3.0, 3.0):
        ...     state, drift = lg.functional.page_hinkley(state, value)
        ...     found.append(bool(drift))
        >>> found
        [False, False, False, True, False]

    Args:
        state: `PageHinkley.start()`, or that of the call before.
        value: the next of the stream.
        tolerance: a rise that is none.
        threshold: sum of rises that is a drift.

    Raises:
        ValueError: a tolerance or threshold below 0, or a value that is no number.

    Reference: Page, Continuous inspection schemes, Biometrika 1954; Mouss et al., Test
        of Page-Hinkley, an approach for fault detection, 2004.
    """
    if tolerance < 0 or threshold < 0:
        raise ValueError(
            f"tolerance and threshold must be at least 0, got {tolerance} and "
            f"{threshold}"
        )
    check_axes(value=(value, ""))
    check_numbers(value=value)
    value = jnp.asarray(value, jnp.result_type(float, jnp.asarray(value)))
    values, mean, total, least = (jnp.asarray(x, value.dtype) for x in state)
    values = values + 1
    mean = mean + (value - mean) / values
    total = total + value - mean - tolerance
    least = jnp.minimum(least, total)
    drift = total - least > threshold
    after = PageHinkley(values, mean, total, least)
    return PageHinkley(*(jnp.where(drift, 0, x) for x in after)), drift


def running_quantile(
    estimates: Float[ArrayLike, " N"],
    values: Float[ArrayLike, "B N"],
    mask: Bool[ArrayLike, "B N"],
    *,
    quantile: Float[ArrayLike, "..."] | float,
    rates: Float[ArrayLike, "..."] | float = 0.1,
) -> Float[Array, " N"]:
    """Move estimates of a quantile by the values of a block.

        q <- q + rate * sum_b mask (quantile - [value < q]) / max(1, sum_b mask)

    Where a column of the mask is False nothing moves. With `quantile` one less the
    share of documents that have a label, and its scores as values, the estimate is a
    threshold that as many documents exceed as have the label.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> block, mask = jnp.array([[1.0, 2.0]]), jnp.array([[True, False]])
        >>> lg.functional.running_quantile(
        ...     jnp.zeros(2), block, mask, quantile=0.5, rates=0.5
        ... ).tolist()
        [0.25, 0.0]

    Args:
        estimates: so far.
        values: of a block.
        mask: the values that count.
        quantile: share of values that shall lie below the estimate, per column or one
            for all.
        rates: of the move, per column or one for all.

    Raises:
        ValueError: shapes that do not fit, or a quantile outside 0..1.

    Reference: Robbins and Monro, A stochastic approximation method, 1951.
    """
    check_shares(quantile=quantile)
    check_axes(estimates=(estimates, "N"), values=(values, "B N"), mask=(mask, "B N"))
    check_numbers(estimates=estimates, values=values)
    q, values, mask = jnp.asarray(estimates), jnp.asarray(values), jnp.asarray(mask)
    dtype = jnp.result_type(q, values)
    count = mask.sum(axis=0).astype(dtype)
    below = (mask & (values < q)).sum(axis=0).astype(dtype)
    share = jnp.asarray(quantile, dtype)
    move = (share * count - below) / jnp.maximum(count, 1)
    return q + jnp.asarray(rates, dtype) * move


def decayed_edges(
    edges: Edges,
    receivers: Int[ArrayLike, " P"],
    senders: Int[ArrayLike, " P"],
    weights: Float[ArrayLike, " P"],
    *,
    decay: float,
    n: int,
) -> Edges:
    """Add pairs to a list of edges of fixed length whose weights decay.

        w_ij <- decay * w_ij + sum of the new weights of (i, j)

    Of more than E different pairs the E heaviest stay: time and memory are those of E
    edges, however many labels there are. An edge of weight 0 is a place that is free;
    it stands at the end, between labels `n`.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> free = jnp.array([2, 2])
        >>> edges = lg.functional.Edges(free, free, jnp.zeros(2))
        >>> pair = jnp.array([1]), jnp.array([0]), jnp.array([1.0])
        >>> for _ in range(2):
        ...     edges = lg.functional.decayed_edges(edges, *pair, decay=0.5, n=2)
        >>> [part.tolist() for part in edges]
        [[1, 2], [0, 2], [1.5, 0.0]]

    Args:
        edges: sorted by receiver, then sender.
        receivers: labels of new pairs, in any order and perhaps repeated.
        senders: labels of the same pairs, which these receive from.
        weights: of the new pairs; 0 leaves one out.
        decay: what a weight is multiplied by.
        n: the number of labels, above every id.

    Raises:
        ValueError: shapes that do not fit, or a decay outside 0..1.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must lie in 0..1, got {decay}")
    check_axes(
        edges_receivers=(edges.receivers, "E"),
        edges_senders=(edges.senders, "E"),
        edges_weights=(edges.weights, "E"),
    )
    check_axes(receivers=(receivers, "P"), senders=(senders, "P"))
    check_axes(senders=(senders, "P"), weights=(weights, "P"))
    check_integers(receivers=receivers, senders=senders)
    check_numbers(weights=weights)
    held = jnp.asarray(edges.weights)
    size, added = held.shape[0], jnp.asarray(weights, held.dtype)
    to = jnp.concatenate([jnp.asarray(edges.receivers), jnp.asarray(receivers)])
    by = jnp.concatenate([jnp.asarray(edges.senders), jnp.asarray(senders)])
    every = jnp.concatenate([held * decay, added])
    to, by = (jnp.where(every > 0, ids, n) for ids in (to, by))
    # Equal pairs stand together; the first of each takes the sum.
    order = jnp.lexsort((by, to))
    to, by, every = to[order], by[order], every[order]
    first = jnp.concatenate(
        [jnp.ones(min(1, to.size), bool), (to[1:] != to[:-1]) | (by[1:] != by[:-1])]
    )
    owner = jnp.cumsum(first) - 1
    sums = jax.ops.segment_sum(every, owner, num_segments=to.size)
    totals = jnp.where(first, sums[owner], 0)
    totals, kept = jax.lax.top_k(totals, size)
    to, by = (jnp.where(totals > 0, ids[kept], n) for ids in (to, by))
    order = jnp.lexsort((by, to))
    return Edges(to[order], by[order], totals[order])
