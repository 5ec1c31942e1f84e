"""Self-attention in one direction, in blocks of tokens and then among the blocks.

Reference: Shen, Zhou, Long, Jiang and Zhang, "Bi-Directional Block Self-Attention for
Fast and Memory-Efficient Sequence Modeling" (Bi-BloSAN), ICLR 2018.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.checks import check_axes
from labelgraph_jax.functional.text.transformer import dense

LIMIT = 5.0
"""Bound of a score, the paper's c."""


class BlockWeights(NamedTuple):
    """One direction of `block_self_attention`; kernel and bias follow each other."""

    near: tuple[Float[Array, "D D"], Float[Array, "D D"], Float[Array, " D"]]
    pooling: tuple[
        Float[Array, "D D"], Float[Array, " D"], Float[Array, "D D"], Float[Array, " D"]
    ]
    far: tuple[Float[Array, "D D"], Float[Array, "D D"], Float[Array, " D"]]
    gate: tuple[Float[Array, "2*D D"], Float[Array, " D"]]
    fusion: tuple[Float[Array, "3*D 2*D"], Float[Array, " 2*D"]]


def directed_attention(
    x: Float[Array, "*batch S D"],
    mask: Bool[Array, "*batch S"],
    receiver_kernel: Float[Array, "D D"],
    sender_kernel: Float[Array, "D D"],
    bias: Float[Array, " D"],
    *,
    reverse: bool = False,
) -> Float[Array, "*batch S D"]:
    """Give every token what it receives from the tokens before it, in float32.

        f_ij  = c tanh((x_i R + x_j S + b) / c),  c = 5
        out_i = sum_{j < i} softmax_j(f_ij) * x_j

    A score has D features, and every feature has attention weights of its own.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> x, mask = jnp.array([[1.0], [3.0], [5.0]]), jnp.ones(3, bool)
        >>> flat = jnp.zeros((1, 1))
        >>> found = lg.functional.directed_attention(x, mask, flat, flat, flat[0])
        >>> found.tolist()  # without scores, the mean of what stands before
        [[0.0], [1.0], [2.0]]

    Args:
        x: one vector per token; what stands at padding is never read.
        mask: true where there is a token.
        receiver_kernel: R, of the token that receives.
        sender_kernel: S, of the token that it receives from.
        bias: b, of the scores.
        reverse: receive from the tokens behind, j > i.

    Returns:
        Zeros for a token that has none before it, and at padding. The paper leaves the
        former to the softmax of its finite mask, which is even over all tokens.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Shen et al. 2018, equations 2 to 5.
    """
    check_axes(
        x=(x, "... S D"),
        mask=(mask, "... S"),
        receiver_kernel=(receiver_kernel, "D D"),
        sender_kernel=(sender_kernel, "D D"),
        bias=(bias, "D"),
    )
    x = _tokens(x, mask)
    receivers = dense(x, receiver_kernel)[..., :, None, :]
    senders = dense(x, sender_kernel, bias)[..., None, :, :]
    scores = LIMIT * jnp.tanh((receivers + senders) / LIMIT)  # [*batch, S, S, D]
    place = jnp.arange(x.shape[-2])
    before = place[:, None] < place if reverse else place[:, None] > place
    seen = before & mask[..., None, :] & mask[..., :, None]
    weights = jax.nn.softmax(scores, axis=-2, where=seen[..., None])
    return jnp.einsum("...ijd,...jd->...id", weights, x)


def attention_pooling(
    x: Float[Array, "*batch S D"],
    mask: Bool[Array, "*batch S"],
    kernel: Float[Array, "D D"],
    bias: Float[Array, " D"],
    score_kernel: Float[Array, "D D"],
    score_bias: Float[Array, " D"],
) -> Float[Array, "*batch D"]:
    """Pool the tokens of a text, every feature by attention weights of its own.

        f_s = elu(x_s K + b) W + w
        out = sum_s softmax_s(f_s) * x_s

    In float32; zeros for a text without tokens.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> x, mask = jnp.array([[1.0], [3.0], [9.0]]), jnp.array([True, True, False])
        >>> flat, none = jnp.zeros((1, 1)), jnp.zeros(1)
        >>> lg.functional.attention_pooling(x, mask, flat, none, flat, none).tolist()
        [2.0]

    Args:
        x: one vector per token; what stands at padding is never read.
        mask: true where there is a token.
        kernel: K, of the hidden layer.
        bias: b, of the hidden layer.
        score_kernel: W, which makes a score for every feature.
        score_bias: w, of the scores.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Shen et al. 2018, equations 6 and 7 (source2token self-attention).
    """
    check_axes(
        x=(x, "... S D"),
        mask=(mask, "... S"),
        kernel=(kernel, "D D"),
        bias=(bias, "D"),
        score_kernel=(score_kernel, "D D"),
        score_bias=(score_bias, "D"),
    )
    x = _tokens(x, mask)
    scores = dense(jax.nn.elu(dense(x, kernel, bias)), score_kernel, score_bias)
    weights = jax.nn.softmax(scores, axis=-2, where=mask[..., None])
    return jnp.sum(weights * x, axis=-2)


