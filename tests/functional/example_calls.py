"""A small call of every function of `lg.functional`, drawn from one table.

An array is written as its axes and its kind, `"B N target"`. Axes are letters whose
sizes a test may change; kinds are those of `draw`.
"""

import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import labelgraph_jax as lg
from labelgraph_jax.functional.text.block_attention import BlockWeights
from labelgraph_jax.functional.text.label_decoder import DecoderWeights
from labelgraph_jax.functional.text.recurrent import LstmWeights

SIZES = {
    "B": 3,  # documents of a batch
    "N": 4,  # labels
    "D": 3,  # features
    "H": 2,  # heads, or units of a recurrent network
    "F": 2,  # features of a head
    "S": 5,  # tokens
    "X": 3,  # experts
    "T": 2,  # tasks
    "K": 2,  # the best labels of a document
    "P": 2,  # true labels of a document
    "M": 6,  # keys of a memory, or edges
    "V": 7,  # tokens of a vocabulary
}

F = lg.functional


class Example(NamedTuple):
    """A call of a function.

    Attributes:
        call: takes the arrays by their names.
        arrays: axes and kind of each.
        host: NumPy in, NumPy out: no jit, vmap, gradient.
        smooth: whether the sum of what is returned has a gradient in the float arrays.
        forward: whether forward mode is supported.
        half: tolerance of bfloat16 against float32; None where scores are compared
            with each other, which rounding may change.
        partly: float arrays of which this call reads a part.
        any_shape: arrays that may have any axes, or broadcast.
        nan: float arrays in which NaN is told (refused, or there in the result); all of
            them if None.
    """

    call: Callable[..., Any]
    arrays: dict[str, str]
    host: bool = False
    smooth: bool = True
    forward: bool = True
    half: float | None = 0.1
    partly: tuple[str, ...] = ()
    any_shape: tuple[str, ...] = ()
    nan: tuple[str, ...] | None = None


def size_of(axis: str, sizes: Mapping[str, int]) -> int:
    """Of `4H`, `N+1`, `D` or a number."""
    if axis.isdigit():
        return int(axis)
    if axis[0].isdigit():
        return int(axis[0]) * sizes[axis[1:]]
    name, _, more = axis.partition("+")
    return sizes[name] + int(more or 0)


