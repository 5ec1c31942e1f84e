"""The arithmetic of a transformer encoder, one pure function for each step.

Reference: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers",
NAACL 2019; Vaswani et al., "Attention Is All You Need", NeurIPS 2017; of what differs
Song et al., "MPNet", NeurIPS 2020; Warner et al., "Smarter, Better, Faster, Longer"
(ModernBERT), 2024.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key


def layer_norm(
    x: Float[Array, "*batch D"],
    scale: Float[Array, " D"],
    bias: Float[Array, " D"] | None = None,
    *,
    epsilon: float = 1e-12,
) -> Float[Array, "*batch D"]:
    """Shift and scale each vector to mean 0 and variance 1, in float32.

    `(x - mean) / sqrt(variance + epsilon) * scale + bias`, returned in `x`'s dtype;
    without the bias where there is none.

    Reference: Ba, Kiros, Hinton, "Layer Normalization", 2016, equation 4.
    """
    wide = x.astype(jnp.float32)
    centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(variance + epsilon)
    scaled = normal * scale
    return (scaled if bias is None else scaled + bias).astype(x.dtype)


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
    bias: Float[Array, " F"] | None = None,
) -> Float[Array, "*batch F"]:
    """`x @ kernel + bias` in the dtype of `x`; without the bias where there is none."""
    product = x @ kernel.astype(x.dtype)
    return product if bias is None else product + bias.astype(x.dtype)


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


def relative_position_bias(
    table: Float[Array, "K H"], length: int, *, furthest: int = 128
) -> Float[Array, "H S S"]:
    """Look up what every head adds to the score of two tokens for their distance.

    Half of the K rows are for tokens to the left, half for those to the right. Of a
    half, the first rows are for the distances 0, 1, ..., one each, the others grow with
    the logarithm of the distance up to `furthest`; what lies beyond shares the last.

    Args:
        table: a row per bucket of distances, a column per head.
        length: S, tokens.
        furthest: distance from which on all are one.

    Raises:
        ValueError: fewer than four rows, or an odd number of them.

    Reference: Raffel et al., "T5", JMLR 2020, section 2.1; Song et al. 2020.
    """
    rows = table.shape[0]
    if rows < 4 or rows % 2:
        raise ValueError(
            f"table must have an even number of rows, at least 4, got {rows}"
        )
    each, exact = rows // 2, rows // 4
    wide = each - exact  # rows for more than one distance
    ratios = [(furthest / exact) ** (k / wide) for k in range(1, wide)]
    # The distance at which each row but the first begins; whole ones are meant exactly.
    begin = [*range(1, exact + 1), *(math.ceil(exact * r - 1e-6) for r in ratios)]
    position = jnp.arange(length)
    distance = position[None, :] - position[:, None]  # [S, S], of key from query
    passed = jnp.abs(distance)[..., None] >= jnp.asarray(begin)
    bucket = jnp.sum(passed, axis=-1) + jnp.where(distance > 0, each, 0)
    return table[bucket].transpose(2, 0, 1)


def rotate_positions(
    x: Float[Array, "*batch S F"], *, base: float
) -> Float[Array, "*batch S F"]:
    """Turn the features of the token at s by angles that grow with s.

    The features i and i + F/2 are a point of the plane, turned by s / base^(2i/F): the
    product of two turned vectors depends on the distance of their tokens alone. In
    float32, returned in `x`'s dtype.

    Args:
        x: queries or keys of some heads.
        base: of the wavelengths, which grow from 2 pi to 2 pi base.

    Raises:
        ValueError: an odd number of features, or a base that is not positive.

    Reference: Su et al., "RoFormer", 2021, section 3.2.2; the halves are paired as in
    GPT-NeoX and ModernBERT, not neighbours as in the paper.
    """
    length, features = x.shape[-2:]
    if features % 2 or not base > 0:
        raise ValueError(
            f"features must be even and base positive, got {features} and {base}"
        )
    speeds = base ** (-jnp.arange(0, features, 2, dtype=jnp.float32) / features)
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * speeds  # [S, F/2]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def self_attention(
    x: Float[Array, "B S D"],
    token_mask: Bool[Array, "B S"],
    qkv_kernel: Float[Array, "D QKV"],
    qkv_bias: Float[Array, " QKV"] | None,
    output_kernel: Float[Array, "HF D"],
    output_bias: Float[Array, " D"] | None,
    *,
    heads: int,
    position_bias: Float[Array, "H S S"] | None = None,
    rotary_base: float = 0.0,
    window: int = 0,
    dropout_rate: float = 0.0,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "B S D"]:
    """Multi-head scaled dot-product attention of every token to the real tokens.

    `softmax(q k^T / sqrt(F)) v` for each head, then one output projection. Query, key
    and value come out of one product whose `3 H F` columns are ordered (q, k, v),
    then head, then feature. The softmax is in float32 and is divided by its sum
    after the values are mixed: a pass over S x F in place of one over S x S.

    Args:
        x: one vector per token.
        token_mask: true where there is a token; padding receives no attention. A
            row without a token attends evenly to its padding, so stays finite.
        qkv_kernel: makes queries, keys and values, F features a head.
        qkv_bias: of these; None for none.
        output_kernel: joins the heads.
        output_bias: of the joined heads; None for none.
        heads: H.
        position_bias: added to the scores of each head.
        rotary_base: queries and keys are turned by `rotate_positions`; 0: they are not.
        window: a token receives from those at most so far away; 0: from all.
        dropout_rate: of the attention weights, used when a key is given.
        key: randomness of the dropout.

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
    # Queries, keys and values; in rotary encoders turned by position.
    packed = dense(x, qkv_kernel, qkv_bias)
    packed = packed.reshape(batch, length, 3, heads, features)
    # Head before token: XLA's CPU product is six times slower the other way round.
    query, keys, values = packed.transpose(2, 0, 3, 1, 4)  # each [B, H, S, F]
    if rotary_base:
        query = rotate_positions(query, base=rotary_base)
        keys = rotate_positions(keys, base=rotary_base)
    # What no query sees: padding, and tokens beyond its window.
    least = jnp.finfo(jnp.float32).min
    bias = jnp.where(token_mask, 0.0, least)[:, None, None, :]
    if window:
        position = jnp.arange(length)
        near = jnp.abs(position[:, None] - position) <= window
        bias = jnp.where(near, bias, least)  # [B, 1, S, S]
    # [B, H, S, S]: softmax over keys, whose sum divides at the end.
    logits = jnp.einsum(
        "bhqf,bhkf->bhqk",
        query / math.sqrt(features),
        keys,
        preferred_element_type=jnp.float32,
    )
    if position_bias is not None:
        logits = logits + position_bias.astype(jnp.float32)
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
    input_bias: Float[Array, " F"] | None,
    output_kernel: Float[Array, "G D"],
    output_bias: Float[Array, " D"] | None,
    *,
    activation: str = "gelu",
    gated: bool = False,
) -> Float[Array, "*batch D"]:
    """Two dense layers with an activation between them, for each token alone.

    Args:
        x: one vector per token.
        input_kernel: of the first layer.
        input_bias: of the first layer; None for none.
        output_kernel: of the second layer.
        output_bias: of the second layer; None for none.
        activation: `gelu` (exact), `gelu_tanh` (the tanh approximation) or `relu`.
        gated: only the first half of the F features between goes through the
            activation, and is multiplied by the second; else G is F.

    Reference: of `gated` Shazeer, "GLU Variants Improve Transformer", 2020, equation 6.

    Raises:
        ValueError: an unknown activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
        )
    hidden = dense(x, input_kernel, input_bias)
    if gated:
        hidden, gate = jnp.split(hidden, 2, axis=-1)
        hidden = ACTIVATIONS[activation](hidden) * gate
    else:
        hidden = ACTIVATIONS[activation](hidden)
    return dense(hidden, output_kernel, output_bias)


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": jax.nn.gelu, "relu": jax.nn.relu}
