"""From one vector per token to one vector per document."""

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.checks import check_axes, check_integers

DAMPINGS = ("none", "sqrt", "log", "binary")
BAG_NORMS = ("tfidf", "l2", "mean", "sum")
WINDOW_POOLINGS = ("mean", "max")


def masked_mean(
    x: Float[Array, "B S D"], mask: Bool[Array, "B S"]
) -> Float[Array, "B D"]:
    """Mean of the vectors where `mask` is true; zeros for a row that has none.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> vectors = jnp.array([[[1.0], [3.0], [100.0]]])
        >>> mask = jnp.array([[True, True, False]])  # the third token is padding
        >>> lg.functional.masked_mean(vectors, mask).tolist()
        [[2.0]]

    Raises:
        ValueError: shapes do not fit together.
    """
    check_axes(x=(x, "B S D"), mask=(mask, "B S"))
    weights = mask.astype(x.dtype)
    total = jnp.einsum("bsd,bs->bd", jnp.where(mask[..., None], x, 0), weights)
    return total / jnp.maximum(jnp.sum(weights, axis=1), 1)[:, None]


def masked_max(
    x: Float[Array, "B S D"], mask: Bool[Array, "B S"]
) -> Float[Array, "B D"]:
    """Largest value of each feature where `mask` is true; zeros for an empty row.

    Raises:
        ValueError: shapes do not fit together.
    """
    check_axes(x=(x, "B S D"), mask=(mask, "B S"))
    highest = jnp.max(jnp.where(mask[..., None], x, -jnp.inf), axis=1)
    return jnp.where(jnp.any(mask, axis=1)[:, None], highest, 0)


def token_counts(
    token_ids: Int[Array, "B S"], mask: Bool[Array, "B S"]
) -> Int[Array, "B S"]:
    """Count how often the token at each position occurs in its row; 0 at padding.

    Counted by binary search in the sorted row, S log S work; comparing every pair is
    13 times slower at 512 tokens.
    """
    ids = jnp.where(mask, token_ids, -1)
    if is_symbolic_dim(ids.shape[1]):
        ordered = jnp.sort(ids, axis=1)
        after, before = (_places(ordered, ids, right=right) for right in (True, False))
        return jnp.where(mask, after - before, 0)

    def count(row: Array, ordered: Array) -> Array:
        after = jnp.searchsorted(ordered, row, side="right")
        return after - jnp.searchsorted(ordered, row, side="left")

    return jnp.where(mask, jax.vmap(count)(ids, jnp.sort(ids, axis=1)), 0)


