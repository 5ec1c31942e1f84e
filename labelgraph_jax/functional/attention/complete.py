"""Exact attention over a complete graph without a matrix: sort, sum, look up.

The logit of graph attention, LeakyReLU(s_i + t_j), is a sum before its kink and a
scaled sum after it. Sorted by t, the senders that lie above the kink of receiver i are
the last ones, from a place that a binary search finds; so every softmax-weighted sum is
one suffix sum and one prefix sum, each scaled by what depends on i alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from labelgraph_jax.functional.attention.plan import EdgeFactors, check_complete
from labelgraph_jax.functional.attention.sorted_sums import (
    by_heads,
    divide_heads,
    lay_out,
    sort_and_place,
    two_sums,
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
    `factors`, of the largest edge weight times that). Sums before the kink are taken
    from sums up to the end of a block, in which no row's weight exceeds its weight in
    the whole (`two_sums`): nothing that is small is a difference of what is large. The
    largest error against float64 does not grow with N: measured from 1,000 to 1,000,000
    labels, values of order 1, it stays below 1e-7 for logits of order 1 and 1e-6 for
    logits of order 10. The gradient sorts by the receivers and is the same kind of
    sums; nothing of size N x N is made. There is no forward mode (`jax.jvp`); the
    methods of `graph_attention` that make the matrix have one.

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
        ValueError: shapes do not fit together, or there is no label; negative_slope
            lies outside [0, 1]: the largest logit would no longer be that of the
            largest sender.

    Reference: ours; the logit is that of Velickovic et al., ICLR 2018, equation 3.
    """
    if not 0.0 <= negative_slope <= 1.0:
        raise ValueError(
            f"complete_attention needs a negative_slope in [0, 1], got {negative_slope}"
        )
    check_complete(receivers, senders, values, factors)
    wide = divide_heads(
        *(jnp.asarray(x, jnp.float32) for x in (receivers, senders, values))
    )
    if factors is None:
        out, _ = weighted_attention(*wide, None, negative_slope)
        return out.reshape(values.shape).astype(values.dtype)
    of_receivers, of_senders = (_shares(factor) for factor in factors)

    # Without the checkpoint a gradient would keep the sums of every component.
    @jax.checkpoint
    def add(
        sums: tuple[Array, Array], component: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], None]:
        of_receiver, of_sender = component
        out, total = weighted_attention(*wide, of_sender, negative_slope)
        share = of_receiver[:, None] * total
        return (sums[0] + share[..., None] * out, sums[1] + share), None

    start = (jnp.zeros_like(wide[2]), jnp.zeros_like(wide[0]))
    components = (of_receivers.T, of_senders.T)
    (sums, total), _ = jax.lax.scan(add, start, components)
    out = _inverse(total)[..., None] * sums
    return out.reshape(values.shape).astype(values.dtype)


def _shares(factor: Float[Array, "N R"]) -> Float[Array, "N R"]:
    """A factor over its largest entry, which the softmax does not see."""
    factor = jnp.asarray(factor, jnp.float32)
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
    """Return `complete_attention` with one weight per sender, and what divided it.

    Both are float32. The divisor is the sum of weights_j exp(logit_ij - m_i), in whose
    gradient m_i is a constant.
    """
    return _forward(receivers, senders, values, weights, negative_slope)[0]


Kept = tuple[Array, Array, Array, Array | None, Array, Array, Array, Array]
"""Arguments and sums that the gradient needs."""


def _forward(
    receivers: Array,
    senders: Array,
    values: Array,
    weights: Array | None,
    slope: float,
) -> tuple[tuple[Array, Array], Kept]:
    heads = values.shape[1]
    some_heads = partial(_some_heads, weights=weights, slope=slope, heads=heads)
    out, total, above, total_above = by_heads(some_heads, receivers, senders, values)
    kept = (receivers, senders, values, weights, out, total, above, total_above)
    return (out, total), kept


