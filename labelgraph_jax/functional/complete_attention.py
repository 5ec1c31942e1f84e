"""Exact attention over a complete graph without a matrix: sort, sum, look up.

The logit of graph attention, LeakyReLU(s_i + t_j), is a sum before its kink and a
scaled sum after it. Sorted by t, the senders that lie above the kink of receiver i are
the last ones, from a place that a binary search finds; so every softmax-weighted sum is
one suffix sum and one prefix sum, each scaled by what depends on i alone.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from labelgraph_jax.functional.attention_inputs import EdgeFactors
from labelgraph_jax.functional.sorted_sums import (
    lay_out,
    over_heads,
    sums_before,
    sums_from,
)


def complete_attention(
    receivers: Float[Array, "N H"],
    senders: Float[Array, "N H"],
    values: Float[Array, "N H F"],
    negative_slope: float,
    factors: EdgeFactors | None = None,
) -> Float[Array, "N H F"]:
    """Every label gathers from all labels, in O(N log N) time and O(N) memory.

        out_i = sum_j softmax_j(LeakyReLU(receivers_i + senders_j) + log w_ij) values_j

    with w_ij = 1, or, given `factors` U and V, w_ij = sum_r U_ir V_jr, which is
    computed as R sums of the same kind with sender weights V_jr.

    With T the largest sender and m_i = LeakyReLU(receivers_i + T) the largest logit of
    row i, the weight of j relative to the largest is

        exp(t_j - T)       exp(s_i + T - m_i)     above the kink, where m_i = s_i + T
        exp(a (t_j - T))   exp(a (s_i + T) - m_i)  below it

    Each factor lies in [0, 1] and the largest weight is 1, so that no logit, however
    large, overflows, and what underflows is below 1e-38 of the row's sum (with
    `factors`, of the largest edge weight times that). Sums run from either end, never
    as differences of sums. The gradient sorts by the receivers and is the same kind of
    sums; nothing of size N x N is made.

    Args:
        receivers: s, the receiver's half of the logit.
        senders: t, the sender's half.
        values: what is gathered.
        negative_slope: a, of the LeakyReLU below zero, in [0, 1].
        factors: U and V, `[N, R]` each, without a negative entry.

    Returns:
        The sums, of the type of `values`; logits and sums are taken in float32. A row
        of weights that are all 0 gives zeros.

    Raises:
        ValueError: negative_slope lies outside [0, 1]: the largest logit would no
            longer be that of the largest sender.

    Reference: ours; the logit is that of Velickovic et al., ICLR 2018, equation 3.
    """
    if not 0.0 <= negative_slope <= 1.0:
        raise ValueError(
            f"complete_attention needs a negative_slope in [0, 1], got {negative_slope}"
        )
    wide = tuple(x.astype(jnp.float32) for x in (receivers, senders, values))
    if factors is None:
        out, _ = weighted_attention(*wide, None, negative_slope)
        return out.astype(values.dtype)
    of_receivers, of_senders = (_shares(factor) for factor in factors)

    # Without the checkpoint a gradient would keep the sums of every component.
    @jax.checkpoint
    def add(sums: tuple[Array, Array], component: Any) -> tuple[Any, None]:
        of_receiver, of_sender = component
        out, total = weighted_attention(*wide, of_sender, negative_slope)
        share = of_receiver[:, None] * total
        return (sums[0] + share[..., None] * out, sums[1] + share), None

    start = (jnp.zeros_like(wide[2]), jnp.zeros_like(wide[0]))
    components = (of_receivers.T, of_senders.T)
    (sums, total), _ = jax.lax.scan(add, start, components)
    some = total > 0
    out = jnp.where(some, 1.0 / jnp.where(some, total, 1.0), 0.0)[..., None] * sums
    return out.astype(values.dtype)


def _shares(factor: Float[Array, "N R"]) -> Float[Array, "N R"]:
    """A factor over its largest entry, which the softmax does not see."""
    factor = factor.astype(jnp.float32)
    largest = jax.lax.stop_gradient(factor.max())
    return factor / jnp.where(largest > 0, largest, 1.0)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def weighted_attention(
    receivers: Float[Array, "N H"],
    senders: Float[Array, "N H"],
    values: Float[Array, "N H F"],
    weights: Float[Array, "N"] | None,
    negative_slope: float,
) -> tuple[Float[Array, "N H F"], Float[Array, "N H"]]:
    """`complete_attention` in float32 with one weight per sender, and what it divided
    by: the sum of weights_j exp(logit_ij - m_i), in whose gradient m_i is a constant.
    """
    return _forward(receivers, senders, values, weights, negative_slope)[0]


def _forward(
    receivers: Array,
    senders: Array,
    values: Array,
    weights: Array | None,
    slope: float,
) -> tuple[tuple[Array, Array], tuple[Any, ...]]:
    one_head = partial(_one_head, weights=weights, slope=slope)
    out, total, above, total_above = over_heads(one_head, receivers, senders, values)
    kept = (receivers, senders, values, weights, out, total, above, total_above)
    return (out, total), kept


def _one_head(
    s: Float[Array, " N"],
    t: Float[Array, " N"],
    v: Float[Array, "N F"],
    *,
    weights: Float[Array, " N"] | None,
    slope: float,
) -> tuple[Array, Array, Array, Array]:
    """Output, the row's weights, and the parts of both from above the kink."""
    order = jnp.argsort(t)
    ordered = t[order]
    top = ordered[-1]
    kink = jnp.searchsorted(ordered, -s)  # the first sender with s_i + t_j >= 0
    layout = lay_out(order)
    of_sender = (
        layout.exists if weights is None else layout.exists * weights[layout.rows]
    )
    laid = t[layout.rows] - top
    weight_above = of_sender * jnp.exp(laid)
    weight_below = of_sender * jnp.exp(slope * laid)
    rows = v[layout.rows]
    scale_above, scale_below = _scales(s, top, slope)
    total_above = scale_above * sums_from(weight_above, kink)
    total = total_above + scale_below * sums_before(weight_below, kink)
    inverse = jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
    above = (scale_above * inverse)[:, None] * sums_from(
        weight_above[..., None] * rows, kink
    )
    below = (scale_below * inverse)[:, None] * sums_before(
        weight_below[..., None] * rows, kink
    )
    return above + below, total, above, total_above * inverse


