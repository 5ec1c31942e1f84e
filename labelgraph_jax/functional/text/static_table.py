"""A token table whose means are documents' vectors: an encoder that is a lookup."""

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

RIDGE_STEPS = 30


def ridge_token_table(
    shares: Shaped[Any, "M V"],
    targets: Float[Any, "M D"],
    start: Float[Any, "V D"],
    *,
    strength: float = 1e-3,
    steps: int = RIDGE_STEPS,
) -> Float[Any, "V D"]:
    """Fit a row per token so that shares of rows are documents' vectors.

    The minimiser over E of

        ||B E - V||^2 + strength ||E - E_0||^2

    for the shares B, the targets V and the start E_0, by conjugate gradients on
    `(B^T B + strength I) X = B^T (V - B E_0)`, E = E_0 + X. A token that no document
    holds keeps its start. The gradients are scaled by the diagonal of `B^T B`, since
    frequent tokens have a thousand times the weight of rare ones. All columns take
    their steps together, each with step lengths of its own.

    Args:
        shares: B: of each document how much of it each token is, rows that sum to 1.
            An array, or a scipy sparse matrix with NumPy arrays beside it; only its
            products are used.
        targets: V, a vector per document from the encoder to be imitated.
        start: E_0, a vector per token, in the type of the targets.
        strength: how much a table is held to its start.
        steps: of conjugate gradients; each is two products with B.

    Returns:
        E, in the type of the start.

    Raises:
        ValueError: shapes that do not fit together, `strength` or `steps` not above 0.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> shares = jnp.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
        >>> targets, start = jnp.array([[1.0], [1.0]]), jnp.zeros((3, 1))
        >>> table = lg.functional.ridge_token_table(shares, targets, start)
        >>> table.round(1).tolist()  # no document holds the third token
        [[1.0], [1.0], [0.0]]

    Reference: the normal equations of ridge regression, Hoerl and Kennard, 1970, solved
    as in Hestenes and Stiefel, 1952. Tokens alone through an encoder as the start:
    model2vec (Tulkens and van Dongen, 2024); the fit to whole documents is ours.
    """
    wanted = (*shares.shape, start.shape[-1])
    if (*targets.shape[:1], *start.shape) != wanted or targets.shape[1:] != wanted[2:]:
        raise ValueError(
            "shares [M, V], targets [M, D] and start [V, D] must fit together, got "
            f"{tuple(shares.shape)}, {tuple(targets.shape)} and {tuple(start.shape)}"
        )
    if not strength > 0 or steps < 1:
        raise ValueError(
            "strength must be above 0 and steps be at least 1, got "
            f"{strength} and {steps}"
        )
    kind = start.dtype
    wide = np.promote_types(kind, np.float32)
    shares, targets, start = (x.astype(wide) for x in (shares, targets, start))
    moved = start * 0
    residual = shares.T @ (targets - shares @ start)
    diagonal = ((shares * shares).sum(axis=0) + strength)[:, None]
    direction = residual / diagonal
    size = (residual * direction).sum(axis=0)
    for _ in range(steps):
        product = shares.T @ (shares @ direction) + strength * direction
        length = _ratio(size, (direction * product).sum(axis=0))
        moved = moved + length * direction
        residual = residual - length * product
        scaled = residual / diagonal
        before, size = size, (residual * scaled).sum(axis=0)
        direction = scaled + _ratio(size, before) * direction
    return (start + moved).astype(kind)


def _ratio(above: Float[Any, " D"], below: Float[Any, " D"]) -> Float[Any, " D"]:
    """A quotient; 0 over 0 is 0."""
    nothing = (below == 0).astype(below.dtype)
    return above * (1 - nothing) / (below + nothing)
