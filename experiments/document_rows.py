"""Label attention, without and with a graph in every document, as rows of a table.

Documents are read as words, whose vectors lie in the space of principal directions of
TF-IDF, as those of the other rows of `graph_worth` do. A label reads the words with a
query of its own (label attention); in the second row labels that stand together then
send each other what they read, document by document.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from labelgraph_jax.data.tokenizers.units import words_of
from labelgraph_jax.functional.attention.document_graph import document_graph_scores
from labelgraph_jax.functional.graph.adjacency import conditional_adjacency
from labelgraph_jax.functional.text.label_attention import label_attention_scores
from labelgraph_jax.modules.parameters import log_odds
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.cross_fitting import CUTS, Folds
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.runs.lsa import LENGTH, lsa_vectors

ATTENTION, GRAPH = "label attention", "label attention, graph of the document"
ROWS = {ATTENTION: "", GRAPH: ATTENTION}
"""Names of the rows, and of each the row that differs in its messages alone."""
DECAYS = (1e-3, 1e-2)
WORDS, TOKENS, WIDTH, HEADS = 4_000, 48, 64, 2
"""Words that are told apart, words read of a text, width of their vectors, heads."""
STEPS, RATE = 100, 0.05


class Texts(NamedTuple):
    """Texts as their words.

    Attributes:
        vectors: of the words, `[V, D]`; the first is no word.
        ids: of each text, 0 where there is none.
    """

    vectors: Float[np.ndarray, "V D"]
    ids: Int[np.ndarray, "M S"]


def words_read(texts: Sequence[str], others: Sequence[str]) -> Texts:
    """Read the first different words of some texts, and of others behind them.

    Args:
        texts: that words and directions are learned from.
        others: further ones.
    """
    split = [
        list(dict.fromkeys(words_of(text[:LENGTH].lower())))
        for text in (*texts, *others)
    ]
    counts: dict[str, int] = {}
    for words in split[: len(texts)]:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    known = sorted((w for w in counts if counts[w] > 1), key=lambda w: -counts[w])
    known = known[:WORDS]
    vectors = lsa_vectors(texts, known, dimensions=WIDTH)[len(texts) :]
    place = {word: row for row, word in enumerate(known, 1)}
    ids = np.zeros((len(split), TOKENS), np.int32)
    for row, words in enumerate(split):
        own = [place[word] for word in words if word in place][:TOKENS]
        ids[row, : len(own)] = own
    return Texts(np.pad(vectors, ((1, 0), (0, 0))), ids)


def scored(
    params: dict[str, Array],
    vectors: Float[Array, "V D"],
    ids: Int[Array, "M S"],
    adjacency: Float[Array, "N N"] | None,
) -> Float[Array, "M N"]:
    """The logits of texts; with an adjacency labels send each other what they read."""
    tokens, mask = vectors[ids], ids > 0
    sides = params["queries"], params["outputs"]
    if adjacency is None:
        return label_attention_scores(tokens, mask, *sides) + params["bias"]
    names = ("kernel", "receiver_vector", "sender_vector", "scale")
    graph = [params[name] for name in names]
    scores = document_graph_scores(tokens, mask, *sides, *graph, edge_weights=adjacency)
    return scores + params["bias"]


@partial(jax.jit, static_argnames=("steps",))
def fitted(
    vectors: Float[Array, "V D"],
    ids: Int[Array, "M S"],
    targets: Float[Array, "M N"],
    weights: Float[Array, " M"],
    decay: Float[Array, ""],
    adjacency: Float[Array, "N N"] | None,
    *,
    steps: int = STEPS,
) -> dict[str, Array]:
    """Fit a row to weighed documents by Adam over all of them.

    Args:
        vectors: of the tokens.
        ids: of the tokens of each text.
        targets: 0 or 1.
        weights: of the documents; 0 leaves one out.
        decay: of the squares of queries and outputs.
        adjacency: of the messages; None without.
        steps: how many.
    """
    labels, width = targets.shape[1], vectors.shape[1]
    keys = jax.random.split(jax.random.key(0), 4)
    normal = partial(jax.random.normal, dtype=jnp.float32)
    total = jnp.sum(weights)
    start = {
        "queries": 0.01 * normal(keys[0], (labels, width)),
        "outputs": jnp.zeros((labels, width)),
        "bias": log_odds((weights @ targets + 0.5) / (total + 1)),
    }
    if adjacency is not None:
        start |= {
            "kernel": normal(keys[1], (width, HEADS, width)) * width**-0.5,
            "receiver_vector": 0.1 * normal(keys[2], (HEADS, width)),
            "sender_vector": 0.1 * normal(keys[3], (HEADS, width)),
            "scale": jnp.zeros(()),
        }

    def loss(params: dict[str, Array]) -> Float[Array, ""]:
        logits = scored(params, vectors, ids, adjacency)
        cells = optax.sigmoid_binary_cross_entropy(logits, targets)
        squares = sum(jnp.sum(params[n] ** 2) for n in ("queries", "outputs"))
        return weights @ cells.sum(axis=1) / total + decay * squares / width

    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def advance(state: Any, _: None) -> tuple[Any, None]:
        params, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return (optax.apply_updates(params, updates), moments), None

    state = start, optimizer.init(start)
    return jax.lax.scan(advance, state, None, length=steps)[0][0]


_scores = jax.jit(scored)


def decided_rows(
    texts: Texts, rows: np.ndarray, targets: np.ndarray, asked: np.ndarray, *, seed: int
) -> dict[str, np.ndarray]:
    """What both rows decide of the texts that are asked for.

    Decay and decision are chosen by cross-fitting among the labelled documents.

    Args:
        texts: all of them.
        rows: of the labelled ones.
        targets: of these, 0 or 1.
        asked: rows of the texts to decide.
        seed: of the folds.

    Returns:
        By the name of the row, bool.
    """
    targets = np.asarray(targets, np.float32)
    folds, ids = Folds(targets, seed), texts.ids[rows]
    found = {}
    for name in ROWS:
        best = -1.0
        graphs = [
            conditional_adjacency(targets[kept].T @ targets[kept])
            if name == GRAPH
            else None
            for kept in folds.keep
        ]
        for decay in DECAYS:
            scores = np.zeros(targets.shape, np.float32)
            for f, (weights, graph) in enumerate(zip(folds.rows, graphs, strict=True)):
                params = fitted(
                    texts.vectors,
                    ids,
                    targets,
                    weights.astype(np.float32),
                    jnp.float32(decay),
                    graph,
                )
                if f < len(graphs) - 1:
                    held = folds.fold == f
                    logits = _scores(params, texts.vectors, ids, graph)
                    scores[held] = np.asarray(jax.nn.sigmoid(logits))[held]
            value = max(_f1(scores >= cut, targets) for cut in CUTS)
            if value > best:
                best, kept = value, (params, graphs[-1], scores)
        params, graph, scores = kept
        decision: Decision = choose_decision(
            folds.thresholds, Predictions.of_all(scores, targets), targets.sum(axis=0)
        )
        logits = _scores(params, texts.vectors, texts.ids[asked], graph)
        found[name] = decision.decide(np.asarray(jax.nn.sigmoid(logits), np.float32))
    return found


def _f1(decided: np.ndarray, targets: np.ndarray) -> float:
    """The sum of micro- and macro-F1 over the labels that occur."""
    wanted = targets[:, targets.any(axis=0)] > 0
    decided = decided[:, targets.any(axis=0)]
    hits, size = (decided & wanted).sum(axis=0), decided.sum(0) + wanted.sum(0)
    return float(2 * hits.sum() / size.sum() + np.mean(2 * hits / np.maximum(size, 1)))
