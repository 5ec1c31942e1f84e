"""LSTM over padded sequences, in one direction and in both.

The recurrence has a gradient of its own. Tokens are read in blocks: the input
projection of a whole block is one product before its steps, the gradients of the
weights one product after them, and a step keeps only the gates it computed. Inside,
features come first and documents last, `[4 H, B]`: the four gates are then contiguous
whatever H is, and one tanh over all of them replaces three sigmoids and a tanh
(sigmoid(z) = tanh(z / 2) / 2 + 1 / 2).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.export import is_symbolic_dim
from jaxtyping import Array, Bool, Float, Shaped

# Few enough steps that a block's gates stay in a core's cache, enough that the sums
# of weight gradients are seldom read and written.
_CPU_BLOCK = 8


class LstmWeights(NamedTuple):
    """One direction of an LSTM; G = 4 H, gates in the order i, f, g, o."""

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
    it stands, and the final state is that of the last real token. States are summed
    in float32 at least. Differentiable in reverse mode (`jax.grad`, `jax.vjp`), not
    in forward mode.

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
    dtype = jnp.result_type(inputs, input_kernel, recurrent_kernel, bias)
    shape = inputs.shape[0], recurrent_kernel.shape[0]
    started = []
    for name, state in (
        ("initial_hidden", initial_hidden),
        ("initial_cell", initial_cell),
    ):
        state = jnp.zeros(shape, dtype) if state is None else jnp.asarray(state)
        if state.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {state.shape}")
        started.append(state.astype(dtype))
    if not is_symbolic_dim(inputs.shape[1]) and inputs.shape[1] == 0:
        return jnp.zeros((shape[0], 0, shape[1]), dtype), started[0], started[1]
    weights = LstmWeights(input_kernel, recurrent_kernel, bias)
    weights = jax.tree.map(lambda x: x.astype(dtype), weights)
    outputs, hidden, cell = _recurrence(
        inputs.astype(dtype), jnp.asarray(mask), weights, *started, reverse
    )
    return jnp.where(mask[:, :, None], outputs, 0), hidden, cell


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
        zero at padding. Differentiable as `lstm` is.

    Raises:
        ValueError: shapes do not fit together.
    """
    outputs, last, _ = lstm(inputs, mask, *forward)
    outputs_back, last_back, _ = lstm(inputs, mask, *backward, reverse=True)
    return (
        jnp.concatenate([last, last_back], axis=-1),
        jnp.concatenate([outputs, outputs_back], axis=-1),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _recurrence(inputs, mask, weights, hidden, cell, reverse):
    """`lstm` with everything given, in one dtype; outputs hold the state at padding."""
    results, _ = _run(inputs, mask, weights, hidden, cell, reverse)
    return results


def _run(inputs, mask, weights, hidden, cell, reverse):
    """The forward pass: its results, and by block (gates, cells, hidden states)."""
    batch, steps, _ = inputs.shape
    wide = _wide(inputs.dtype)
    scale, shift = _gate_constants(hidden.shape[1], wide)
    recurrent = weights.recurrent_kernel.T

    def read_block(state, block):
        tokens, real = block
        projected = _product("dg,td->gt", weights.input_kernel, tokens)  # t = K B
        projected = projected + weights.bias[:, None].astype(wide)
        projected = projected.reshape(4 * hidden.shape[1], *real.shape)

        def step(state, at):
            hidden, cell = state
            place, real = at
            drive = lax.dynamic_index_in_dim(projected, place, 1, keepdims=False)
            drive = drive + _product("gh,hb->gb", recurrent, hidden)
            gates = jnp.tanh(drive * scale) * scale + shift
            i, f, g, o = jnp.split(gates, 4)
            new_cell = f * cell + i * g
            new_hidden = (o * jnp.tanh(new_cell)).astype(hidden.dtype)
            cell = jnp.where(real, new_cell, cell)
            hidden = jnp.where(real, new_hidden, hidden)
            return (hidden, cell), (gates.astype(hidden.dtype), cell, hidden.T)

        places = jnp.arange(len(real))
        return lax.scan(step, state, (places, real), reverse=reverse)

    blocks = _in_blocks(inputs), _in_blocks_by_step(mask)
    state = hidden.T, cell.T.astype(wide)
    (hidden, cell), kept = lax.scan(read_block, state, blocks, reverse=reverse)
    outputs = kept[2].reshape(steps, batch, hidden.shape[0]).swapaxes(0, 1)
    return (outputs, hidden.T, cell.T.astype(inputs.dtype)), kept


def _forward(inputs, mask, weights, hidden, cell, reverse):
    results, kept = _run(inputs, mask, weights, hidden, cell, reverse)
    return results, (inputs, mask, weights, hidden, cell, kept)


def _backward(reverse, saved, cotangents):
    inputs, mask, weights, first_hidden, first_cell, (gates, cells, hiddens) = saved
    d_outputs, d_hidden, d_cell = cotangents
    dtype, wide = inputs.dtype, _wide(inputs.dtype)
    size = first_hidden.shape[1]
    before = _before(cells, first_cell.T.astype(wide), reverse)
    hidden_before = _before(hiddens, first_hidden, reverse)
    # The derivative of a gate from its value: a (1 - a), but 1 - g^2 for g.
    one, zero = jnp.ones((size, 1), wide), jnp.zeros((size, 1), wide)
    linear = jnp.concatenate([one, one, zero, one])
    constant = jnp.concatenate([zero, zero, one, zero])

    # One block: the recurrence backwards, then products over all its tokens at once.
    def read_block(carry, block):
        state, sums = carry
        tokens, hidden_before, *by_step = block

        def step(state, at):
            d_hidden, d_cell = state
            d_output, real, gates, cell, cell_before = at
            gates = gates.astype(wide)
            i, f, g, o = jnp.split(gates, 4)
            d_hidden = d_hidden + d_output.T
            squashed = jnp.tanh(cell)
            d_new_cell = d_cell + d_hidden * o * (1 - squashed * squashed)
            d_gates = (d_new_cell * g, d_new_cell * cell_before, d_new_cell * i)
            d_gates = jnp.concatenate((*d_gates, d_hidden * squashed))
            d_drive = d_gates * (constant + linear * gates - gates * gates)
            d_drive = jnp.where(real, d_drive, 0).astype(dtype)
            d_cell = jnp.where(real, d_new_cell * f, d_cell)
            d_before = _product("hg,gb->hb", weights.recurrent_kernel, d_drive)
            return (jnp.where(real, d_before, d_hidden), d_cell), d_drive

        state, d_drives = lax.scan(step, state, tuple(by_step), reverse=not reverse)
        d_drives = d_drives.swapaxes(0, 1).reshape(4 * size, len(tokens))  # [G, K B]
        hidden_before = hidden_before.reshape(len(tokens), size)
        sums = (
            sums[0] + _product("gt,td->gd", d_drives, tokens),
            sums[1] + _product("gt,th->gh", d_drives, hidden_before),
            sums[2] + d_drives.astype(wide).sum(axis=1),
        )
        d_tokens = _product("gt,dg->td", d_drives, weights.input_kernel)
        return (state, sums), d_tokens.astype(dtype)

    # All blocks, in the order opposite to that of the forward pass.
    state = d_hidden.T.astype(wide), d_cell.T.astype(wide)
    sums = tuple(jnp.zeros(w.T.shape, wide) for w in weights)
    blocks = (
        _in_blocks(inputs),
        hidden_before,
        _in_blocks_by_step(d_outputs),
        _in_blocks_by_step(mask),
        gates,
        cells,
        before,
    )
    (state, sums), d_inputs = lax.scan(
        read_block, (state, sums), blocks, reverse=not reverse
    )
    # Back to [B, S, D] and to the types that came in.
    batch, steps, features = inputs.shape
    d_inputs = d_inputs.reshape(steps, batch, features).swapaxes(0, 1)
    d_weights = LstmWeights(*(s.T.astype(dtype) for s in sums))
    return d_inputs, None, d_weights, *(s.T.astype(dtype) for s in state)


_recurrence.defvjp(_forward, _backward)


def _block_size(steps: Any) -> Any:
    """Steps in a block: a divisor of `steps`, small on CPU, all of them elsewhere.

    Off the CPU one block makes one large product of every weight gradient, and one
    all-reduce of it where the batch is sharded. Of an unknown length, in an exported
    program, the largest divisor that can be told.
    """
    if jax.default_backend() != "cpu" and not is_symbolic_dim(steps):
        return max(steps, 1)
    return max(k for k in range(1, _CPU_BLOCK + 1) if steps % k == 0)


def _in_blocks(by_document):
    """[B, S, D] -> [blocks, K B, D], steps before documents."""
    batch, steps, features = by_document.shape
    size = _block_size(steps)
    by_step = by_document.swapaxes(0, 1)
    return by_step.reshape(steps // size, size * batch, features)


def _in_blocks_by_step(by_document):
    """[B, S, ...] -> [blocks, K, B, ...]; a mask [B, S] -> [blocks, K, B]."""
    batch, steps = by_document.shape[:2]
    size = _block_size(steps)
    rest = by_document.shape[2:]
    return by_document.swapaxes(0, 1).reshape(steps // size, size, batch, *rest)


def _before(states, first, reverse):
    """Return the states before each step, [blocks, K, ...], given those after it."""
    flat = states.reshape(-1, *states.shape[2:])
    parts = [flat[1:], first[None]] if reverse else [first[None], flat[:-1]]
    return jnp.concatenate(parts).reshape(states.shape)


def _gate_constants(size, dtype):
    """Scale and shift per gate row: (tanh(z s) s + r) is a sigmoid or a tanh."""
    one, half, zero = (jnp.full((size, 1), v, dtype) for v in (1.0, 0.5, 0.0))
    return (
        jnp.concatenate([half, half, one, half]),
        jnp.concatenate([half, half, zero, half]),
    )


def _product(spec, left, right):
    return jnp.einsum(spec, left, right, preferred_element_type=_wide(left.dtype))


def _wide(dtype):
    return dtype if jnp.finfo(dtype).bits > 32 else jnp.dtype(jnp.float32)


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
