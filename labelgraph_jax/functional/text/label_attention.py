"""Label-wise attention: every label reads the tokens with its own query."""

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.attention.weights import masked_softmax
from labelgraph_jax.functional.text.pooling import check_convolution

CHUNK_CELLS = 2**24
"""(document, label, token) cells computed at a time: 64 MiB of float32 an array."""
CHUNK_UNKNOWN = 256
"""Labels at a time in an exported program, which does not know its documents."""


def token_convolution(
    x: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    kernel: Float[Array, "width D C"],
    bias: Float[Array, " C"],
) -> Float[Array, "B S C"]:
    """Give every token a vector of the words around it.

        h_s = tanh(sum_k x_{s - floor((width - 1) / 2) + k} K_k + b)

    As many vectors come out as tokens go in. Places outside the document count as
    zeros, and h is zero there: padding a batch further changes nothing.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Mullenbach et al., "Explainable Prediction of Medical Codes from
    Clinical Text", NAACL 2018, equation 1.
    """
    check_convolution(x, mask, kernel, bias)
    before = (kernel.shape[0] - 1) // 2
    responses = jax.lax.conv_general_dilated(
        jnp.where(mask[..., None], x, 0),
        kernel.astype(x.dtype),
        window_strides=(1,),
        padding=[(before, kernel.shape[0] - 1 - before)],
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    return jnp.where(mask[..., None], jnp.tanh(responses + bias.astype(x.dtype)), 0)


def label_attention_weights(
    tokens: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    queries: Float[Array, "N D"],
) -> Float[Array, "B N S"]:
    """Return each label's attention to each token: softmax_s(h_bs . u_n), in float32.

    A label's weights sum to one over the tokens where `mask` is true; they are all
    zero for a document without tokens. They say which words made a label's score.

    Raises:
        ValueError: shapes do not fit together.
    """
    _check_shapes(tokens, mask, queries, queries)
    return _weights(jnp.where(mask[..., None], tokens, 0), mask, queries)


def label_attention_scores(
    tokens: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    queries: Float[Array, "N D"],
    outputs: Float[Array, "N D"],
    *,
    chunk_labels: int | None = None,
) -> Float[Array, "B N"]:
    """Score every label by the tokens that it attends to.

        alpha_bn = softmax_s(h_bs . u_n)
        v_bn     = sum_s alpha_bns h_bs
        score_bn = v_bn . w_n

    computed as sum_s alpha_bns (h_bs . w_n), which is the same number from as many
    multiplications and never holds the vectors v, `[B, N, D]`. Softmax and sums are in
    float32. Where there are so many labels that one `[B, N, S]` array would be large,
    they are taken in groups, one after the other, and a group's attention is computed
    anew for its gradient: memory is then bounded whatever N is.

    Args:
        tokens: h, one vector per token; what stands at padding is never read.
        mask: true where there is a token. A document without any scores 0.
        queries: u, with which each label looks for its tokens.
        outputs: w, with which each label judges what it found.
        chunk_labels: labels in a group; by default all of them, or as many as keep an
            array at 64 MiB.

    Raises:
        ValueError: shapes do not fit together, or chunk_labels is below 1.

    Reference: Mullenbach et al., CAML, NAACL 2018, equations 2 to 4; Chalkidis et al.,
    "An Empirical Study on Large-Scale Multi-Label Text Classification Including Few
    and Zero-Shot Labels", EMNLP 2020, LWAN. The bias of equation 4 is the caller's.
    """
    _check_shapes(tokens, mask, queries, outputs)
    labels = queries.shape[0]
    if chunk_labels is None:
        if is_symbolic_dim(mask.size):
            chunk_labels = CHUNK_UNKNOWN
        else:
            chunk_labels = max(CHUNK_CELLS // max(mask.size, 1), 1)
    if chunk_labels < 1:
        raise ValueError(f"chunk_labels must be at least 1, got {chunk_labels}")
    tokens = jnp.where(mask[..., None], tokens, 0)

    def scores(chosen: tuple[Array, Array]) -> Float[Array, "B n"]:
        queries, outputs = chosen
        attention = _weights(tokens, mask, queries)
        judged = jnp.einsum(
            "bsd,nd->bns", tokens, outputs, preferred_element_type=jnp.float32
        )
        return jnp.sum(attention * judged, axis=-1)

    if labels <= chunk_labels:
        return scores((queries, outputs))
    groups = -(-labels // chunk_labels)
    size = -(-labels // groups)

    def grouped(vectors: Float[Array, "N D"]) -> Float[Array, "groups n D"]:
        padded = jnp.pad(vectors, ((0, groups * size - labels), (0, 0)))
        return padded.reshape(groups, size, vectors.shape[1])

    parts = jax.lax.map(jax.checkpoint(scores), (grouped(queries), grouped(outputs)))
    parts = parts.swapaxes(0, 1).reshape(tokens.shape[0], groups * size)
    return parts[:, :labels]


def _weights(
    tokens: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    queries: Float[Array, "N D"],
) -> Float[Array, "B N S"]:
    logits = jnp.einsum(
        "bsd,nd->bns", tokens, queries, preferred_element_type=jnp.float32
    )
    return masked_softmax(logits, mask[:, None, :])


def _check_shapes(
    tokens: Array,
    mask: Array,
    queries: Array,
    outputs: Array,
) -> None:
    if tokens.ndim != 3 or mask.shape != tokens.shape[:2]:
        raise ValueError(
            "tokens must have shape [B, S, D] and mask [B, S], got "
            f"{tokens.shape} and {mask.shape}"
        )
    for name, vectors in (("queries", queries), ("outputs", outputs)):
        if vectors.ndim != 2 or vectors.shape != (len(queries), tokens.shape[2]):
            raise ValueError(
                f"{name} must have shape [N, {tokens.shape[2]}] for tokens of shape "
                f"{tokens.shape}, one row for every query; got {vectors.shape}"
            )