def _scales(
    s: Float[Array, " N"], top: Float[Array, ""], slope: float
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """exp(s_i + T - m_i) and exp(a (s_i + T) - m_i); nothing lies above where the
    first would exceed 1."""
    largest = s + top
    return (
        jnp.where(largest >= 0, 1.0, 0.0),
        jnp.exp(jnp.minimum((slope - 1.0) * largest, 0.0)),
    )


def _backward(
    slope: float,
    kept: tuple[Any, ...],
    gradients: tuple[Float[Array, "N H F"], Float[Array, "N H"]],
) -> tuple[Array | None, ...]:
    *arrays, weights, out, total, above, total_above = kept
    one_head = partial(_one_head_backward, weights=weights, slope=slope)
    wide = (*arrays, out, total, above, total_above, *gradients[::-1])
    ds, dt, dv, dw = over_heads(one_head, *wide)
    return ds, dt, dv, None if weights is None else dw.sum(axis=1)


def _one_head_backward(
    s: Float[Array, " N"],
    t: Float[Array, " N"],
    v: Float[Array, "N F"],
    out: Float[Array, "N F"],
    total: Float[Array, " N"],
    above: Float[Array, "N F"],
    total_above: Float[Array, " N"],
    g_total: Float[Array, " N"],
    g: Float[Array, "N F"],
    *,
    weights: Float[Array, " N"] | None,
    slope: float,
) -> tuple[Array, Array, Array, Array]:
    """With c_i = g_i . out_i, the gradient of logit (i, j) is
    alpha_ij (g_i . v_j - c_i); times 1 above the kink and `slope` below it. A row's sum
    over all j is zero, so that what is above the kink says all of s. The gradient of
    the row's sum is one more constant per row."""
    c = jnp.sum(g * out, axis=1) - total * g_total
    whole = total * g_total
    ds = jnp.sum(g * above, axis=1) - c * total_above
    ds = (1.0 - slope) * ds + slope * whole

    order = jnp.argsort(s)
    top = jnp.max(t)
    scale_above, scale_below = _scales(s, top, slope)
    inverse = jnp.where(total > 0, 1.0 / jnp.where(total > 0, total, 1.0), 0.0)
    # s_i >= -t_j here, t_j >= -s_i there: negation is exact, so both agree on ties.
    kink = jnp.searchsorted(s[order], -t)
    layout = lay_out(order)
    above_row, below_row = (
        layout.exists * (scale * inverse)[layout.rows]
        for scale in (scale_above, scale_below)
    )
    rows, constants = g[layout.rows], c[layout.rows]
    weight_above, weight_below = jnp.exp(t - top), jnp.exp(slope * (t - top))
    g_above = weight_above[:, None] * sums_from(above_row[..., None] * rows, kink)
    g_below = weight_below[:, None] * sums_before(below_row[..., None] * rows, kink)
    c_above = weight_above * sums_from(above_row * constants, kink)
    c_below = weight_below * sums_before(below_row * constants, kink)
    of_above = jnp.sum(g_above * v, axis=1) - c_above
    of_below = jnp.sum(g_below * v, axis=1) - c_below
    dv, dt, dw = g_above + g_below, of_above + slope * of_below, of_above + of_below
    if weights is not None:
        dv, dt = weights[:, None] * dv, weights * dt
    return ds, dt, dv, dw


weighted_attention.defvjp(_forward, _backward)