def block_self_attention(
    x: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    weights: BlockWeights,
    *,
    block: int = 8,
    reverse: bool = False,
) -> Float[Array, "B S D"]:
    """Give every token a vector of what stands before it, near and far, float32.

    The tokens are cut into blocks. With [a ; b] for a put beside b,

        h = directed_attention(x) within a block
        v = attention_pooling(h), one vector per block
        o = directed_attention(v) among the blocks
        e = g * o + (1 - g) * v,  g = sigmoid([o ; v] G + b)
        u = k * relu(f) + (1 - k) * x,  [f ; k'] = [x ; h ; e] F + b, k = sigmoid(k')

    e is that of the token's block. Work and memory grow with S (block + S / block^2)
    and not with S^2.

    Example:
        >>> import jax.numpy as jnp
        >>> import labelgraph_jax as lg
        >>> from labelgraph_jax.functional.text.block_attention import BlockWeights
        >>> a, b = jnp.zeros((1, 1)), jnp.zeros(1)
        >>> gate, fusion = (jnp.zeros((2, 1)), b), (jnp.zeros((3, 2)), jnp.zeros(2))
        >>> weights = BlockWeights((a, a, b), (a, b, a, b), (a, a, b), gate, fusion)
        >>> x, mask = jnp.array([[[2.0], [4.0]]]), jnp.ones((1, 2), bool)
        >>> found = lg.functional.block_self_attention(x, mask, weights)
        >>> found.tolist()  # gates of zero halve what goes in
        [[[1.0], [2.0]]]

    Args:
        x: one vector per token; what stands at padding is never read.
        mask: true where there is a token.
        weights: kernels and biases.
        block: tokens of a block; the cube root of 2 S costs least memory.
        reverse: of what stands behind the token, and behind its block.

    Returns:
        Zeros at padding. A token changes nothing in the blocks before its own, with
        `reverse` in those behind.

    Raises:
        ValueError: block is below 1, or shapes do not fit together.

    Reference: Shen et al. 2018, section 3, equations 8 to 16; their mask of a block's
    tokens is also that of the blocks.
    """
    # Check the shapes of tokens and weights.
    check_axes(x=(x, "B S D"), mask=(mask, "B S"))
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    near, pooling, far, gate, fusion = weights
    batch, length, width = x.shape
    for name, made, shape in (
        ("gate", gate, (2 * width, width)),
        ("fusion", fusion, (3 * width, 2 * width)),
    ):
        if jnp.shape(made[0]) != shape or jnp.shape(made[1]) != shape[1:]:
            raise ValueError(
                f"{name} must be a kernel {shape} and a bias {shape[1:]} for x of "
                f"shape {x.shape}, got {jnp.shape(made[0])} and {jnp.shape(made[1])}"
            )
    # Cut the padded text into blocks: [B, blocks, block, D].
    if not is_symbolic_dim(length):
        block = min(block, max(length, 1))
    blocks = (length + block - 1) // block
    more = blocks * block - length
    tokens = jnp.pad(_tokens(x, mask), ((0, 0), (0, more), (0, 0)))
    tokens = tokens.reshape(batch, blocks, block, width)
    real = jnp.pad(mask, ((0, 0), (0, more))).reshape(batch, blocks, block)

    # Near: attention within a block. Far: attention among pooled blocks.
    within = directed_attention(tokens, real, *near, reverse=reverse)
    pooled = attention_pooling(within, real, *pooling)
    among = directed_attention(
        pooled, jnp.any(real, axis=-1), *far, reverse=reverse
    )  # [B, blocks, D]
    share = jax.nn.sigmoid(dense(jnp.concatenate([among, pooled], -1), *gate))
    context = share * among + (1 - share) * pooled

    # Fuse every token with what it receives from near and far.
    context = jnp.broadcast_to(context[:, :, None], tokens.shape)
    parts = jnp.concatenate([tokens, within, context], axis=-1)
    fused, share = jnp.split(dense(parts, *fusion), 2, axis=-1)
    share = jax.nn.sigmoid(share)
    found = share * jax.nn.relu(fused) + (1 - share) * tokens
    found = found.reshape(batch, blocks * block, width)[:, :length]
    return jnp.where(mask[..., None], found, 0)


def _tokens(x: Array, mask: Array) -> Float[Array, "*batch S D"]:
    return jnp.where(jnp.asarray(mask)[..., None], x, 0).astype(jnp.float32)