def _some_heads(
    first: Int[Array, ""] | int,
    s: Float[Array, "N h"],
    t: Float[Array, "N h"],
    v: Float[Array, "NH F"],
    *,
    weights: Float[Array, "N"] | None,
    slope: float,
    heads: int,
) -> tuple[Array, Array, Array, Array]:
    """Output, the row's weights, and the parts of both from above the kink."""
    order, places = sort_and_place(t, -s)  # of the first sender with s_i + t_j >= 0
    top = t.max(axis=0)
    layout = lay_out(order)
    raised = _raised(t, top, slope)
    if weights is not None:
        raised = raised * weights[:, None, None]
    rows = (v, layout.rows(first, heads))
    laid = layout.of_labels(raised)
    sums = two_sums(layout, rows, laid, layout.exists, places)
    scales = _scales(s, top, slope)
    parts = scales * sums.numbers
    total = parts.sum(axis=-1)
    inverse = _inverse(total)
    scales = scales * inverse[..., None]
    above = scales[..., :1] * sums.rows[:, :, 0]
    out = above + scales[..., 1:] * sums.rows[:, :, 1]
    return out, total, above, parts[..., 0] * inverse


def _inverse(total: Float[Array, "N H"]) -> Float[Array, "N H"]:
    # No total is negative; NaN is no 0, and comes out.
    return jnp.where(total == 0, 0.0, 1.0 / jnp.where(total == 0, 1.0, total))


def _raised(
    t: Float[Array, "N h"], top: Float[Array, "h"], slope: float
) -> Float[Array, "N h 2"]:
    """exp(t_j - T) and exp(a (t_j - T))."""
    return jnp.exp((t - top)[..., None] * jnp.asarray([1.0, slope], t.dtype))


def _scales(
    s: Float[Array, "N h"], top: Float[Array, "h"], slope: float
) -> Float[Array, "N h 2"]:
    """Return exp(s_i + T - m_i) and exp(a (s_i + T) - m_i).

    Nothing lies above where the first would exceed 1.
    """
    largest = s + top
    above = (largest >= 0).astype(s.dtype)
    below = jnp.exp(jnp.minimum((slope - 1.0) * largest, 0.0))
    return jnp.stack([above, below], axis=-1)


def _backward(
    slope: float,
    kept: Kept,
    gradients: tuple[Float[Array, "N H F"], Float[Array, "N H"]],
) -> tuple[Array | None, ...]:
    receivers, senders, values, weights, out, total, above, total_above = kept
    to_out, to_total = gradients
    inverse = _inverse(total)
    whole = total * to_total
    c = jnp.sum(to_out * out, axis=-1) - whole
    ds = jnp.sum(to_out * above, axis=-1) - c * total_above
    ds = (1.0 - slope) * ds + slope * whole
    some_heads = partial(
        _some_heads_backward, weights=weights, slope=slope, shape=values.shape
    )
    dt, dv, dw = by_heads(some_heads, receivers, senders, inverse, c, values, to_out)
    return ds, dt, dv, None if weights is None else dw.sum(axis=1)


def _some_heads_backward(
    first: Int[Array, ""] | int,
    s: Float[Array, "N h"],
    t: Float[Array, "N h"],
    inverse: Float[Array, "N h"],
    c: Float[Array, "N h"],
    v: Float[Array, "NH F"],
    g: Float[Array, "NH F"],
    *,
    weights: Float[Array, "N"] | None,
    slope: float,
    shape: tuple[int, ...],
) -> tuple[Array, Array, Array]:
    """Return the gradients of some heads.

    With c_i = g_i . out_i, the gradient of logit (i, j) is alpha_ij (g_i . v_j - c_i);
    times 1 above the kink and `slope` below it. A row's sum over all j is zero, so that
    what is above the kink says all of s. The gradient of the row's sum is one more
    constant per row.
    """
    # s_i >= -t_j here, t_j >= -s_i there: negation is exact, so both agree on ties.
    order, places = sort_and_place(s, -t)
    top = t.max(axis=0)
    layout = lay_out(order)
    rows = (g, layout.rows(first, shape[1]))
    laid = layout.of_labels(_scales(s, top, slope) * inverse[..., None])
    numbers = layout.of_labels(c[..., None])[..., 0]
    sums = two_sums(layout, rows, laid, numbers, places)
    v = jax.lax.dynamic_slice_in_dim(v.reshape(shape), first, s.shape[1], axis=1)
    raised = _raised(t, top, slope)
    of_logits = raised * (jnp.einsum("nhkf,nhf->nhk", sums.rows, v) - sums.numbers)
    dw = of_logits.sum(axis=2)
    dv = raised[..., :1] * sums.rows[:, :, 0] + raised[..., 1:] * sums.rows[:, :, 1]
    dt = of_logits[..., 0] + slope * of_logits[..., 1]
    if weights is not None:
        dv, dt = weights[:, None, None] * dv, weights[:, None] * dt
    return dt, dv, dw


weighted_attention.defvjp(_forward, _backward)
