"""Plan of graph attention: check its arguments, choose a method, count its memory."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.attention.sorted_sums import (
    HEADS_TOGETHER_BYTES,
    pieces_of,
)
from labelgraph_jax.functional.attention.sparse import EDGE_BYTES
from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.graph.edges import (
    Edges,
    check_edge_list,
    check_label_count,
)

AdjacencyRole = Literal["additive", "multiplicative", "fixed", "mask", "none"]

EdgeFactors = tuple[Float[Array, "N R"], Float[Array, "N R"]]
"""Low-rank edge weights, w_ij = sum_r receiver_factors_ir sender_factors_jr, both
factors without a negative entry."""

AttentionMethod = Literal["auto", "dense", "complete", "blocked", "sparse"]

COMPLETE_FROM = 128
"""Labels from which on `complete` is the faster one on a CPU (forward and gradient, 4
heads of 64 features); below it the matrix is small enough to win."""
DENSE_BYTES = 3 << 30
"""Bytes of the matrix method beyond which `auto` goes by rows."""
BLOCK_BYTES = 64 << 20
"""Bytes of the logits that are in memory at once where rows go in blocks."""


def check_shapes(
    nodes: Shaped[Array, "..."],
    kernels: dict[str, Shaped[Array, "..."]],
    vectors: dict[str, Shaped[Array, "..."]],
) -> None:
    """Refuse nodes, kernels and attention vectors that do not fit, by their names.

    Raises:
        ValueError: a shape that does not fit the others, or no label.
    """
    if nodes.ndim != 2:
        raise ValueError(f"nodes must have shape [labels, features], got {nodes.shape}")
    check_label_count(nodes.shape[0])
    shape: tuple[int, ...] = ()
    for name, kernel in kernels.items():
        if kernel.ndim != 3 or kernel.shape[0] != nodes.shape[1]:
            raise ValueError(
                f"{name} must have shape [{nodes.shape[1]}, heads, features per head] "
                f"for nodes of shape {nodes.shape}, got {kernel.shape}"
            )
        shape = shape or kernel.shape
        if kernel.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} as the other kernel has, "
                f"got {kernel.shape}"
            )
    for name, vector in vectors.items():
        if vector.shape != shape[1:]:
            raise ValueError(
                f"{name} must have shape {shape[1:]} for a kernel of shape "
                f"{shape}, got {vector.shape}"
            )


class Neighbours(NamedTuple):
    """Edges between labels and their weights, as `graph_attention` takes them."""

    role: AdjacencyRole
    adjacency: Shaped[Array, "N N"] | None = None
    edge_weights: Float[Array, "N N"] | None = None
    edge_bias: Float[Array, "N N"] | Float[Array, "E"] | None = None
    edges: Edges | None = None
    edge_factors: EdgeFactors | None = None

    @property
    def matrices(self) -> dict[str, Shaped[Array, "N N"]]:
        """Those that are read as matrices `[N, N]`, by their names."""
        named = {
            "adjacency": self.adjacency,
            "edge_weights": None if self.role == "none" else self.edge_weights,
            "edge_bias": self.edge_bias if self.edges is None else None,
        }
        return {name: matrix for name, matrix in named.items() if matrix is not None}


def check_neighbours(
    labels: int, neighbours: Neighbours, *, factor_role: str = "additive"
) -> None:
    """Refuse an unknown role, missing weights, wrong shapes, and contradictory edges.

    Args:
        labels: the number of labels.
        neighbours: as given to the function.
        factor_role: the role in which `edge_factors` can enter.

    Raises:
        ValueError: one of these; or an edge list that `check_edge_list` refuses.
    """
    role, adjacency, edge_weights, edge_bias, edges, edge_factors = neighbours
    roles = get_args(AdjacencyRole)
    if role not in roles:
        raise ValueError(f"role must be one of {', '.join(roles)}, got {role!r}")
    matrices = {
        "adjacency": adjacency,
        "edge_weights": edge_weights,
        "edge_bias": edge_bias,
    }
    # Who receives from whom is said once, with what the role needs.
    if edges is not None:
        others = matrices | {"edge_bias": None, "edge_factors": edge_factors}
        for name, other in others.items():
            if other is not None:
                raise ValueError(
                    f"{name} must be None beside edges, which say who receives from "
                    "whom and how strongly (edges.weights)"
                )
        check_edge_list(edges, labels)
    elif edge_factors is not None:
        _check_factors(labels, role, edge_weights, edge_factors, factor_role)
    elif role in ("multiplicative", "fixed") and edge_weights is None:
        raise ValueError(f"role {role!r} must be given edge_weights, got None")
    # Shapes: a bias for every listed edge, or matrices over all labels.
    if edge_bias is not None and role != "additive":
        raise ValueError(f"edge_bias must come with role 'additive', got {role!r}")
    if edges is not None:
        count = edges.receivers.shape[0]
        if edge_bias is not None and edge_bias.shape != (count,):
            raise ValueError(
                f"edge_bias must have shape {(count,)} for {count} edges, "
                f"got {edge_bias.shape}"
            )
        return
    for name, matrix in matrices.items():
        if matrix is not None and matrix.shape != (labels, labels):
            raise ValueError(
                f"{name} must have shape {(labels, labels)} for {labels} labels, got "
                f"{matrix.shape}"
            )


def _check_factors(
    n: int,
    role: str,
    edge_weights: Shaped[Array, "..."] | None,
    edge_factors: EdgeFactors,
    factor_role: str,
) -> None:
    if role != factor_role:
        raise ValueError(
            f"edge_factors must come with role {factor_role!r}, got {role!r}"
        )
    if edge_weights is not None:
        raise ValueError(
            "edge_weights must be None beside edge_factors, which are the weights"
        )
    shapes = [factor.shape for factor in edge_factors]
    if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) != 2:
        raise ValueError(
            "edge_factors must be receiver and sender factors of one shape "
            f"[{n}, rank], got {', '.join(map(str, shapes))}"
        )
    if shapes[0][0] != n or shapes[0][1] < 1:
        raise ValueError(
            f"edge_factors must have shape [{n}, rank] with a rank of at least 1, "
            f"got {shapes[0]}"
        )


def check_dropout(
    dropout_rate: float, key: Key[Array, ""] | Shaped[Array, "2"] | None
) -> None:
    """Refuse a rate outside [0, 1), and one above 0 without a key.

    Raises:
        ValueError: either of these.
    """
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must lie in [0, 1), got {dropout_rate}")
    if dropout_rate > 0.0 and key is None:
        raise ValueError(
            f"dropout_rate {dropout_rate} must come with a key, got key = None"
        )


def check_complete(
    receivers: Shaped[Array, "..."],
    senders: Shaped[Array, "..."],
    values: Shaped[Array, "..."],
    factors: EdgeFactors | None,
) -> None:
    """Refuse halves, values and factors of attention over all labels that do not fit.

    Raises:
        ValueError: a shape that does not fit the others, or no label.
    """
    u, v = (None, None) if factors is None else factors
    check_axes(
        receivers=(receivers, "N H"),
        senders=(senders, "N H"),
        values=(values, "N H F"),
        receiver_factors=(u, "N R"),
        sender_factors=(v, "N R"),
    )
    check_label_count(jnp.shape(receivers)[0])


class AttentionSizes(NamedTuple):
    """The sizes that memory depends on."""

    labels: int
    heads: int
    features: int
    """Features of a head."""
    edges: int = 0
    """Number of edges in a list."""
    matrices: int = 0
    """Arrays `[N, N]` that are given: each has a gradient of its size."""


def choose_method(
    method: str,
    sizes: AttentionSizes,
    *,
    given: str = "nothing",
    rank: int = 0,
    negative_slope: float = 0.2,
    dropout_rate: float = 0.0,
    return_attention: bool = False,
    free_bytes: int | None = None,
) -> str:
    """The method to use: the one asked for if it can, or by `auto` the best that can.

    Args:
        method: one of `AttentionMethod`.
        sizes: of the graph and the heads.
        given: what says who receives from whom: `nothing`, so that all do from all; a
            `matrix`; or a list of `edges`.
        rank: of the edge factors, 0 without any.
        negative_slope: of the LeakyReLU.
        dropout_rate: of the attention weights.
        return_attention: whether the weights are asked for.
        free_bytes: memory that may be taken; nobody asks without.

    Raises:
        ValueError: the method is unknown, or cannot do what is asked for; names those
            that can. Or it needs more than `free_bytes`; names those that fit.
    """
    methods = get_args(AttentionMethod)
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}, got {method!r}")
    # What a call may ask for, in the words of a refusal.
    matrix = "an adjacency, edge weights or an edge bias as a matrix"
    listed, unlisted = "a list of edges", "a graph that is no list of edges"
    weights = "return_attention, as it never makes the attention matrix"
    dropout = (
        f"attention dropout (rate {dropout_rate}), as it makes no weight that could be "
        "dropped"
    )
    slope = f"a negative_slope of {negative_slope}, outside [0, 1]"
    wanted = {
        matrix: given == "matrix",
        listed: given == "edges",
        unlisted: given != "edges",
        weights: return_attention,
        dropout: dropout_rate > 0,
        slope: not 0.0 <= negative_slope <= 1.0,
    }
    # What each method cannot do.
    unable = {
        "dense": [listed],
        "complete": [matrix, listed, weights, dropout, slope],
        "blocked": [listed, weights],
        "sparse": [unlisted, weights],
    }
    refused = {
        name: [reason for reason in reasons if wanted[reason]]
        for name, reasons in unable.items()
    }
    able = [name for name, reasons in refused.items() if not reasons]
    # Refuse a method that cannot do what was asked, and name those that can.
    if method != "auto" and refused[method]:
        raise ValueError(
            f"method {method!r} cannot do {' and '.join(refused[method])}; "
            f"methods that can: {', '.join(able) or 'none'}"
        )
    if not able:
        raise ValueError(f"no method can do both {listed} and {weights}")
    # Choose, and check that it fits into the free memory.
    chosen = method if method != "auto" else _best(able, sizes, rank, free_bytes)
    if free_bytes is not None:
        check_fits(chosen, able, sizes, free_bytes)
    return chosen


def _best(
    able: list[str], sizes: AttentionSizes, rank: int, free_bytes: int | None
) -> str:
    """Return the fastest of the able methods that memory has room for."""
    if "sparse" in able:
        return "sparse"
    if "complete" in able and sizes.labels >= COMPLETE_FROM * max(rank, 1):
        return "complete"
    most = DENSE_BYTES if free_bytes is None else min(DENSE_BYTES, free_bytes)
    leaner = [m for m in ("complete", "blocked") if m in able]
    too_large = attention_bytes("dense", sizes) > most
    return leaner[0] if too_large and leaner else "dense"


def attention_bytes(method: str, sizes: AttentionSizes) -> int:
    """Bytes that a method takes for attention and its gradient, in float32.

    Beside what it is given, so without the features of the labels and without
    parameters; with the gradient of matrices. Counted from the arrays that live at the
    same time and measured to be right to about a quarter
    (`experiments/extreme_labels.py`).

    Args:
        method: `dense`, `complete`, `blocked` or `sparse`.
        sizes: of the graph and the heads.
    """
    labels, heads, features, edges, matrices = sizes
    values = 4 * labels * heads * features
    square = 4 * labels * labels
    if method == "dense":
        return (4 * heads + matrices) * square + 4 * values
    if method == "blocked":
        return matrices * square + 4 * min(BLOCK_BYTES, heads * square) + 5 * values
    if method == "sparse":
        carried = 5 * min(EDGE_BYTES, 4 * edges * heads * features) // 2
        return 8 * 4 * edges * heads + carried + 5 * values
    assert method == "complete", method
    # Tables of both sums, of all heads or of a piece of one, beside values, results
    # and gradients.
    pieces = pieces_of(labels, heads, features) * heads
    at_once = values if values <= HEADS_TOGETHER_BYTES else values // pieces
    return 6 * values + 9 * at_once // 2 + 40 * 4 * labels * heads


def rows_at_once(labels: int, heads: int) -> int:
    """Receivers whose logits, `[heads, rows, labels]`, are in memory together."""
    return max(1, min(labels, BLOCK_BYTES // (4 * heads * labels)))


def check_fits(
    method: str, able: Sequence[str], sizes: AttentionSizes, free_bytes: int
) -> None:
    """Refuse a method that needs more memory than there is.

    Args:
        method: the one that is to be used.
        able: all methods that could do what is asked for.
        sizes: of the graph and the heads.
        free_bytes: what there is.

    Raises:
        ValueError: it needs more; names the need, what is free, and what would fit.
    """
    needed = attention_bytes(method, sizes)
    if needed <= free_bytes:
        return
    fitting = [m for m in able if attention_bytes(m, sizes) <= free_bytes]
    if fitting:
        advice = f"methods that fit: {', '.join(fitting)}"
    elif "sparse" in able:
        advice = "no method fits: fewer edges or features per head would"
    else:
        advice = (
            "no method that can do this fits; a list of edges (sparse) or edge_factors "
            "in place of a matrix (complete) need less"
        )
    raise ValueError(
        f"method {method!r} needs {_size(needed)} for attention over {sizes.labels:,} "
        f"labels with {sizes.heads} heads of {sizes.features} features and its "
        f"gradient, and {_size(free_bytes)} are free; {advice}"
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB ({count:,} bytes)"
