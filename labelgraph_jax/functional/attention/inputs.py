"""What graph attention is given: refused by name where it does not fit."""

from typing import Literal, get_args

from jaxtyping import Array, Float, Key, Shaped

from labelgraph_jax.functional.graph.edges import Edges, check_edge_list

AdjacencyRole = Literal["additive", "multiplicative", "fixed", "mask", "none"]

EdgeFactors = tuple[Float[Array, "N R"], Float[Array, "N R"]]
"""Low-rank edge weights, w_ij = sum_r receiver_factors_ir sender_factors_jr, both
factors without a negative entry."""


def check_shapes(
    nodes: Shaped[Array, "..."],
    kernels: dict[str, Shaped[Array, "..."]],
    vectors: dict[str, Shaped[Array, "..."]],
) -> None:
    """Refuses nodes, kernels and attention vectors that do not fit, by their names.

    Raises:
        ValueError: a shape that does not fit the others.
    """
    if nodes.ndim != 2:
        raise ValueError(f"nodes must have shape [labels, features], got {nodes.shape}")
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


def check_edges(
    n: int,
    role: str,
    adjacency: Shaped[Array, "..."] | None,
    edge_weights: Shaped[Array, "..."] | None,
    edge_bias: Shaped[Array, "..."] | None,
    edges: Edges | None = None,
    edge_factors: EdgeFactors | None = None,
    factor_role: str = "additive",
) -> None:
    """Refuses a role that is unknown or lacks its weights, a wrong shape, and two
    answers to the question which edges there are.

    Args:
        n: the number of labels.
        role, adjacency, edge_weights, edge_bias, edges, edge_factors: as given.
        factor_role: the role in which `edge_factors` can enter.

    Raises:
        ValueError: one of these; or an edge list that `check_edge_list` refuses.
    """
    roles = get_args(AdjacencyRole)
    if role not in roles:
        raise ValueError(f"role must be one of {', '.join(roles)}, got {role!r}")
    if edges is not None:
        _check_list_alone(adjacency, edge_weights, edge_factors)
        check_edge_list(edges, n)
    elif edge_factors is not None:
        _check_factors(n, role, edge_weights, edge_factors, factor_role)
    elif role in ("multiplicative", "fixed") and edge_weights is None:
        raise ValueError(f"role {role!r} must be given edge_weights, got None")
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
    for name, matrix in (
        ("adjacency", adjacency),
        ("edge_weights", edge_weights),
        ("edge_bias", edge_bias),
    ):
        if matrix is not None and matrix.shape != (n, n):
            raise ValueError(
                f"{name} must have shape {(n, n)} for {n} labels, got {matrix.shape}"
            )


def _check_list_alone(
    adjacency: Shaped[Array, "..."] | None,
    edge_weights: Shaped[Array, "..."] | None,
    edge_factors: EdgeFactors | None,
) -> None:
    for name, other in (
        ("adjacency", adjacency),
        ("edge_weights", edge_weights),
        ("edge_factors", edge_factors),
    ):
        if other is not None:
            raise ValueError(
                f"{name} must be None beside edges, which say who receives from whom "
                "and how strongly (edges.weights)"
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
    """Refuses a rate outside [0, 1), and one above 0 without a key.

    Raises:
        ValueError: either of these.
    """
    if not 0.0 <= dropout_rate < 1.0:
        raise ValueError(f"dropout_rate must lie in [0, 1), got {dropout_rate}")
    if dropout_rate > 0.0 and key is None:
        raise ValueError(
            f"dropout_rate {dropout_rate} must come with a key, got key = None"
        )