def draw(form: str, sizes: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    """An array of the axes and the kind that `form` names."""
    *axes, kind = form.split()
    shape = tuple(size_of(axis, sizes) for axis in axes)
    kind, _, limit = kind.partition(":")
    if kind == "float":
        return rng.normal(size=shape).astype(np.float32)
    if kind in ("unit", "positive"):
        least = 0.0 if kind == "unit" else 0.2
        return rng.uniform(least, 1.0, shape).astype(np.float32)
    if kind == "target":
        found = (rng.random(shape) < 0.4).astype(np.float32)
        if found.size:
            found.flat[0] = 1
        return found
    if kind == "bool":
        found = rng.random(shape) < 0.5
        return found
    if kind == "mask":
        found = rng.random(shape) < 0.7
        if found.size:
            found.flat[0] = True
        return found
    if kind == "count":
        return rng.integers(1, 9, shape)
    if kind == "id":
        return rng.integers(0, max(size_of(limit, sizes), 1), shape)
    if kind == "ids":  # each once in a row
        most = size_of(limit, sizes)
        rows = [
            rng.permutation(most)[: shape[-1]] for _ in range(int(np.prod(shape[:-1])))
        ]
        return np.array(rows, int).reshape(*shape[:-1], min(most, shape[-1]))
    if kind == "key":
        return np.asarray(jax.random.key_data(jax.random.key(3)))
    raise AssertionError(form)


def drawn(name: str, **sizes: int) -> dict[str, np.ndarray]:
    """The arrays of an example, with some sizes changed."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    sizes["K"] = min(SIZES["K"], sizes.get("N", SIZES["N"]))
    return {
        array: draw(form, SIZES | sizes, rng)
        for array, form in EXAMPLES[name].arrays.items()
    }


def parents(n: int) -> np.ndarray:
    """A chain: label i lies under label i - 1."""
    return np.array([[i, i - 1] for i in range(1, n)], np.int32).reshape(-1, 2)


def two_trees(n: int) -> np.ndarray:
    """Two chains: label i lies under label i - 2."""
    return np.array([[i, i - 2] for i in range(2, n)], np.int32).reshape(-1, 2)


def some_rules(n: int) -> Any:
    """An implication and an exclusion, among the first and the last labels."""
    return F.make_clauses([([0], [n - 1]), ([n - 1, n // 2], [])])


def ring(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Receivers and senders: every label receives from itself and from one more."""
    pairs = sorted({(i, j % n) for i in range(n) for j in (i, i + 1)})
    ends = np.array(pairs, np.int32).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def ringed(weights: Any, n: int) -> Any:
    """Edges of the ring; the weights are drawn as `[2N]`."""
    receivers, senders = (jnp.asarray(x) for x in ring(n))
    return F.Edges(receivers, senders, jnp.asarray(weights)[: len(receivers)])


def truth(targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Targets as rows of a CSR matrix."""
    positive = np.asarray(targets) > 0
    return np.concatenate([[0], positive.sum(1).cumsum()]), np.nonzero(positive)[1]


def tasks(*kinds: str) -> list[Any]:
    return [
        F.Task(f"{i}", kind, 2 if "multi" in kind else 1)
        for i, kind in enumerate(kinds)
    ]


MIXED = tasks("binary", "multi_label", "multi_class", "squared")  # six columns

GRAPH = {
    "nodes": "N D float",
    "kernel": "D H F float",
    "receiver_vector": "H F float",
    "sender_vector": "H F float",
}
CELLS = {"logits": "B N float", "targets": "B N target"}
DECISIONS = {"predictions": "B N bool", "targets": "B N target"}
SCORES = {"probabilities": "B N unit", "targets": "B N target"}
TOKENS = {"x": "B S D float", "mask": "B S mask"}
FACTORS = {"documents": "B D float", "labels": "N D float", "bias": "N float"}
LSTM = {
    "inputs": "B S D float",
    "mask": "B S mask",
    "input_kernel": "D 4H float",
    "recurrent_kernel": "H 4H float",
    "bias": "4H float",
}
DIRECTED = {
    "receiver_kernel": "D D float",
    "sender_kernel": "D D float",
    "bias": "D float",
}
POOLED = {
    "kernel": "D D float",
    "bias": "D float",
    "score_kernel": "D D float",
    "score_bias": "D float",
}
BLOCKS = {
    **{f"near {name}": form for name, form in DIRECTED.items()},
    **{f"pooling {name}": form for name, form in POOLED.items()},
    **{f"far {name}": form for name, form in DIRECTED.items()},
    **{"gate kernel": "2D D float", "gate bias": "D float"},
    **{"fusion kernel": "3D 2D float", "fusion bias": "2D float"},
}
MEMORY = {
    "queries": "B D float",
    "keys": "M D float",
    "label_ids": "M P ids:N",
    "weights": "M positive",
}
DECODER = {
    "embedding": "N+1 D float",
    "input_kernel": "D 4H float",
    "recurrent_kernel": "H 4H float",
    "bias": "4H float",
    "output_kernel": "H N+1 float",
    "output_bias": "N+1 float",
    "hidden": "B H float",
    "cell": "B H float",
}


def block_attention(x: Any, mask: Any, **arrays: Any) -> Any:
    parts = (
        tuple(arrays[name] for name in BLOCKS if name.split()[0] == part)
        for part in BlockWeights._fields
    )
    return F.block_self_attention(x, mask, BlockWeights(*parts), block=2)


def decoder(arrays: dict[str, Any]) -> Any:
    cell = LstmWeights(*(arrays.pop(name) for name in LstmWeights._fields))
    return DecoderWeights(
        arrays.pop("embedding"),
        cell,
        arrays.pop("output_kernel"),
        arrays.pop("output_bias"),
    )


def sequence_loss(*, targets: Any, counts: Any, **arrays: Any) -> Any:
    sequences = F.label_sequences(targets, counts, max_labels=2)
    return F.label_sequence_loss(decoder(arrays), sequences=sequences, **arrays)


def attend(method: str, form: Any = F.graph_attention, **options: Any) -> Any:
    def call(*, factors: Any = None, weights: Any = None, **arrays: Any) -> Any:
        given = dict(options)
        if factors is not None:
            given["edge_factors"] = (factors[0], factors[1])
        if weights is not None:
            given["edges"] = ringed(weights, len(arrays["nodes"]))
        return form(**arrays, method=method, **given)

    return call


def fits(probabilities: Any, targets: Any, counts: Any) -> Any:
    return F.ThresholdFits(F.count_cuts(probabilities, targets, counts), resamples=2)


def cross_fitted(probabilities: Any, targets: Any, counts: Any) -> Any:
    def decide(scores: Any, thresholds: Any) -> Any:
        return {
            rule: F.apply_thresholds(scores, cut) for rule, cut in thresholds.items()
        }

    made = fits(probabilities, targets, counts)
    return F.cross_fitted_decisions(made, probabilities, ["global"], decide)


def tanh_of(kernel: Any) -> Any:
    return lambda x: jnp.tanh(x @ jnp.asarray(kernel, x.dtype)).sum()


EXAMPLES: dict[str, Example] = {
    # Attention
    "graph_attention: dense": Example(
        lambda adjacency, bias, weights, **a: F.graph_attention(
            **a, adjacency=adjacency, edge_bias=bias, edge_weights=weights
        ),
        GRAPH
        | {"adjacency": "N N mask", "bias": "N N float", "weights": "N N positive"},
    ),
    "graph_attention: complete": Example(attend("complete"), GRAPH, forward=False),
    "graph_attention: factors": Example(
        attend("complete"), GRAPH | {"factors": "2 N 2 positive"}, forward=False
    ),
    "graph_attention: blocked": Example(
        attend("blocked"), GRAPH | {"edge_weights": "N N positive"}
    ),
    "graph_attention: sparse": Example(
        attend("sparse"), GRAPH | {"weights": "2N positive"}, forward=False
    ),
    "graph_attention: multiplicative": Example(
        attend("dense", role="multiplicative"), GRAPH | {"edge_weights": "N N float"}
    ),
    "graph_attention: fixed": Example(
        attend("dense", role="fixed"),
        GRAPH | {"edge_weights": "N N float"},
        nan=("nodes", "kernel", "edge_weights"),
    ),
    "graph_attention: mask": Example(
        attend("dense", role="mask"), GRAPH | {"edge_weights": "N N float"}
    ),
    "graph_attention: dropout": Example(
        lambda key, **a: F.graph_attention(
            **a, dropout_rate=0.3, key=key, method="dense"
        ),
        GRAPH | {"key": "key"},
    ),
    "relu_graph_attention: dense": Example(
        attend("dense", F.relu_graph_attention), GRAPH | {"edge_weights": "N N float"}
    ),
    "relu_graph_attention: complete": Example(
        attend("complete", F.relu_graph_attention, role="none"), GRAPH, forward=False
    ),
    "relu_graph_attention: factors": Example(
        attend("complete", F.relu_graph_attention),
        GRAPH | {"factors": "2 N 2 positive"},
        forward=False,
    ),
    "relu_graph_attention: sparse": Example(
        attend("sparse", F.relu_graph_attention),
        GRAPH | {"weights": "2N float"},
        forward=False,
    ),
    "graph_attention_v2": Example(
        F.graph_attention_v2,
        {
            "nodes": "N D float",
            "receiver_kernel": "D H F float",
            "sender_kernel": "D H F float",
            "vector": "H F float",
            "adjacency": "N N mask",
            "edge_weights": "N N positive",
        },
    ),
    "complete_attention": Example(
        lambda receivers, senders, values: F.complete_attention(
            receivers, senders, values, 0.2
        ),
        {"receivers": "N H float", "senders": "N H float", "values": "N H F float"},
        forward=False,
    ),
    "complete_relu_attention": Example(
        F.complete_relu_attention,
        {"receivers": "N H float", "senders": "N H float", "values": "N H F float"},
        forward=False,
    ),
    "masked_softmax": Example(
        F.masked_softmax,
        {"logits": "H N N float", "mask": "N N mask"},
        smooth=False,
        any_shape=("logits", "mask"),
    ),
    "message_gate": Example(
        F.message_gate,
        {
            "free": "N D float",
            "message": "N D float",
            "kernel": "2D float",
            "bias": "float",
        },
    ),
    "receiver_scores": Example(F.receiver_scores, {"receivers": "2 id:N"} | GRAPH),
    "receiver_scores_v2": Example(
        F.receiver_scores_v2,
        {
            "receivers": "2 id:N",
            "nodes": "N D float",
            "receiver_kernel": "D H F float",
            "sender_kernel": "D H F float",
            "vector": "H F float",
        },
    ),
    "receiver_attention": Example(
        F.receiver_attention,
        {
            "receivers": "2 id:N",
            "scores": "H 2 N float",
            "edge_weights": "N N positive",
        },
        partly=("edge_weights",),
    ),
    "receiver_attention: edges": Example(
        lambda weights, receivers, scores: F.receiver_attention(
            receivers, scores, edges=ringed(weights, scores.shape[2])
        ),
        {"receivers": "2 id:N", "scores": "H 2 N float", "weights": "2N positive"},
        partly=("scores", "weights"),
    ),
    # Graphs
    "adjacency_from_edges": Example(
        lambda weights: F.adjacency_from_edges(
            ringed(weights, len(weights) // 2), len(weights) // 2
        ),
        {"weights": "2N float"},
    ),
    "ancestor_matrix": Example(
        lambda labels: F.ancestor_matrix(parents(len(labels)), len(labels)),
        {"labels": "N float"},
        smooth=False,
        nan=(),
        any_shape=("labels",),
    ),
    "ancestor_probabilities": Example(
        lambda probabilities: F.ancestor_probabilities(
            probabilities,
            F.ancestor_matrix(parents(probabilities.shape[1]), probabilities.shape[1]),
        ),
        {"probabilities": "B N unit"},
    ),
    "conditional_adjacency": Example(
        F.conditional_adjacency,
        {"counts": "N N positive", "annotated": "N N positive"},
        partly=("counts", "annotated"),
    ),
    "cooccurrence": Example(
        F.cooccurrence, {"targets": "B N target", "target_mask": "B N mask"}
    ),
    "edges_from_adjacency": Example(
        F.edges_from_adjacency, {"adjacency": "N N positive"}, host=True
    ),
    "edges_from_pairs": Example(
        lambda labels: F.edges_from_pairs(parents(len(labels)), len(labels)),
        {"labels": "N float"},
        host=True,
        nan=(),
        any_shape=("labels",),
    ),
    "graph_convolution": Example(
        F.graph_convolution,
        {"nodes": "N D float", "kernel": "D F float", "adjacency": "N N float"},
    ),
    "gated_convolution": Example(
        F.gated_convolution,
        {
            "nodes": "N D float",
            "kernel": "D F float",
            "adjacency": "N N float",
            "gate_kernel": "D float",
            "gate_bias": "N float",
        },
    ),
    "graph_convolution: edges": Example(
        lambda weights, nodes, kernel: F.graph_convolution(
            nodes, kernel, ringed(weights, len(nodes))
        ),
        {"weights": "2N positive", "nodes": "N D float", "kernel": "D F float"},
        forward=False,
    ),
    "hierarchical_counts": Example(
        lambda decisions, targets, target_mask: F.hierarchical_counts(
            decisions,
            targets,
            F.ancestor_matrix(parents(targets.shape[1]), targets.shape[1]),
            target_mask=target_mask,
        ),
        {"decisions": "B N bool", "targets": "B N target", "target_mask": "B N mask"},
        smooth=False,
    ),
    "identity_adjacency": Example(
        lambda labels: F.identity_adjacency(len(labels)),
        {"labels": "N bool"},
        any_shape=("labels",),
    ),
    "imply_ancestors": Example(
        lambda decisions: F.imply_ancestors(
            decisions,
            F.ancestor_matrix(parents(decisions.shape[1]), decisions.shape[1]),
        ),
        {"decisions": "B N bool"},
    ),
    "make_edges": Example(
        lambda weights: F.make_edges(
            *ring(len(weights) // 2),
            weights[: len(ring(len(weights) // 2)[0])],
            n=len(weights) // 2,
        ),
        {"weights": "2N float"},
        host=True,
    ),
    "node_positions": Example(
        lambda weights: F.node_positions(weights, steps=3), {"weights": "N N unit"}
    ),
    "normalise_adjacency": Example(F.normalise_adjacency, {"adjacency": "N N float"}),
    "random_adjacency": Example(
        lambda key, labels: F.random_adjacency(key, len(labels)),
        {"key": "key", "labels": "N bool"},
        any_shape=("labels",),
    ),
    "similarity_adjacency": Example(
        lambda features: F.similarity_adjacency(features, neighbours=2),
        {"features": "N D float"},
        half=None,
    ),
    "summarise_hierarchical_counts": Example(
        lambda decisions, targets: F.summarise_hierarchical_counts(
            F.hierarchical_counts(
                np.asarray(decisions),
                np.asarray(targets),
                F.ancestor_matrix(parents(targets.shape[1]), targets.shape[1]),
            )
        ),
        {"decisions": "B N bool", "targets": "B N target"},
        host=True,
    ),
    "taxonomy_adjacency": Example(
        lambda labels: F.taxonomy_adjacency(parents(len(labels)), len(labels)),
        {"labels": "N bool"},
        any_shape=("labels",),
    ),
    "thresholded_adjacency": Example(
        lambda counts: F.thresholded_adjacency(counts, tau=0.3),
        {"counts": "N N positive"},
        smooth=False,
        half=None,
    ),
    "xavier_adjacency": Example(
        lambda key, labels: F.xavier_adjacency(key, len(labels)),
        {"key": "key", "labels": "N bool"},
        any_shape=("labels",),
    ),
    # Losses
    "adjusted_logits": Example(
        functools.partial(F.adjusted_logits, documents=20),
        {"logits": "B N float", "counts": "N count"},
    ),
    "asymmetric_loss": Example(F.asymmetric_loss, CELLS),
    "binary_cross_entropy": Example(
        F.binary_cross_entropy,
        CELLS | {"positive_weight": "N positive", "example_mask": "B mask"},
    ),
    "class_balanced_loss": Example(
        F.class_balanced_loss, CELLS | {"counts": "N count"}
    ),
    "distribution_balanced_loss": Example(
        functools.partial(F.distribution_balanced_loss, documents=20),
        CELLS | {"counts": "N count", "target_mask": "B N mask"},
    ),
    "focal_loss": Example(F.focal_loss, CELLS | {"target_mask": "B N mask"}),
    "symmetric_divergence": Example(
        F.symmetric_divergence,
        {"logits": "B N float", "other": "B N float", "target_mask": "B N mask"},
    ),
    "negative_tolerant_loss": Example(
        functools.partial(F.negative_tolerant_loss, documents=20),
        CELLS | {"counts": "N count"},
    ),
    "multi_task_loss": Example(
        functools.partial(F.multi_task_loss, tasks=MIXED),
        {
            "outputs": "B 6 float",
            "targets": "B 6 target",
            "log_variance": "4 float",
            "task_weights": "4 positive",
        },
    ),
    "task_loss_sums": Example(
        functools.partial(F.task_loss_sums, tasks=MIXED),
        {"outputs": "B 6 float", "targets": "B 6 target", "target_mask": "B 6 mask"},
    ),
    "task_probabilities": Example(
        functools.partial(F.task_probabilities, tasks=MIXED), {"outputs": "B 6 float"}
    ),
    "chunked_loss": Example(
        lambda positives, documents, labels, bias, weight: F.chunked_loss(
            documents, labels, bias, positives, chunk=3, positive_weight=weight
        ),
        {"positives": "B P ids:N"} | FACTORS | {"weight": "N positive"},
        forward=False,
    ),
    # Many labels
    "decision_counts": Example(
        lambda positives, documents, labels, bias, thresholds: F.decision_counts(
            documents, labels, bias, positives, thresholds, chunk=3, at_least_one=True
        ),
        {"positives": "B P ids:N"} | FACTORS | {"thresholds": "N unit"},
        smooth=False,
        half=None,
    ),
    "top_labels": Example(
        lambda **a: F.top_labels(**a, k=1, chunk=3), FACTORS, half=None
    ),
    "memory_labels": Example(
        lambda **a: F.memory_labels(**a, temperature=0.5, k=2, chunk=4),
        MEMORY,
        half=None,
        partly=("weights",),
    ),
    "memory_scores": Example(
        lambda **a: F.memory_scores(**a, temperature=0.5, k=2, labels=4),
        MEMORY,
        half=None,
        partly=("weights",),
    ),
    "mix_scores": Example(
        functools.partial(F.mix_scores, weight=0.3),
        {"classifier": "B N unit", "memory": "B N unit"},
    ),
    "mix_top_labels": Example(
        lambda ids, scores, others, shares, at_memory: F.mix_top_labels(
            (ids, scores), (others, shares), at_memory, weight=0.3, k=2
        ),
        {
            "ids": "B K ids:N",
            "scores": "B K unit",
            "others": "B K ids:N",
            "shares": "B K unit",
            "at_memory": "B K unit",
        },
        half=None,
    ),
    "nearest_keys": Example(
        lambda queries, keys: F.nearest_keys(queries, keys, k=2, chunk=4),
        {"queries": "B D float", "keys": "M D float"},
        half=None,
    ),
    # Few labels
    "shrunk_prior": Example(
        lambda counts: F.shrunk_prior(counts, 10), {"counts": "N count"}
    ),
    "pseudo_labels": Example(
        F.pseudo_labels,
        {"probabilities": "B N unit", "prior": "N unit"},
        half=None,
    ),
    "reservoir_insert": Example(
        lambda owners, uniforms: F.reservoir_insert(
            F.Reservoir.empty(6, 4)._replace(owners=owners), 1, uniforms
        ),
        {"owners": "M id:N", "uniforms": "2 unit"},
        smooth=False,
        half=None,
    ),
    "page_hinkley": Example(
        lambda value: F.page_hinkley(F.PageHinkley.start(), value),
        {"value": "float"},
        half=None,
        smooth=False,
    ),
    "running_quantile": Example(
        functools.partial(F.running_quantile, quantile=0.3),
        {"estimates": "N float", "values": "B N float", "mask": "B N mask"},
        half=None,
        smooth=False,
    ),
    "decayed_edges": Example(
        lambda weights, senders, receivers: F.decayed_edges(
            F.Edges(*[jnp.array([0, 1])] * 2, jnp.ones(2)),
            receivers,
            senders,
            weights,
            decay=0.9,
            n=4,
        ),
        {"weights": "M unit", "senders": "M id:N", "receivers": "M id:N"},
        half=None,
        smooth=False,
    ),
    "vote_model": Example(
        lambda votes, cast: F.vote_model(votes - cast, method="em"),
        {"votes": "B N id:2", "cast": "B N id:2"},
        host=True,
        any_shape=("votes", "cast"),
    ),
    "label_spreading": Example(
        lambda **a: F.label_spreading(**a, steps=3),
        {
            "targets": "B N target",
            "neighbours": "B 2 id:1",
            "similarities": "B 2 positive",
        },
    ),
    "gradient_reversal": Example(
        lambda features: F.gradient_reversal(features, 0.5),
        {"features": "B D float"},
        any_shape=("features",),
        smooth=False,  # on purpose not the gradient of what it returns
    ),
    "coral": Example(
        F.coral,
        {
            "source": "B D float",
            "target": "M D float",
            "source_mask": "B mask",
            "target_mask": "M mask",
        },
        partly=("source", "target"),
    ),
    "label_prior_shift": Example(
        lambda **a: F.label_prior_shift(**a, steps=5),
        {"probabilities": "B N unit", "prior": "N positive"},
    ),
    "bernoulli_divergence": Example(
        F.bernoulli_divergence,
        {"logits": "B N float", "other": "B N float"},
        any_shape=("logits", "other"),
    ),
    "virtual_adversarial_direction": Example(
        lambda inputs, kernel: F.virtual_adversarial_direction(
            lambda x: x @ jnp.asarray(kernel, x.dtype), inputs, jax.random.key(0)
        ),
        {"inputs": "B D float", "kernel": "D N float"},
        any_shape=("inputs", "kernel"),
    ),
    # Structure
    "descendant_max": Example(
        lambda scores: F.descendant_max(scores, parents(scores.shape[-1])),
        {"scores": "B N float"},
        any_shape=("scores",),
    ),
    "hierarchy_loss": Example(
        lambda **a: F.hierarchy_loss(**a, parents=parents(a["logits"].shape[1])),
        {
            "logits": "B N float",
            "targets": "B N target",
            "target_mask": "B N mask",
            "example_mask": "B mask",
        },
        partly=("logits", "targets"),
    ),
    "recursive_regularisation": Example(
        lambda vectors: F.recursive_regularisation(vectors, parents(len(vectors))),
        {"vectors": "N D float"},
    ),
    "hierarchy_contrast": Example(
        lambda vectors: F.hierarchy_contrast(
            vectors, two_trees(len(vectors)), jax.random.key(0)
        ),
        {"vectors": "N D float"},
    ),
    "label_overlap": Example(
        F.label_overlap,
        {"targets": "B N target", "others": "M N target"},
        smooth=False,
        nan=(),
    ),
    "overlap_contrast": Example(
        lambda **a: F.overlap_contrast(**a, temperature=1.0),
        {
            "vectors": "B D float",
            "targets": "B N target",
            "keys": "M D float",
            "key_targets": "M N target",
            "key_mask": "M mask",
            "label_vectors": "N D float",
            "example_mask": "B mask",
        },
        nan=("vectors", "keys", "label_vectors"),
        partly=("vectors",),
    ),
    "make_clauses": Example(
        lambda labels: F.make_clauses([([i], []) for i in range(len(labels))]),
        {"labels": "N bool"},
        host=True,
        any_shape=("labels",),
    ),
    "broken_rules": Example(
        lambda decided: F.broken_rules(decided, some_rules(decided.shape[1])),
        {"decided": "B N bool"},
        host=True,
    ),
    "decode_rules": Example(
        lambda scores, decided: F.decode_rules(
            scores, some_rules(scores.shape[1]), decided
        ),
        {"scores": "B N float", "decided": "B N bool"},
        host=True,
        half=None,
    ),
    "rule_loss": Example(
        lambda logits, weights: F.rule_loss(
            logits, some_rules(logits.shape[1]), weights=weights
        ),
        {"logits": "B N float", "weights": "T unit"},
        any_shape=("weights",),
    ),
    "shield_rules": Example(
        lambda scores: F.shield_rules(scores, some_rules(scores.shape[-1])),
        {"scores": "B N float"},
        any_shape=("scores",),
    ),
    "shield_loss": Example(
        lambda logits, targets: F.shield_loss(
            logits, targets, some_rules(logits.shape[1])
        ),
        {"logits": "B N float", "targets": "B N target"},
        partly=("logits", "targets"),
    ),
    "shield_decisions": Example(
        lambda scores, decided: F.shield_decisions(
            scores, some_rules(scores.shape[1]), decided
        ),
        {"scores": "B N float", "decided": "B N bool"},
        host=True,
        half=None,
    ),
    "shield_reasons": Example(
        lambda probabilities, decided: F.shield_reasons(
            probabilities, some_rules(probabilities.shape[1]), decided
        ),
        {"probabilities": "B N unit", "decided": "B N bool"},
        host=True,
        half=None,
    ),
    "unsatisfiable_rules": Example(
        lambda labels: F.unsatisfiable_rules(some_rules(len(labels))),
        {"labels": "N bool"},
        host=True,
        any_shape=("labels",),
    ),
    "unreachable_labels": Example(
        lambda labels: F.unreachable_labels(some_rules(len(labels))),
        {"labels": "N bool"},
        host=True,
        any_shape=("labels",),
    ),
    # Metrics
    "calibration_bins": Example(
        lambda **a: F.calibration_bins(**a, bins=3), SCORES, host=True, half=None
    ),
    "confused_with": Example(F.confused_with, DECISIONS, smooth=False),
    "evaluate_scores": Example(
        lambda **a: F.evaluate_scores(
            **a, train_label_counts=np.full(a["targets"].shape[1], 3), train_documents=9
        ),
        SCORES | {"thresholds": "N unit"},
        host=True,
        half=None,
    ),
    "expected_calibration_error": Example(
        lambda **a: F.expected_calibration_error(F.calibration_bins(**a, bins=3)),
        SCORES,
        host=True,
        half=None,
    ),
    "pair_agreement": Example(
        F.pair_agreement,
        {"first": "B N unit", "second": "B N target", "mask": "B N mask"},
        host=True,
        half=None,
    ),
    "fleiss_kappa": Example(F.fleiss_kappa, {"votes": "B N count"}, host=True),
    "masi_distance": Example(
        F.masi_distance,
        {"first": "B N target", "second": "V N target"},
        host=True,
    ),
    "krippendorff_alpha": Example(
        lambda values, distances: F.krippendorff_alpha(values, distances),
        {"values": "2 B id:N", "distances": "N N positive"},
        host=True,
    ),
    "f1_from_counts": Example(
        lambda hits, more, most: F.f1_from_counts(hits, hits + more, hits + most),
        {"hits": "N count", "more": "N count", "most": "N count"},
        host=True,
    ),
    "group_hits": Example(
        lambda scores, targets: F.group_hits(scores, targets, np.array([0]), 2),
        {"scores": "B N unit", "targets": "B N target"},
        smooth=False,
        half=None,
    ),
    "group_ranking_metrics": Example(
        lambda scores, targets: F.group_ranking_metrics(
            scores, targets, {"first": np.array([0])}
        ),
        {"scores": "B N unit", "targets": "B N target"},
        host=True,
        half=None,
    ),
    "label_counts": Example(
        F.label_counts,
        DECISIONS | {"target_mask": "B N mask", "example_mask": "B mask"},
        smooth=False,
    ),
    "label_f1": Example(
        lambda **a: F.label_f1(F.label_counts(**a)), DECISIONS, host=True
    ),
    "log_loss": Example(
        F.log_loss, {"logits": "B float", "targets": "B target"}, host=True
    ),
    "missed_together": Example(F.missed_together, DECISIONS, smooth=False),
    "pr_auc": Example(
        F.pr_auc, {"scores": "B unit", "targets": "B target"}, host=True, half=None
    ),
    "rmse": Example(F.rmse, {"values": "B float", "targets": "B float"}, host=True),
    "roc_auc": Example(
        F.roc_auc, {"scores": "B unit", "targets": "B target"}, host=True, half=None
    ),
    "task_metrics": Example(
        functools.partial(F.task_metrics, tasks=MIXED),
        {"outputs": "B 6 float", "targets": "B 6 target"},
        host=True,
        half=None,
    ),
    "ranked_metrics": Example(
        lambda ids, targets: F.ranked_metrics(
            np.asarray(ids), *truth(targets), labels=targets.shape[1], ks=(1,)
        ),
        {"ids": "B K ids:N", "targets": "B N bool"},
        host=True,
        any_shape=("targets",),
    ),
    "competing_r_precision": Example(
        lambda ids, targets: F.competing_r_precision(
            np.asarray(ids),
            *truth(targets),
            {"first": np.array([0])},
            labels=targets.shape[1],
            k=1,
        ),
        {"ids": "B K ids:N", "targets": "B N bool"},
        host=True,
        any_shape=("targets",),
    ),
    "ranked_group_metrics": Example(
        lambda ids, targets: F.ranked_group_metrics(
            np.asarray(ids),
            *truth(targets),
            {"first": np.array([0])},
            labels=targets.shape[1],
        ),
        {"ids": "B K ids:N", "targets": "B N bool"},
        host=True,
        any_shape=("targets",),
    ),
    "summarise_label_counts": Example(
        lambda **a: F.summarise_label_counts(F.label_counts(**a)), DECISIONS, host=True
    ),
    # Decisions
    "apply_thresholds": Example(
        functools.partial(F.apply_thresholds, at_least_one=True),
        {"probabilities": "B N unit", "thresholds": "N unit"},
        smooth=False,
        half=None,
    ),
    "calibrated_cut": Example(
        lambda hits, more: F.calibrated_cut(
            np.linspace(-2, 2, len(hits)),
            np.sort(hits)[::-1],
            np.sort(hits + more)[::-1],
        ),
        {"hits": "V count", "more": "V count"},
        host=True,
    ),
    "fit_calibration": Example(
        lambda logits, positives: F.fit_calibration(logits, positives)[:2],
        {"logits": "B float", "positives": "B bool"},
        host=True,
    ),
    "ranking_within_groups": Example(
        F.ranking_within_groups,
        {"scores": "B unit", "targets": "B target", "groups": "B ids:N"},
        host=True,
        half=None,
    ),
    "count_cuts": Example(
        lambda **a: F.count_cuts(**a).hits,
        SCORES | {"label_counts": "N count"},
        host=True,
        half=None,
    ),
    "ThresholdFits": Example(
        lambda **a: fits(**a).fit(["global", "sloped", "label"]),
        SCORES | {"counts": "N count"},
        host=True,
        half=None,
    ),
    "cross_fitted_decisions": Example(
        cross_fitted, SCORES | {"counts": "N count"}, host=True, half=None
    ),
    "decide_top_k": Example(
        lambda probabilities: F.decide_top_k(probabilities, 2),
        {"probabilities": "B N unit"},
        smooth=False,
        half=None,
    ),
    "fit_global_threshold": Example(
        F.fit_global_threshold, SCORES, host=True, half=None
    ),
    "fit_global_threshold_ranked": Example(
        lambda ids, probabilities, targets: F.fit_global_threshold_ranked(
            np.asarray(ids), probabilities, *truth(targets)
        ),
        {"ids": "B K ids:N", "probabilities": "B K unit", "targets": "B N bool"},
        host=True,
        half=None,
        any_shape=("targets",),
    ),
    "fit_label_thresholds": Example(
        F.fit_label_thresholds, SCORES, host=True, half=None
    ),
    "fit_top_k": Example(F.fit_top_k, SCORES, host=True, half=None),
    "simplest_rule": Example(
        lambda one, other, targets: F.simplest_rule(
            {"one": one, "other": other}, targets
        ),
        {"one": "B N bool", "other": "B N bool", "targets": "B N target"},
        host=True,
    ),
    # Mixtures and rankers
    "balanced_weights": Example(F.balanced_weights, {"log_weights": "T float"}),
    "expert_access": Example(
        lambda gates: F.expert_access(gates.shape[1], 1, 2),
        {"gates": "B T bool"},
        host=True,
        any_shape=("gates",),
    ),
    "gradient_norm_loss": Example(
        F.gradient_norm_loss,
        {
            "log_weights": "T float",
            "norms": "T positive",
            "losses": "T positive",
            "first_losses": "T positive",
        },
    ),
    "gradient_products": Example(
        lambda **a: F.gradient_products(a),
        {"a": "T D float", "b": "T F D float"},
        any_shape=("a", "b"),
    ),
    "joint_outputs": Example(
        lambda outputs: F.joint_outputs(
            outputs,
            [
                F.Task("click", "binary"),
                F.Task("rating", "squared"),
                F.Task("buy", "binary", given="click"),
            ],
        ),
        {"outputs": "B 3 float"},
    ),
    "normalise_experts": Example(
        F.normalise_experts,
        {"units": "B X D float", "scale": "X D float", "shift": "X D float"},
        any_shape=("units",),
    ),
    "project_conflicts": Example(
        lambda gradients, key: F.project_conflicts(
            F.gradient_products(gradients), key=key
        ),
        {"gradients": "T D float", "key": "key"},
        half=None,
        any_shape=("gradients",),
    ),
    "cross_stitch": Example(
        F.cross_stitch,
        {"features": "B T F float", "stitch": "T T float"},
        any_shape=("features",),
    ),
    "draw_gate_keep": Example(
        lambda key, gates: F.draw_gate_keep(key, gates.shape, 0.3),
        {"key": "key", "gates": "B T X bool"},
        any_shape=("gates",),
    ),
    "gate_statistics": Example(
        lambda weights, mask: F.gate_statistics(F.gate_sums(weights, mask)),
        {"weights": "B T X positive", "mask": "B mask"},
        smooth=False,
    ),
    "gate_sums": Example(
        lambda weights: F.gate_sums(weights), {"weights": "B T X positive"}, half=None
    ),
    "gate_weights": Example(
        lambda gate_logits, keep: F.gate_weights(gate_logits, keep=keep),
        {"gate_logits": "B T X float", "keep": "B T X mask"},
        smooth=False,
    ),
    "mix_experts": Example(
        lambda **a: F.mix_experts(**a, gate_dropout=0.3),
        {"expert_outputs": "B X F float", "gate_logits": "B T X float", "key": "key"},
    ),
    "add_position_logits": Example(
        lambda outputs, logits: F.add_position_logits(outputs, logits, (1, 0)),
        {"outputs": "B 3 float", "logits": "B T float"},
    ),
    "drop_positions": Example(
        lambda key, positions: F.drop_positions(key, positions, 0.3),
        {"key": "key", "positions": "B count"},
        any_shape=("positions",),
    ),
    "position_logits": Example(
        F.position_logits,
        {"table": "2 4 T float", "positions": "B count", "groups": "B id:2"},
        partly=("table",),
    ),
    "weighted_product": Example(
        F.weighted_product, {"values": "B T positive", "weights": "T float"}
    ),
    "weighted_sum": Example(
        F.weighted_sum, {"values": "B T float", "weights": "T float"}
    ),
    # Text
    "bag_of_counts": Example(
        F.bag_of_counts,
        {"table": "V D float", "counts": "B V positive", "token_weights": "V positive"},
    ),
    "bag_of_embeddings": Example(
        F.bag_of_embeddings,
        {
            "table": "V D float",
            "token_ids": "B S id:V",
            "mask": "B S mask",
            "token_weights": "V positive",
        },
        partly=("table", "token_weights"),
    ),
    "ridge_token_table": Example(
        lambda shares, targets, start: F.ridge_token_table(
            shares, targets, start, strength=0.5, steps=4
        ),
        {"shares": "B V unit", "targets": "B D float", "start": "V D float"},
    ),
    "bidirectional_lstm": Example(
        lambda inputs, mask, input_kernel, recurrent_kernel, bias: F.bidirectional_lstm(
            inputs, mask, *[(input_kernel, recurrent_kernel, bias)] * 2
        ),
        LSTM,
        forward=False,
    ),
    "lstm": Example(F.lstm, LSTM, forward=False),
    "greedy_decode": Example(
        lambda **a: F.greedy_decode(decoder(a), **a, max_labels=2),
        DECODER,
        half=None,
        forward=False,
        partly=("embedding",),
    ),
    "label_sequence_loss": Example(
        sequence_loss,
        {"targets": "B N target", "counts": "N count"} | DECODER,
        forward=False,
        partly=("embedding",),
    ),
    "label_sequences": Example(
        functools.partial(F.label_sequences, max_labels=2),
        {"targets": "B N target", "label_counts": "N count"},
        smooth=False,
    ),
    "label_attention_scores": Example(
        functools.partial(F.label_attention_scores, chunk_labels=3),
        {
            "tokens": "B S D float",
            "mask": "B S mask",
            "queries": "N D float",
            "outputs": "N D float",
        },
    ),
    "attention_pooling": Example(F.attention_pooling, TOKENS | POOLED),
    "block_self_attention": Example(block_attention, TOKENS | BLOCKS),
    "directed_attention": Example(F.directed_attention, TOKENS | DIRECTED),
    "document_graph_scores": Example(
        functools.partial(F.document_graph_scores, role="none"),
        {
            "tokens": "B S D float",
            "mask": "B S mask",
            "queries": "N D float",
            "outputs": "N D float",
            "kernel": "D H D float",
            "receiver_vector": "H D float",
            "sender_vector": "H D float",
            "scale": "float",
        },
    ),
    "label_documents": Example(
        F.label_documents,
        {"tokens": "B S D float", "mask": "B S mask", "queries": "N D float"},
    ),
    "label_attention_weights": Example(
        F.label_attention_weights,
        {"tokens": "B S D float", "mask": "B S mask", "queries": "N D float"},
        smooth=False,
    ),
    "masked_max": Example(F.masked_max, TOKENS),
    "masked_mean": Example(F.masked_mean, TOKENS),
    "pool_windows": Example(
        F.pool_windows, {"vectors": "B S D float", "mask": "B S mask"}
    ),
    "text_convolution": Example(
        F.text_convolution, TOKENS | {"kernel": "2 D F float", "bias": "F float"}
    ),
    "token_convolution": Example(
        F.token_convolution, TOKENS | {"kernel": "3 D F float", "bias": "F float"}
    ),
    # Attribution
    "gradient_times_input": Example(
        lambda inputs, kernel: F.gradient_times_input(tanh_of(kernel), inputs),
        {"inputs": "S D float", "kernel": "D F float"},
        any_shape=("inputs", "kernel"),
    ),
    "integrated_gradients": Example(
        lambda inputs, kernel: F.integrated_gradients(tanh_of(kernel), inputs, steps=3),
        {"inputs": "S D float", "kernel": "D F float"},
        any_shape=("inputs", "kernel"),
    ),
    "completeness": Example(
        lambda inputs, kernel: F.completeness(
            F.gradient_times_input(tanh_of(kernel), inputs)
        ),
        {"inputs": "S D float", "kernel": "D F float"},
        smooth=False,
        any_shape=("inputs", "kernel"),
    ),
}
