"""Which way to compute graph attention: whole, by rows, by edges, without a matrix."""

from typing import Literal, get_args

AttentionMethod = Literal["auto", "dense", "complete", "blocked", "sparse"]

COMPLETE_FROM = 256
"""Labels from which on `complete` is the faster one on a CPU (forward and gradient, 4
heads of 64 features); below it the matrix is small enough to win."""
DENSE_BYTES = 2 << 30
"""Bytes of the logits, their softmax and its gradient beyond which `auto` goes by
rows."""


def choose_method(
    method: str,
    *,
    labels: int,
    heads: int,
    given: str = "nothing",
    rank: int = 0,
    negative_slope: float = 0.2,
    dropout_rate: float = 0.0,
    return_attention: bool = False,
) -> str:
    """The method to use: the one asked for if it can, or by `auto` the best that can.

    Args:
        method: one of `AttentionMethod`.
        labels, heads: sizes.
        given: what says who receives from whom: `nothing`, so that all do from all; a
            `matrix`; or a list of `edges`.
        rank: of the edge factors, 0 without any.
        negative_slope: of the LeakyReLU.
        dropout_rate: of the attention weights.
        return_attention: whether the weights are asked for.

    Raises:
        ValueError: the method is unknown, or cannot do what is asked for; names those
            that can.
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
    if method != "auto":
        if refused[method]:
            raise ValueError(
                f"method {method!r} cannot do {' and '.join(refused[method])}; "
                f"methods that can: {', '.join(able) or 'none'}"
            )
        return method
    if not able:
        raise ValueError(f"no method can do both {listed} and {weights}")
    if given == "edges":
        return "sparse"
    if labels >= COMPLETE_FROM * max(rank, 1) and "complete" in able:
        return "complete"
    too_large = 3 * 4 * heads * labels**2 > DENSE_BYTES
    return "blocked" if too_large and "blocked" in able else "dense"
