"""The arithmetic of a BERT-family encoder, one pure function for each step.

Reference: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers",
NAACL 2019; Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key


def layer_norm(
    x: Float[Array, "*batch D"],
    scale: Float[Array, " D"],
    bias: Float[Array, " D"],
    *,
    epsilon: float = 1e-12,
) -> Float[Array, "*batch D"]:
    """Shift and scale each vector to mean 0 and variance 1, in float32.

    `(x - mean) / sqrt(variance + epsilon) * scale + bias`, returned in `x`'s dtype.

    Reference: Ba, Kiros, Hinton, "Layer Normalization", 2016, equation 4.
    """
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(variance + epsilon)
    return (normal * scale + bias).astype(x.dtype)


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`x * Phi(x)` with the exact normal distribution function, through `erf`.

    `jax.nn.gelu(approximate=False)` goes through `erfc`, which is a fifth slower on
    a CPU and differs only where the result is below 1e-6.

    Reference: Hendrycks, Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * math.sqrt(0.5)))


def dropout(
    x: Float[Array, "*shape"], rate: float, key: Key[Array, ""] | None
) -> Float[Array, "*shape"]:
    """Zero each entry with probability `rate` and scale the rest by `1 / (1 - rate)`.

    Without a key, or at rate 0, `x` comes back as it is. The rate is rounded to
    1/65536: sixteen random bits an entry cost half of thirty-two.

    Raises:
        ValueError: `rate` outside [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout rate must be at least 0 and below 1, got {rate}")
    dropped = round(rate * 65536)
    if key is None or dropped == 0:
        return x
    keep = jax.random.bits(key, x.shape, jnp.uint16) >= dropped
    return jnp.where(keep, x / (1.0 - dropped / 65536), jnp.zeros((), x.dtype))


def dense(
    x: Float[Array, "*batch D"],
    kernel: Float[Array, "D F"],
    bias: Float[Array, " F"],
) -> Float[Array, "*batch F"]:
    """`x @ kernel + bias` in the dtype of `x`."""
    return x @ kernel.astype(x.dtype) + bias.astype(x.dtype)


def add_positions(
    token_vectors: Float[Array, "B S D"],
    position_table: Float[Array, "P D"],
    *,
    position_offset: int = 0,
) -> Float[Array, "B S D"]:
    """Sum of each token's vector and its position's vector.

    Args:
        token_vectors: one per token, looked up by its id.
        position_table: one row per position.
        position_offset: row of `position_table` that the first token takes (RoBERTa
            keeps the first two rows for padding).

    Raises:
        ValueError: more tokens than positions.
    """
    length, rows = token_vectors.shape[1], position_table.shape[0]
    if length + position_offset > rows:
        raise ValueError(
            f"the encoder has {rows - position_offset} positions, "
            f"got sequences of {length} tokens"
        )
    positions = position_table[position_offset : position_offset + length]
    return token_vectors + positions


def self_attention(
    x: Float[Array, "B S D"],
    token_mask: Bool[Array, "B S"],
    qkv_kernel: Float[Array, "D QKV"],
    qkv_bias: Float[Array, " QKV"],
    output_kernel: Float[Array, "HF D"],
    output_bias: Float[Array, " D"],
    *,
    heads: int,
    dropout_rate: float = 0.0,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "B S D"]:
    """Multi-head scaled dot-product attention of every token to the real tokens.

    `softmax(q k^T / sqrt(F)) v` for each head, then one output projection. Query, key
    and value come out of one product whose `3 H F` columns are ordered (q, k, v),
    then head, then feature. The softmax is in float32 and is divided by its sum
    after the values are mixed: a pass over S x F in place of one over S x S.

    Args:
        token_mask: true where there is a token; padding receives no attention. A
            row without a token attends evenly to its padding, so stays finite.
        dropout_rate: of the attention weights, used when a key is given.

    Raises:
        ValueError: the kernel's columns are not three equal parts of whole heads.

    Reference: Vaswani et al. 2017, equation 1 and section 3.2.2.
    """
    batch, length, _ = x.shape
    if qkv_kernel.shape[1] % (3 * heads):
        raise ValueError(
            f"qkv_kernel must have a multiple of 3 x {heads} columns, "
            f"got {qkv_kernel.shape[1]}"
        )
    features = qkv_kernel.shape[1] // (3 * heads)
    packed = dense(x, qkv_kernel, qkv_bias)
    packed = packed.reshape(batch, length, 3, heads, features)
    # Head before token: XLA's CPU product is six times slower the other way round.
    query, keys, values = packed.transpose(2, 0, 3, 1, 4)  # each [B, H, S, F]
    bias = jnp.where(token_mask, 0.0, jnp.finfo(jnp.float32).min)[:, None, None, :]
    logits = jnp.einsum(
        "bhqf,bhkf->bhqk",
        query / math.sqrt(features),
        keys,
        preferred_element_type=jnp.float32,
    )
    logits = logits + bias
    highest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - highest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = dropout(weights, dropout_rate, key).astype(x.dtype)
    mixed = jnp.einsum("bhqk,bhkf->bhqf", weights, values)
    mixed = (mixed / total).astype(x.dtype)
    mixed = mixed.transpose(0, 2, 1, 3).reshape(batch, length, heads * features)
    return dense(mixed, output_kernel, output_bias)


def feed_forward(
    x: Float[Array, "*batch D"],
    input_kernel: Float[Array, "D F"],
    input_bias: Float[Array, " F"],
    output_kernel: Float[Array, "F D"],
    output_bias: Float[Array, " D"],
    *,
    activation: str = "gelu",
) -> Float[Array, "*batch D"]:
    """Two dense layers with an activation between them, for each token alone.

    Args:
        activation: `gelu` (exact), `gelu_tanh` (the tanh approximation) or `relu`.

    Raises:
        ValueError: an unknown activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
        )
    hidden = ACTIVATIONS[activation](dense(x, input_kernel, input_bias))
    return dense(hidden, output_kernel, output_bias)


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": jax.nn.gelu, "relu": jax.nn.relu}
