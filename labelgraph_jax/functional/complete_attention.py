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


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def complete_attention(
    receivers: Float[Array, "N H"],
    senders: Float[Array, "N H"],
    values: Float[Array, "N H F"],
    negative_slope: float,
) -> Float[Array, "N H F"]:
    """Every label gathers from all labels, in O(N log N) time and O(N) memory.

        out_i = sum_j softmax_j(LeakyReLU(receivers_i + senders_j)) values_j

    With T the largest sender and m_i = LeakyReLU(receivers_i + T) the largest logit of
    row i, the weight of j relative to the largest is

        exp(t_j - T)       exp(s_i + T - m_i)     above the kink, where m_i = s_i + T
        exp(a (t_j - T))   exp(a (s_i + T) - m_i)  below it

    Each factor lies in [0, 1] and the largest weight is 1, so that no logit, however
    large, overflows, and what underflows is below 1e-38 of the row's sum. Sums run from
    either end, never as differences of sums. The gradient sorts by the receivers and is
    the same kind of sums; nothing of size N x N is made.

    Args:
        receivers: s, the receiver's half of the logit.
        senders: t, the sender's half.
        values: what is gathered.
        negative_slope: a, of the LeakyReLU below zero, in [0, 1].

    Returns:
        The sums, of the type of `values`; logits and sums are taken in float32.

    Raises:
        ValueError: negative_slope lies outside [0, 1]: the largest logit would no
            longer be that of the largest sender.

    Reference: ours; the logit is that of Velickovic et al., ICLR 2018, equation 3.
    """
    return _forward(receivers, senders, values, negative_slope)[0]


def _forward(
    receivers: Array, senders: Array, values: Array, slope: float
) -> tuple[Array, tuple[Array, ...]]:
    if not 0.0 <= slope <= 1.0:
        raise ValueError(
            f"complete_attention needs a negative_slope in [0, 1], got {slope}"
        )
    one_head = partial(_one_head, slope=slope)
    wide = (x.astype(jnp.float32) for x in (receivers, senders, values))
    out, above, total, total_above = jax.vmap(one_head, (1, 1, 1), (1, 1, 1, 1))(*wide)
    kept = (receivers, senders, values, out, above, total, total_above)
    return out.astype(values.dtype), kept


def _one_head(
    s: Float[Array, " N"],
    t: Float[Array, " N"],
    v: Float[Array, "N F"],
    *,
    slope: float,
) -> tuple[Array, Array, Array, Array]:
    """Output, its part from above the kink, and the row's weights: all, and above."""
    order = jnp.argsort(t)
    t, v = t[order], v[order]
    top = t[-1]
    ones = jnp.ones((len(t), 1), jnp.float32)
    weighed = jnp.concatenate([v, ones], axis=1)
    above = _from_end(jnp.exp(t - top)[:, None] * weighed)
    below = _from_start(jnp.exp(slope * (t - top))[:, None] * weighed)
    kink = jnp.searchsorted(t, -s)  # the first sender with s_i + t_j >= 0
    scale_above, scale_below = _scales(s, top, slope)
    sums_above = scale_above[:, None] * above[kink]
    sums = sums_above + scale_below[:, None] * below[kink]
    total = sums[:, -1]
    return (
        sums[:, :-1] / total[:, None],
        sums_above[:, :-1] / total[:, None],
        total,
        sums_above[:, -1] / total,
    )


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


def _from_start(x: Float[Array, "N F"]) -> Float[Array, "N1 F"]:
    """Row k: the sum of the first k rows."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), _running_sums(x, reverse=False)])


def _from_end(x: Float[Array, "N F"]) -> Float[Array, "N1 F"]:
    """Row k: the sum of the rows from k on."""
    return jnp.concatenate([_running_sums(x, reverse=True), jnp.zeros_like(x[:1])])


def _running_sums(x: Float[Array, "N F"], *, reverse: bool) -> Float[Array, "N F"]:
    """Sums up to each row, with an error that does not grow with N.

    On a CPU one row after the other, what rounding loses carried along (Kahan, 1965):
    faster there than XLA's `cumsum`, which elsewhere adds in a tree of depth log N.
    """
    if jax.default_backend() != "cpu":
        return jax.lax.cumsum(x, axis=0, reverse=reverse)

    def add(carry: tuple[Array, Array], row: Array) -> tuple[Any, Array]:
        total, lost = carry
        step = row - lost
        new = total + step
        return (new, (new - total) - step), new

    start = (jnp.zeros_like(x[0]), jnp.zeros_like(x[0]))
    return jax.lax.scan(add, start, x, reverse=reverse)[1]


def _backward(
    slope: float, kept: tuple[Array, ...], gradient: Float[Array, "N H F"]
) -> tuple[Array, Array, Array]:
    receivers, senders, values, *_ = kept
    wide = tuple(x.astype(jnp.float32) for x in (*kept, gradient))
    one_head = partial(_one_head_backward, slope=slope)
    found = jax.vmap(one_head, (1,) * len(wide), (1, 1, 1))(*wide)
    types = (receivers.dtype, senders.dtype, values.dtype)
    ds, dt, dv = (x.astype(t) for x, t in zip(found, types, strict=True))
    return ds, dt, dv


def _one_head_backward(
    s: Float[Array, " N"],
    t: Float[Array, " N"],
    v: Float[Array, "N F"],
    out: Float[Array, "N F"],
    above: Float[Array, "N F"],
    total: Float[Array, " N"],
    total_above: Float[Array, " N"],
    g: Float[Array, "N F"],
    *,
    slope: float,
) -> tuple[Array, Array, Array]:
    """With c_i = g_i . out_i, the gradient of logit (i, j) is
    alpha_ij (g_i . v_j - c_i); times 1 above the kink and `slope` below it. A row's sum
    over all j is zero, so that what is above the kink says all of s."""
    c = jnp.sum(g * out, axis=1)
    ds = (1.0 - slope) * (jnp.sum(g * above, axis=1) - c * total_above)

    order = jnp.argsort(s)
    top = jnp.max(t)
    scale_above, scale_below = _scales(s, top, slope)
    columns = jnp.concatenate([g, c[:, None]], axis=1) / total[:, None]
    from_above = _from_end((scale_above[:, None] * columns)[order])
    from_below = _from_start((scale_below[:, None] * columns)[order])
    # s_i >= -t_j here, t_j >= -s_i there: negation is exact, so both agree on ties.
    kink = jnp.searchsorted(s[order], -t)
    weight_above, weight_below = jnp.exp(t - top), jnp.exp(slope * (t - top))
    taken_above = weight_above[:, None] * from_above[kink]
    taken_below = weight_below[:, None] * from_below[kink]
    dv = taken_above[:, :-1] + taken_below[:, :-1]

    def logits_gradient(taken: Float[Array, "N F1"]) -> Float[Array, " N"]:
        return jnp.sum(taken[:, :-1] * v, axis=1) - taken[:, -1]

    dt = logits_gradient(taken_above) + slope * logits_gradient(taken_below)
    return ds, dt, dv


complete_attention.defvjp(_forward, _backward)
