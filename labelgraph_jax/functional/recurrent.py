"""LSTM over padded sequences, in one direction and in both."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped


class LstmWeights(NamedTuple):
    """What one direction of an LSTM learns; G = 4 H, gates in the order i, f, g, o."""

    input_kernel: Float[Array, "D G"]
    recurrent_kernel: Float[Array, "H G"]
    bias: Float[Array, "G"]


def lstm(
    inputs: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    input_kernel: Float[Array, "D G"],
    recurrent_kernel: Float[Array, "H G"],
    bias: Float[Array, "G"],
    *,
    reverse: bool = False,
    initial_hidden: Float[Array, "B H"] | None = None,
    initial_cell: Float[Array, "B H"] | None = None,
) -> tuple[Float[Array, "B S H"], Float[Array, "B H"], Float[Array, "B H"]]:
    """Run an LSTM over every sequence of a padded batch.

        [i, f, g, o] = x_t W + h_{t-1} U + b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)

    A step where `mask` is false keeps the state: padding changes nothing, wherever
    it stands, and the final state is that of the last real token.

    Args:
        inputs: token vectors.
        mask: true at a real token.
        input_kernel: W, the four gates side by side in the order i, f, g, o.
        recurrent_kernel: U, in the same order.
        bias: b, in the same order; the usual forget bias of 1 is the caller's.
        reverse: read from right to left; `outputs` stay in the order of `inputs`.
        initial_hidden: h before the first token; zeros if None.
        initial_cell: c before the first token; zeros if None.

    Returns:
        The hidden state after every token, zero at padding, `[B, S, H]`; and the
        final hidden and cell state, `[B, H]` each.

    Raises:
        ValueError: shapes do not fit together.

    Reference: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al.
    2000; the equations and the gate order are those of cuDNN and PyTorch, whose two
    biases are one here.
    """
    _check_shapes(inputs, mask, input_kernel, recurrent_kernel, bias)
    batch, hidden_size = inputs.shape[0], recurrent_kernel.shape[0]
    projected = jnp.einsum("bsd,dg->sbg", inputs, input_kernel) + bias
    zeros = jnp.zeros((batch, hidden_size), projected.dtype)
    hidden = zeros if initial_hidden is None else initial_hidden.astype(zeros.dtype)
    cell = zeros if initial_cell is None else initial_cell.astype(zeros.dtype)
    for name, state in (("initial_hidden", hidden), ("initial_cell", cell)):
        if state.shape != zeros.shape:
            raise ValueError(f"{name} must have shape {zeros.shape}, got {state.shape}")

    def step(carry, at_step):
        hidden, cell = carry
        from_input, real = at_step
        gates = from_input + hidden @ recurrent_kernel
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        new_cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_hidden = jax.nn.sigmoid(o) * jnp.tanh(new_cell)
        hidden = jnp.where(real, new_hidden, hidden)
        cell = jnp.where(real, new_cell, cell)
        return (hidden, cell), jnp.where(real, new_hidden, 0)

    (hidden, cell), outputs = jax.lax.scan(
        step, (hidden, cell), (projected, mask.T[:, :, None]), reverse=reverse
    )
    return jnp.swapaxes(outputs, 0, 1), hidden, cell


def bidirectional_lstm(
    inputs: Float[Array, "B S D"],
    mask: Bool[Array, "B S"],
    forward: tuple[Float[Array, "D G"], Float[Array, "H G"], Float[Array, "G"]],
    backward: tuple[Float[Array, "D G"], Float[Array, "H G"], Float[Array, "G"]],
) -> tuple[Float[Array, "B H2"], Float[Array, "B S H2"]]:
    """Read every sequence in both directions.

    Args:
        inputs: token vectors.
        mask: true at a real token.
        forward: input kernel, recurrent kernel and bias of the reader from left to
            right, as `lstm` takes them (an `LstmWeights` or any triple).
        backward: the same for the reader from right to left.

    Returns:
        One vector per document `[B, 2 H]`, [last forward ; last backward] hidden
        state, each after its last real token (zeros for a document without any);
        and the hidden states of both directions after every token `[B, S, 2 H]`,
        zero at padding.

    Raises:
        ValueError: shapes do not fit together.
    """
    outputs, last, _ = lstm(inputs, mask, *forward)
    outputs_back, last_back, _ = lstm(inputs, mask, *backward, reverse=True)
    return (
        jnp.concatenate([last, last_back], axis=-1),
        jnp.concatenate([outputs, outputs_back], axis=-1),
    )


def _check_shapes(
    inputs: Shaped[Array, "..."],
    mask: Shaped[Array, "..."],
    input_kernel: Shaped[Array, "..."],
    recurrent_kernel: Shaped[Array, "..."],
    bias: Shaped[Array, "..."],
) -> None:
    if inputs.ndim != 3:
        raise ValueError(
            f"inputs must have shape [batch, tokens, features], got {inputs.shape}"
        )
    if mask.shape != inputs.shape[:2]:
        raise ValueError(
            f"mask must have shape {inputs.shape[:2]} for inputs of shape "
            f"{inputs.shape}, got {mask.shape}"
        )
    features = inputs.shape[2]
    if recurrent_kernel.ndim != 2 or recurrent_kernel.shape[1] != 4 * len(
        recurrent_kernel
    ):
        raise ValueError(
            "recurrent_kernel must have shape [hidden, 4 hidden], "
            f"got {recurrent_kernel.shape}"
        )
    gates = recurrent_kernel.shape[1]
    if input_kernel.shape != (features, gates):
        raise ValueError(
            f"input_kernel must have shape {(features, gates)} for {features} features "
            f"and a recurrent_kernel of shape {recurrent_kernel.shape}, "
            f"got {input_kernel.shape}"
        )
    if bias.shape != (gates,):
        raise ValueError(f"bias must have shape {(gates,)}, got {bias.shape}")
