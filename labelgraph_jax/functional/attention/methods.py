"""Which way to compute graph attention: whole, by rows, by edges, without a matrix."""

from typing import Literal, get_args

from labelgraph_jax.functional.attention.memory import (
    AttentionSizes,
    attention_bytes,
    check_fits,
)

AttentionMethod = Literal["auto", "dense", "complete", "blocked", "sparse"]

COMPLETE_FROM = 128
"""Labels from which on `complete` is the faster one on a CPU (forward and gradient, 4
heads of 64 features); below it the matrix is small enough to win."""
DENSE_BYTES = 3 << 30
"""Bytes of the matrix method beyond which `auto` goes by rows."""


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
    if method != "auto" and refused[method]:
        raise ValueError(
            f"method {method!r} cannot do {' and '.join(refused[method])}; "
            f"methods that can: {', '.join(able) or 'none'}"
        )
    if not able:
        raise ValueError(f"no method can do both {listed} and {weights}")
    chosen = method if method != "auto" else _best(able, sizes, rank, free_bytes)
    if free_bytes is not None:
        check_fits(chosen, able, sizes, free_bytes)
    return chosen


def _best(
    able: list[str], sizes: AttentionSizes, rank: int, free_bytes: int | None
) -> str:
    """Of the methods that can, the fastest that memory has room for."""
    if "sparse" in able:
        return "sparse"
    if "complete" in able and sizes.labels >= COMPLETE_FROM * max(rank, 1):
        return "complete"
    most = DENSE_BYTES if free_bytes is None else min(DENSE_BYTES, free_bytes)
    leaner = [m for m in ("complete", "blocked") if m in able]
    too_large = attention_bytes("dense", sizes) > most
    return leaner[0] if too_large and leaner else "dense"