def _places(
    ordered: Int[Array, "B S"], values: Int[Array, "B S"], *, right: bool
) -> Int[Array, "B S"]:
    """`searchsorted` of every row, whose length an exported program does not know."""

    def halve(bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        found = jnp.take_along_axis(ordered, middle, axis=1, mode="clip")
        above = (found <= values if right else found < values) & (low < high)
        return jnp.where(above, middle + 1, low), jnp.where(above, high, middle)

    start = jnp.zeros_like(values), jnp.full_like(values, ordered.shape[1])
    return jax.lax.while_loop(lambda b: jnp.any(b[0] < b[1]), halve, start)[0]


def bag_of_embeddings(
    table: Float[Array, "V D"],
    token_ids: Int[Array, "B S"],
    mask: Bool[Array, "B S"],
    token_weights: Float[Array, " V"] | None = None,
    *,
    values: Float[Array, "B S"] | None = None,
    vectors: Float[Array, "B S D"] | None = None,
    damping: str = "log",
    norm: str = "tfidf",
) -> Float[Array, "B D"]:
    """Weighted sum of the embeddings of a document's distinct tokens.

    With c_v the count of token v in the document and a_v = w_v f(c_v),

        sum_v a_v E_v / n,

    where f(c) is c, sqrt(c), 1 + log(c) or 1 (damping none, sqrt, log, binary) and n
    is sqrt(sum_v a_v^2) (`tfidf`), the result's own length (`l2`), sum_v a_v
    (`mean`) or 1 (`sum`). With idf weights and the defaults this is E applied to the
    document's L2-normalised sublinear TF-IDF vector. No tokens give zeros.

    Where the tokens come with values x of their own, such as TF-IDF that somebody else
    computed, a_v = w_v x_v in place of counting: with norm `tfidf` E is applied to the
    row divided by its L2 norm, which is how rows of such corpora are normalised. Of
    `mean` the divisor is sum_v abs(a_v), since values may be negative.

    Args:
        table: E, an embedding per token.
        token_ids: the tokens of each document.
        mask: true where there is a token.
        token_weights: w, one for every row of the table; ones if None.
        values: x; each token stands in a row once, and `damping` is not read.
        vectors: summed in place of `table[token_ids]`; the ids still say the weights.
        damping: f, one of none, sqrt, log, binary.
        norm: n, one of tfidf, l2, mean, sum.

    Raises:
        ValueError: an unknown damping or norm, or shapes that do not fit together.

    Reference: Salton and Buckley, "Term-weighting approaches in automatic text
    retrieval", 1988; Joulin et al., "Bag of Tricks for Efficient Text
    Classification", EACL 2017.
    """
    _check_bag(damping, norm)
    check_axes(
        table=(table, "V D"),
        token_ids=(token_ids, "B S"),
        mask=(mask, "B S"),
        token_weights=(token_weights, "V"),
        values=(values, "B S"),
        vectors=(vectors, "B S D"),
    )
    check_integers(token_ids=token_ids)
    if values is None:
        counts = token_counts(token_ids, mask).astype(table.dtype)
        safe = jnp.maximum(counts, 1)
        damped = _damped(counts, damping)
    else:
        damped = values.astype(table.dtype)
        safe = jnp.ones_like(damped)
    if token_weights is not None:
        damped = damped * token_weights.astype(table.dtype)[token_ids]
    # Each of a token's c places carries 1/c of its weight.
    weights = jnp.where(mask, damped / safe, 0)
    vectors = table[token_ids] if vectors is None else vectors
    total = jnp.einsum("bs,bsd->bd", weights, vectors)
    return _normalised(total, weights, safe, norm)


def bag_of_counts(
    table: Float[Array, "V D"],
    counts: Float[Array, "B V"],
    token_weights: Float[Array, " V"] | None = None,
    *,
    damping: str = "log",
    norm: str = "tfidf",
) -> Float[Array, "B D"]:
    """Return `bag_of_embeddings` of documents whose tokens are counted already.

    A product of two matrices: where a table has few rows, such as those that a batch
    reads, it and its gradient cost a fraction of looking every token up.

    Args:
        table: an embedding per token.
        counts: how often a document has each token; 0 for most.
        token_weights: as of `bag_of_embeddings`.
        damping: as of `bag_of_embeddings`.
        norm: as of `bag_of_embeddings`.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> table = jnp.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
        >>> counts = jnp.array([[4.0, 3.0, 0.0]])
        >>> bag = lg.functional.bag_of_counts(table, counts, damping="none")
        >>> [round(value, 3) for value in bag[0].tolist()]
        [0.8, 0.6]

    Raises:
        ValueError: an unknown damping or norm, or shapes that do not fit together.
    """
    _check_bag(damping, norm)
    check_axes(
        table=(table, "V D"),
        counts=(counts, "B V"),
        token_weights=(token_weights, "V"),
    )
    weights = jnp.where(counts == 0, 0, _damped(counts.astype(table.dtype), damping))
    if token_weights is not None:
        weights = weights * token_weights.astype(table.dtype)
    return _normalised(weights @ table, weights, 1, norm)


def _check_bag(damping: str, norm: str) -> None:
    if damping not in DAMPINGS or norm not in BAG_NORMS:
        raise ValueError(
            f"damping must be one of {', '.join(DAMPINGS)} and norm one of "
            f"{', '.join(BAG_NORMS)}, got {damping!r} and {norm!r}"
        )


def _damped(counts: Array, damping: str) -> Array:
    safe = jnp.maximum(counts, 1)
    return {
        "none": safe,
        "sqrt": jnp.sqrt(safe),
        "log": 1 + jnp.log(safe),
        "binary": jnp.ones_like(safe),
    }[damping]


def _normalised(
    total: Float[Array, "B D"], weights: Array, places: Array | int, norm: str
) -> Float[Array, "B D"]:
    """Sums over their norm; each weight is that of one of so many places of a token."""
    if norm == "sum":
        return total
    if norm == "mean":
        size = jnp.sum(jnp.abs(weights), axis=1)
        return total / jnp.where(size == 0, 1, size)[:, None]
    squares = (
        jnp.sum(jnp.square(weights) * places, axis=1)
        if norm == "tfidf"
        else jnp.sum(jnp.square(total), axis=1)
    )
    return total * jax.lax.rsqrt(jnp.where(squares == 0, 1, squares))[:, None]


def text_convolution(
    x: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    kernel: Float[Array, "width D C"],
    bias: Float[Array, " C"],
) -> Float[Array, "B C"]:
    """Slide a filter over the tokens and keep its largest response in the document.

    `max_s relu(sum_k x_{s+k} K_k + b)` over the places where the filter overlaps the
    document; tokens outside it count as zeros, so that a document shorter than the
    filter still has a response. No tokens give zeros.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Kim, "Convolutional Neural Networks for Sentence Classification",
    EMNLP 2014, equations 2 to 4. Kim pads to the filter width; we pad both ends, so
    that padding a batch further never changes a document's vector.
    """
    check_convolution(x, mask, kernel, bias)
    width = kernel.shape[0]
    real = jnp.where(mask[..., None], x, 0)
    responses = jax.lax.conv_general_dilated(
        real,
        kernel.astype(x.dtype),
        window_strides=(1,),
        padding=[(width - 1, width - 1)],
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    overlaps = jax.lax.reduce_window(
        mask,
        False,
        jax.lax.bitwise_or,
        (1, width),
        (1, 1),
        [(0, 0), (width - 1, width - 1)],
    )
    responses = jax.nn.relu(responses + bias.astype(x.dtype))
    # relu is at least 0, so 0 is the neutral element of this maximum.
    return jnp.max(jnp.where(overlaps[..., None], responses, 0), axis=1)


def check_convolution(
    x: Float[Array, "..."],
    mask: Bool[Array, "..."],
    kernel: Float[Array, "..."],
    bias: Float[Array, "..."],
) -> None:
    """Refuse tokens and filters that do not fit together.

    Raises:
        ValueError: the shapes, of all four.
    """
    check_axes(
        x=(x, "B S D"),
        mask=(mask, "B S"),
        kernel=(kernel, "width D C"),
        bias=(bias, "C"),
    )


def pool_windows(
    vectors: Float[Array, "B W D"], mask: Bool[Array, "B W"], how: str = "mean"
) -> Float[Array, "B D"]:
    """One vector for a document out of those of its windows.

    Args:
        vectors: of the windows.
        mask: true for a window that holds a token.
        how: `mean` or `max`.

    Raises:
        ValueError: another `how`, or shapes that do not fit together.
    """
    if how not in WINDOW_POOLINGS:
        raise ValueError(
            f"windows are pooled by {' or '.join(WINDOW_POOLINGS)}, got {how!r}"
        )
    return (masked_mean if how == "mean" else masked_max)(vectors, mask)
