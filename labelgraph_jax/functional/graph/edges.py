"""A label graph as a list of its edges: what a million labels have instead of a matrix.

An edge says which label *receives from* which, as entry (i, j) of an adjacency does.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Shaped

_Known = Array | np.ndarray
LOG_WEIGHT_FLOOR = 1e-3
"""Smallest edge weight that an additive adjacency starts from: at a weight of zero its
logarithm, and with it the gradient, would not exist."""


class Edges(NamedTuple):
    """Edge e: label `receivers[e]` receives from `senders[e]`, with `weights[e]`.

    Sorted by receiver, so that what a label receives stands together; no edge twice.
    `make_edges` sorts and checks.
    """

    receivers: Int[Array, "E"]
    senders: Int[Array, "E"]
    weights: Float[Array, "E"]


def make_edges(
    receivers: Int[ArrayLike, "E"],
    senders: Int[ArrayLike, "E"],
    weights: Shaped[ArrayLike, "E"] | None = None,
    *,
    n: int,
) -> Edges:
    """Sort a list of edges by receiver, then by sender, and refuse what is none.

    Works on the host: what it is given must have values.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> edges = lg.functional.make_edges(np.array([1, 0]), np.array([0, 1]), n=2)
        >>> edges.receivers.tolist(), edges.senders.tolist()
        ([0, 1], [1, 0])

    Args:
        receivers: label ids in 0..n-1, in any order.
        senders: the label ids that these receive from.
        weights: one per edge; 1 without.
        n: the number of labels.

    Raises:
        ValueError: as `check_edge_list`.
    """
    receivers, senders = np.asarray(receivers), np.asarray(senders)
    if weights is None:
        weights = np.ones(receivers.shape, np.float32)
    weights = np.asarray(weights, np.float32)
    _check_form(receivers, senders, weights)
    order = np.lexsort((senders, receivers))
    edges = Edges(
        jnp.asarray(receivers[order], jnp.int32),
        jnp.asarray(senders[order], jnp.int32),
        jnp.asarray(weights[order]),
    )
    check_edge_list(edges, n)
    return edges


def check_edge_list(edges: Edges, n: int) -> None:
    """Refuse a list that is not one of edges between n labels.

    Raises:
        ValueError: the three arrays do not have one shape `[E]`, or the ids are not
            integers; and where values are known, so not under `jit`: an id outside
            0..n-1, a list that is not sorted by receiver, an edge that stands there
            twice. The first such edge is named.
    """
    _check_form(*edges)
    if any(isinstance(array, jax.core.Tracer) for array in edges):
        return
    receivers, senders = (np.asarray(x, np.int64) for x in edges[:2])
    for name, ids in (("receivers", receivers), ("senders", senders)):
        wrong = np.flatnonzero((ids < 0) | (ids >= n))
        if wrong.size:
            raise ValueError(
                f"edges.{name} must hold label ids in 0..{n - 1}, got "
                f"{ids[wrong[0]]} at edge {wrong[0]}"
            )
    falls = np.flatnonzero(np.diff(receivers) < 0)
    if falls.size:
        raise ValueError(
            f"edges must be sorted by receiver, got {receivers[falls[0] + 1]} after "
            f"{receivers[falls[0]]} at edge {falls[0] + 1}; make_edges sorts"
        )
    codes = receivers * n + senders
    if (np.diff(codes) <= 0).any():
        codes = np.sort(codes)
        twice = np.flatnonzero(np.diff(codes) == 0)
        if twice.size:
            receiver, sender = divmod(int(codes[twice[0]]), n)
            raise ValueError(
                f"edges must hold every edge once, got {receiver} <- {sender} more "
                "than once"
            )


def _check_form(receivers: _Known, senders: _Known, weights: _Known) -> None:
    shapes = [np.shape(x) for x in (receivers, senders, weights)]
    if len(shapes[0]) != 1 or len(set(shapes)) != 1:
        raise ValueError(
            "edges must have receivers, senders and weights of one shape [edges], got "
            f"{', '.join(map(str, shapes))}"
        )
    for name, ids in (("receivers", receivers), ("senders", senders)):
        if not jnp.issubdtype(ids.dtype, jnp.integer) and ids.size:
            raise ValueError(f"edges.{name} must hold integers, got {ids.dtype}")


def as_square(name: str, matrix: Shaped[ArrayLike, "N N"]) -> Shaped[_Known, "N N"]:
    """A matrix over labels as an array; NumPy stays NumPy.

    Raises:
        ValueError: it is not square.
    """
    matrix = matrix if isinstance(matrix, np.ndarray) else jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must have shape [labels, labels], got {matrix.shape}")
    return matrix


def check_label_count(n: int) -> None:
    """Refuse a graph without a label.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"a label graph must have at least 1 label, got n = {n}")


