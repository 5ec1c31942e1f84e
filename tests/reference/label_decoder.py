"""The label decoder as plain loops: one document, one step, one symbol at a time."""

import math

import numpy as np

from tests.reference.recurrent import lstm


def label_order(counts):
    """Labels, the most frequent first."""
    return sorted(range(len(counts)), key=lambda n: (-counts[n], n))


def written_labels(targets, counts, max_labels, annotated=None):
    """What each document's sequence is: at most `max_labels` labels."""
    sequences = []
    for b in range(len(targets)):
        labels = [
            n
            for n in label_order(counts)
            if targets[b, n] > 0 and (annotated is None or annotated[b, n])
        ]
        sequences.append(labels[:max_labels])
    return sequences


def symbol_probabilities(weights, hidden, cell, last, free):
    """Probability of each free symbol after one more step, and the new state."""
    _, hidden, cell = lstm(
        weights.embedding[last][None, None],
        np.ones((1, 1), bool),
        *weights.cell,
        initial_hidden=hidden[None],
        initial_cell=cell[None],
    )
    hidden, cell = hidden[0], cell[0]
    scores = hidden @ weights.output_kernel + weights.output_bias
    total = sum(math.exp(scores[m]) for m in free)
    return {m: math.exp(scores[m]) / total for m in free}, hidden, cell


def label_sequence_loss(
    weights, hidden, cell, targets, counts, max_labels, annotated=None, real=None
):
    documents, labels = targets.shape
    steps = min(max_labels, labels)
    loss_sum = weight_sum = 0.0
    sequences = written_labels(targets, counts, steps, annotated)
    for b in range(documents):
        if real is not None and not real[b]:
            continue
        free = {n for n in range(labels) if annotated is None or annotated[b, n]}
        if not free:
            continue
        free.add(labels)
        state, last = (hidden[b], cell[b]), labels
        for symbol in [*sequences[b], labels][:steps]:
            chances, *state = symbol_probabilities(weights, *state, last, free)
            loss_sum -= math.log(chances[symbol])
            weight_sum += 1
            free.discard(symbol)
            last = symbol
    return loss_sum, weight_sum


def greedy_decode(weights, hidden, cell, max_labels):
    documents, labels = len(hidden), len(weights.output_bias) - 1
    steps = min(max_labels, labels)
    probabilities = np.zeros((documents, labels))
    symbols = np.full((documents, steps), labels)
    for b in range(documents):
        missed = np.ones(labels)
        free, state, last = set(range(labels + 1)), (hidden[b], cell[b]), labels
        for t in range(steps):
            chances, *state = symbol_probabilities(weights, *state, last, free)
            for n in free - {labels}:
                missed[n] *= 1 - chances[n]
            last = max(sorted(free), key=lambda m: chances[m])
            if last == labels:
                break
            symbols[b, t] = last
            free.discard(last)
        probabilities[b] = 1 - missed
    return probabilities, symbols
