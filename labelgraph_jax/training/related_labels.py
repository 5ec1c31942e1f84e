"""Linear heads of related labels: what names and a graph add to label vectors.

Logits are linear in all that is learned, so a form of label vectors is a prior over
them, and its optimum is found as that of `few_labels.fit_heads` is.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from labelgraph_jax.training.few_labels import BIAS_STRENGTH, STEPS

Form = Literal[
    "free",
    "features",
    "free + features",
    "features + message",
    "free + message",
    "free + features + message",
]
"""Parts that a label vector is the sum of."""
LEAST_BEND = 1e-3
_Heads = tuple[Array, Array, Array]
_Moving = tuple[_Heads, _Heads, ArrayLike]
"""Heads, where momentum carries them, and the age of the momentum."""


class LabelPrior(NamedTuple):
    """Prior of label vectors `h_n = v_n + sum_k c_k features_kn`.

    Attributes:
        directions, variances: Q and v of the covariance `Q diag(v) Q'` of the v_n.
        features: in the space of the documents; each kind weighs by one number c_k.
    """

    directions: Float[np.ndarray, "N R"]
    variances: Float[np.ndarray, " R"]
    features: Float[np.ndarray, "K N D"]


def label_prior(
    form: Form,
    messages: Sequence[Float[np.ndarray, "N N"]],
    names: Float[np.ndarray, "N D"],
    *,
    heads: int,
) -> LabelPrior:
    """Return the prior of a form of label vectors.

    With F the names and M a message, rows that add up to 1 (attention of role
    `fixed`), a label vector is a sum of a free vector; of K F, its features; and of
    M U, what it receives, with K and U learned: normal numbers, but for a multiple of
    the names that all labels share, c F or c M F. Of several messages each has a U and
    a c of its own: a head of attention each.

    Args:
        form: of the label vectors.
        messages: matrices M; read where the form has a message.
        names: vectors of the names, zeros where there are none.
        heads: the most messages of any form.
    """
    size, parts = len(names), form.split(" + ")
    covariance, kinds = np.zeros((size, size)), []
    sources = [np.eye(size)] if "free" in parts else [names]
    if "free" in parts:
        covariance += np.eye(size)
    if "features" in parts:
        kinds.append(names)
        covariance += names @ names.T
    for message in messages if "message" in parts else ():
        sent = message @ sources[0]
        covariance += sent @ sent.T
        kinds.append(message @ names)
    # Strengths compare over forms: a label's own variance is 1 on average.
    covariance *= size / max(np.trace(covariance), 1e-9)
    variances, directions = np.linalg.eigh(covariance.astype(np.float32))
    # Of one shape whatever the form, so that one program fits them all.
    features = np.zeros((1 + heads, *names.shape))
    for place, kind in enumerate(kinds):
        features[place] = kind
    positive = np.where(variances > 1e-5 * variances[-1], variances, 0)
    return LabelPrior(directions, positive, features.astype(np.float32))


@partial(jax.jit, static_argnames=("steps",))
def fit_related_heads(
    vectors: Float[Array, "M D"],
    targets: Float[Array, "M N"],
    weights: Float[Array, " M"],
    strength: Float[Array, ""],
    prior: LabelPrior,
    *,
    steps: int = STEPS,
) -> Float[Array, "E N"]:
    """Fit a linear head per label by logistic regression under a prior of all.

        sum_m w_m sum_n BCE(x_m h_n + b_n, y_mn) + tr(V' C^-1 V) / (2 strength)

    with h and the covariance C of `LabelPrior`. Nesterov's method in the coordinates
    where the prior and the bound of the curvature, X' diag(w) X / 4, are diagonal.

    Args:
        vectors: of the documents.
        targets: 0 or 1.
        weights: of the documents.
        strength: the larger, the freer.
        prior: of the label vectors.
        steps: how many.

    Returns:
        D weights and, last, the bias of every label.

    Reference: Böhning and Lindsay, 1988, for the bound; Evgeniou, Micchelli and Pontil,
        Learning multiple tasks with kernel methods, JMLR 2005, for the prior.
    """
    directions, variances, features = prior
    kinds, total = len(features), jnp.sum(weights)
    centre = weights @ vectors / total
    centred = vectors - centre
    curvature, axes = jnp.linalg.eigh((centred * weights[:, None]).T @ centred / 4)
    turned, free = centred @ axes, strength * variances
    shared = jnp.einsum("de,knd->ken", axes, features)
    # Two blocks that are not orthogonal bend at most twice as much as each.
    blocks = 1.0 + jnp.any(features)
    step = free / (1 + blocks * jnp.maximum(curvature, 0)[:, None] * free)  # [D, R]
    bends = jnp.einsum("e,ken,len->kl", curvature, shared, shared) * blocks
    inverse = jnp.linalg.inv(bends + LEAST_BEND * jnp.eye(kinds))
    count = weights @ targets
    usual = jnp.log(count + 0.5) - jnp.log(total - count + 0.5)

    def whole(head: Array, scales: Array) -> Float[Array, "D N"]:
        return head @ directions.T + jnp.einsum("k,ken->en", scales, shared)

    def advance(state: _Moving, _: None) -> tuple[_Moving, None]:
        old, ahead, age = state
        head, scales, bias = ahead
        logits = turned @ whole(head, scales) + bias
        error = weights[:, None] * (jax.nn.sigmoid(logits) - targets)
        slope = turned.T @ error
        pull = jnp.sum(error, axis=0) + (bias - usual) / BIAS_STRENGTH
        # Of a direction that is left out, step and head are 0.
        new = (
            head - step * (slope @ directions + head / jnp.where(free > 0, free, 1)),
            scales - inverse @ jnp.einsum("en,ken->k", slope, shared),
            bias - pull / (total / 4 + 1 / BIAS_STRENGTH),
        )
        # Where momentum carries the sum uphill it begins anew.
        uphill = sum(
            jnp.sum((a - n) * (n - o)) / jnp.maximum(jnp.sum(jnp.square(n)), 1e-6)
            for a, n, o in zip(ahead, new, old, strict=True)
        )
        age = jnp.where(uphill > 0, 0.0, age + 1)
        push = age / (age + 3)
        ahead = jax.tree.map(lambda n, o: n + push * (n - o), new, old)
        return (new, ahead, age), None

    zeros = jnp.zeros((len(axes), len(variances))), jnp.zeros(kinds), usual
    start: _Moving = (zeros, zeros, 0.0)
    state, _ = jax.lax.scan(advance, start, None, steps)
    head, scales, bias = state[0]
    found = axes @ whole(head, scales)
    return jnp.concatenate([found, (bias - centre @ found)[None]])
