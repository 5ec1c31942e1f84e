"""An LSTM as plain loops over documents, tokens and units."""

import math

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def lstm(
    inputs,
    mask,
    input_kernel,
    recurrent_kernel,
    bias,
    *,
    reverse=False,
    initial_hidden=None,
    initial_cell=None,
):
    """Reads the real tokens of every document alone, as if padding did not exist."""
    batch, steps, _ = inputs.shape
    size = len(recurrent_kernel)
    outputs = np.zeros((batch, steps, size))
    last_hidden, last_cell = np.zeros((batch, size)), np.zeros((batch, size))
    for b in range(batch):
        hidden = np.zeros(size) if initial_hidden is None else initial_hidden[b]
        cell = np.zeros(size) if initial_cell is None else initial_cell[b]
        real = [t for t in range(steps) if mask[b, t]]
        for t in reversed(real) if reverse else real:
            gates = inputs[b, t] @ input_kernel + hidden @ recurrent_kernel + bias
            new_hidden, new_cell = np.zeros(size), np.zeros(size)
            for u in range(size):
                i, f = sigmoid(gates[u]), sigmoid(gates[size + u])
                g, o = math.tanh(gates[2 * size + u]), sigmoid(gates[3 * size + u])
                new_cell[u] = f * cell[u] + i * g
                new_hidden[u] = o * math.tanh(new_cell[u])
            hidden, cell = new_hidden, new_cell
            outputs[b, t] = hidden
        last_hidden[b], last_cell[b] = hidden, cell
    return outputs, last_hidden, last_cell
