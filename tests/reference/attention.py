"""Graph attention as plain loops, in the concatenation form of the GAT paper."""

import math

import numpy as np


def masked_softmax(logits, mask):
    """One row: exp(l_j) over the sum of those that count."""
    total = sum(math.exp(x) for x, keep in zip(logits, mask, strict=True) if keep)
    return np.array(
        [
            math.exp(x) / total if keep else 0.0
            for x, keep in zip(logits, mask, strict=True)
        ]
    )


def concatenation_logit(vector, receiver, sender, negative_slope):
    """LeakyReLU(a^T [W h_i || W h_j]), eq. 3."""
    joined = np.concatenate([receiver, sender])
    raw = sum(a * x for a, x in zip(vector, joined, strict=True))
    return raw if raw > 0 else negative_slope * raw


def attention_row(logits, i, *, adjacency, edge_weights, edge_bias, role):
    """Row i of the attention weights out of row i of the logits."""
    labels = len(logits)
    received = [adjacency is None or adjacency[i, j] != 0 for j in range(labels)]
    if role == "fixed":
        row = [w if received[j] else 0.0 for j, w in enumerate(edge_weights[i])]
        total = sum(abs(w) for w in row)
        return [w / total if total else 0.0 for w in row]
    logits = list(logits)
    for j in range(labels):
        if edge_bias is not None:
            logits[j] += edge_bias[i, j]
        if edge_weights is not None and role == "additive":
            received[j] = received[j] and edge_weights[i, j] > 0
            logits[j] += math.log(edge_weights[i, j]) if received[j] else 0.0
        if edge_weights is not None and role == "mask":
            received[j] = received[j] and edge_weights[i, j] != 0
    row = masked_softmax(logits, received)
    return row * edge_weights[i] if role == "multiplicative" else row


def gathered(attention, z):
    """out_i = sum_j alpha_ij z_j of one head."""
    out = np.zeros(np.shape(z))
    for i in range(len(z)):
        for j in range(len(z)):
            out[i] += attention[i, j] * z[j]
    return out


def graph_attention(
    nodes,
    kernel,
    vector,
    *,
    adjacency=None,
    edge_weights=None,
    edge_bias=None,
    negative_slope=0.2,
    role="additive",
):
    """`vector` [H, 2 F] is the whole attention vector a of every head."""
    labels, heads, size = len(nodes), kernel.shape[1], kernel.shape[2]
    attention = np.zeros((heads, labels, labels))
    out = np.zeros((labels, heads, size))
    for head in range(heads):
        z = [kernel[:, head, :].T @ node for node in nodes]
        for i in range(labels):
            logits = [
                concatenation_logit(vector[head], z[i], z[j], negative_slope)
                for j in range(labels)
            ]
            attention[head, i] = attention_row(
                logits,
                i,
                adjacency=adjacency,
                edge_weights=edge_weights,
                edge_bias=edge_bias,
                role=role,
            )
        out[:, head] = gathered(attention[head], z)
    return out, attention


def graph_attention_v2(
    nodes,
    kernel,
    vector,
    *,
    adjacency=None,
    edge_weights=None,
    edge_bias=None,
    negative_slope=0.2,
    role="additive",
):
    """`kernel` [2 D, H, F] is the whole W of GATv2's eq. 7, receiver above sender."""
    labels, features = nodes.shape
    heads, size = vector.shape
    attention = np.zeros((heads, labels, labels))
    out = np.zeros((labels, heads, size))
    for head in range(heads):
        for i in range(labels):
            logits = []
            for j in range(labels):
                joined = np.concatenate([nodes[i], nodes[j]])
                logit = 0.0
                for f in range(size):
                    x = float(kernel[:, head, f] @ joined)
                    logit += vector[head, f] * (x if x > 0 else negative_slope * x)
                logits.append(logit)
            attention[head, i] = attention_row(
                logits,
                i,
                adjacency=adjacency,
                edge_weights=edge_weights,
                edge_bias=edge_bias,
                role=role,
            )
        senders = [kernel[features:, head, :].T @ node for node in nodes]
        out[:, head] = gathered(attention[head], senders)
    return out, attention


def relu_graph_attention(
    nodes, kernel, vector, *, adjacency=None, edge_weights=None, role="none"
):
    """ReLU(a^T [z_i || z_j]) with no softmax; `vector` [H, 2 F]."""
    labels, heads, size = len(nodes), kernel.shape[1], kernel.shape[2]
    attention = np.zeros((heads, labels, labels))
    out = np.zeros((labels, heads, size))
    for head in range(heads):
        z = [kernel[:, head, :].T @ node for node in nodes]
        for i in range(labels):
            if role == "fixed":
                attention[head, i] = attention_row(
                    np.zeros(labels),
                    i,
                    adjacency=adjacency,
                    edge_weights=edge_weights,
                    edge_bias=None,
                    role=role,
                )
                continue
            for j in range(labels):
                weight = None if edge_weights is None else edge_weights[i, j]
                score = concatenation_logit(vector[head], z[i], z[j], 1.0)
                if role == "additive":
                    score += weight
                alpha = max(score, 0.0)
                if role == "multiplicative":
                    alpha *= weight
                if role == "mask" and weight == 0:
                    alpha = 0.0
                if adjacency is not None and adjacency[i, j] == 0:
                    alpha = 0.0
                attention[head, i, j] = alpha
        out[:, head] = gathered(attention[head], z)
    return out, attention


def message_gate(free, message, kernel, bias):
    gates = []
    for own, received in zip(free, message, strict=True):
        joined = np.concatenate([own, received])
        raw = bias + sum(w * x for w, x in zip(kernel, joined, strict=True))
        gates.append(1.0 / (1.0 + math.exp(-raw)))
    return np.array(gates)