def check_parents(parents: Int[_Known, "E 2"], n: int) -> None:
    """Refuse edges of a taxonomy that are no pairs of labels.

    Raises:
        ValueError: the shape is not `[E, 2]`; or, where values are known, a label lies
            outside 0..n-1.
    """
    if parents.ndim != 2 or parents.shape[1] != 2:
        raise ValueError(
            "parents must have shape [edges, 2] of (child, parent), "
            f"got {parents.shape}"
        )
    if not isinstance(parents, jax.core.Tracer) and parents.size:
        low, high = int(parents.min()), int(parents.max())
        if low < 0 or high >= n:
            raise ValueError(
                f"parents must hold label indices in 0..{n - 1}, got {low}..{high}"
            )


def edges_from_adjacency(adjacency: Shaped[ArrayLike, "N N"]) -> Edges:
    """The entries of an adjacency other than 0 as a list of edges, on the host.

    Raises:
        ValueError: `adjacency` is not square.
    """
    matrix = as_square("adjacency", np.asarray(adjacency))
    receivers, senders = np.nonzero(matrix)
    weights = matrix[receivers, senders].astype(np.float32)
    return make_edges(receivers, senders, weights, n=len(matrix))


def adjacency_from_edges(edges: Edges, n: int) -> Float[Array, "N N"]:
    """The matrix with the weight of every edge, 0 where there is none.

    Raises:
        ValueError: as `check_edge_list`, or n is below 1.
    """
    check_label_count(n)
    check_edge_list(edges, n)
    empty = jnp.zeros((n, n), jnp.float32)
    weights = jnp.asarray(edges.weights, jnp.float32)
    return empty.at[edges.receivers, edges.senders].set(weights)


def edges_from_pairs(parents: Int[ArrayLike, "E 2"], n: int) -> Edges:
    """Connect every label to itself, its parents and its children.

    The edges of `taxonomy_adjacency`, without its matrix.

    Args:
        parents: one row (child, parent) of label indices per edge of the taxonomy;
            there may be none. A label may have several parents.
        n: the number of labels.

    Raises:
        ValueError: `n` is below 1, `parents` is not `[E, 2]`, or names a label outside
            0..n-1.
    """
    check_label_count(n)
    parents = np.asarray(parents, np.int64)
    check_parents(parents, n)
    own = np.arange(n)
    child, parent = parents.T
    codes = np.concatenate([own * n + own, child * n + parent, parent * n + child])
    return make_edges(*np.divmod(np.unique(codes), n), n=n)


def log_edge_weights(adjacency: Float[Array, "*edges"]) -> Float[Array, "*edges"]:
    """Return the start of a learned additive adjacency: `log max(A, floor)`.

    A signed adjacency (Xavier) has no logarithm; its entries are the log-weights.
    """
    adjacency = jnp.asarray(adjacency, jnp.float32)
    logs = jnp.log(jnp.maximum(adjacency, LOG_WEIGHT_FLOOR))
    return jnp.where((adjacency < 0).any(), adjacency, logs)
