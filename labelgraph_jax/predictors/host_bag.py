"""A bag of embeddings and its labels on the processor, without a compiled program.

A document is a sparse row over the vocabulary, times the table of embeddings: only its
distinct tokens are read. The compiled network reads a row of the table for each place
of a padded batch, and is compiled anew for every shape of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array

from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.training.progress import track

DOCUMENTS = 512
"""Documents whose tokens are counted at a time."""
PRODUCTS = 16 * DOCUMENTS
"""Documents whose logits are made at a time."""
ALONE = 500_000
"""Multiplications that OpenBLAS does in the thread that asks. For more it wakes others,
which then stay awake for longer than a product of few labels takes."""
DAMPED: Mapping[str, Callable[[Any], Any]] = {
    "none": lambda counts: counts,
    "sqrt": np.sqrt,
    "log": lambda counts: 1 + np.log(counts),
    "binary": np.ones_like,
}


@dataclass(frozen=True)
class HostBag:
    """Network over token counts, computed on the host.

        sigmoid(relu(bag + bias) @ labels.T + label_bias)

    Of a fused bag the average of the second kind of tokens stands beside the relu.

    Attributes:
        table: the embedding of each token.
        token_weights: what each weighs; of a fused bag among either kind.
        bias: of the document vector, which is then rectified; None where it is not.
        labels: a vector per label.
        label_bias: one number per label.
        window_pooling: `mean` or `max`.
        damping, norm: of the bag, see `functional.bag_of_embeddings`.
    """

    table: Float[np.ndarray, "V D"]
    token_weights: Float[np.ndarray, "V ..."]
    bias: Float[np.ndarray, " D"] | None
    labels: Float[np.ndarray, "N D"]
    label_bias: Float[np.ndarray, " N"]
    window_pooling: str
    damping: str
    norm: str

    def __call__(self, examples: Examples) -> Predictions:
        """Predictions of all documents, in their order; none is padded."""
        count = len(examples)
        found = np.empty((count, len(self.labels)), np.float32)
        parts = (
            {"example_index": np.arange(start, min(start + DOCUMENTS, count))}
            for start in range(0, count, DOCUMENTS)
        )
        vectors: list[np.ndarray] = []
        for part in track(parts, total=count, what="scoring"):
            rows = part["example_index"]
            vectors.append(self._vectors(examples, slice(rows[0], rows[-1] + 1)))
            last = int(rows[-1]) + 1
            if len(vectors) * DOCUMENTS >= PRODUCTS or last == count:
                logits = self._logits(np.concatenate(vectors))
                with np.errstate(over="ignore"):
                    found[last - len(logits) : last] = 1 / (1 + np.exp(-logits))
                vectors = []
        return Predictions(None, found, len(self.labels))

    def vectors(self, examples: Examples) -> Float[np.ndarray, "M D"]:
        """Vectors of all documents, in their order."""
        starts = range(0, len(examples), DOCUMENTS)
        parts = [self._vectors(examples, slice(i, i + DOCUMENTS)) for i in starts]
        return np.concatenate(parts).astype(np.float32)

    def _logits(self, vectors: Float[np.ndarray, "B D"]) -> Float[np.ndarray, "B N"]:
        rows = ALONE // max(self.labels.size, 1)
        if rows < 4:  # so many labels are worth it
            return vectors @ self.labels.T + self.label_bias
        parts = range(0, len(vectors), rows)
        products = [vectors[i : i + rows] @ self.labels.T for i in parts]
        return np.concatenate(products) + self.label_bias

    def _vectors(self, examples: Examples, rows: slice) -> Float[np.ndarray, "B D"]:
        assert examples.windows is not None
        # Without windows a document is a row that holds nothing.
        nothing = [] if examples.windowed else [np.zeros(0, np.int32)]
        windows = [w for own in examples.windows[rows] for w in own or nothing]
        values = None
        if examples.token_values is not None:
            values = [w for own in examples.token_values[rows] for w in own or nothing]
        weights = self.token_weights.reshape(len(self.table), -1)
        kinds = (self.damping, self.norm), ("none", "l2")
        first, *second = (
            bags(self.table, own, windows, values, damping=damping, norm=norm)
            for own, (damping, norm) in zip(weights.T, kinds, strict=False)
        )
        if self.bias is not None:
            first = np.maximum(first + self.bias, 0)
        vectors = np.concatenate([first, *second], axis=1) if second else first
        if not examples.windowed:
            return vectors
        return _pooled(
            vectors,
            np.fromiter(map(len, windows), np.int64, len(windows)) > 0,
            examples.window_counts[rows],
            self.window_pooling,
        )


def host_bag(
    classifier: Classifier,
    params: Params,
    label_side: Callable[[Params], tuple[jax.Array, jax.Array]] | None = None,
) -> HostBag | None:
    """A network as a `HostBag`, where it is one and there is nothing faster at hand.

    Args:
        classifier: the network.
        params: its parameters.
        label_side: of the network, compiled, where it is wanted again and again.
    """
    encoder = classifier.module.text_encoder
    own = params.get("text_encoder", {})
    is_bag = (
        isinstance(classifier.module, Magnet)
        and not classifier.is_structured
        and encoder.kind == "bag"
        and "token_weight" in own
        and not encoder.hidden_features
    )
    if not is_bag or jax.default_backend() != "cpu" or jax.process_count() > 1:
        return None
    labels, label_bias = (label_side or jax.jit(classifier.label_side))(params)
    return HostBag(
        np.asarray(own["embedding"]["embedding"]),
        np.asarray(own["token_weight"]),
        np.asarray(own["bias"]) if encoder.rectify else None,
        np.asarray(labels),
        np.asarray(label_bias),
        encoder.window_pooling,
        encoder.damping,
        encoder.norm,
    )


def bags(
    table: Float[np.ndarray, "V D"],
    token_weights: Float[np.ndarray, " V"],
    windows: Sequence[Int[np.ndarray, " S"]],
    values: Sequence[Float[np.ndarray, " S"]] | None = None,
    *,
    damping: str = "log",
    norm: str = "tfidf",
) -> Float[np.ndarray, "B D"]:
    """`functional.bag_of_embeddings` of rows that are not padded.

    Args:
        table: the embedding of each token.
        token_weights: what each weighs.
        windows: token ids.
        values: in place of damped counts; each token stands in a window once.
        damping: of the counts, see `functional.bag_of_embeddings`.
        norm: of the bag.
    """
    lengths = np.fromiter(map(len, windows), np.int64, len(windows))
    rows = np.repeat(np.arange(len(windows), dtype=np.int32), lengths)
    ids = np.concatenate(windows) if windows else np.zeros(0, np.int32)
    held = np.ones(len(ids), np.float32)
    if values is not None and windows:
        held = np.concatenate(values).astype(np.float32)
    shape = len(windows), len(table)
    # By columns: each row of the table is read once, and the sums stay in the cache.
    counts = coo_array((held, (rows, ids)), shape).tocsc()
    if values is None:
        counts.data = DAMPED[damping](counts.data)
    counts.data *= np.repeat(token_weights, np.diff(counts.indptr))
    counts.eliminate_zeros()
    total = counts @ table
    if norm == "sum":
        return total
    if norm == "l2":
        size = np.linalg.norm(total, axis=1)
    else:
        each = np.abs(counts.data) if norm == "mean" else np.square(counts.data)
        size = np.bincount(counts.indices, each, minlength=len(windows))
        size = size if norm == "mean" else np.sqrt(size)
    return total / np.where(size == 0, 1, size).astype(np.float32)[:, None]


def _pooled(
    vectors: Float[np.ndarray, "W D"],
    real: np.ndarray,
    counts: Int[np.ndarray, " B"],
    how: str,
) -> Float[np.ndarray, "B D"]:
    """One vector for a document out of those of its windows that hold a token.

    Args:
        vectors: of the windows.
        real: which windows do `[W]`.
        counts: windows of each document.
        how: `mean` or `max`.
    """
    rows = np.repeat(np.arange(len(counts)), counts)[real]
    vectors = vectors[real]
    if how == "mean":
        ones = np.ones(len(rows), np.float32)
        where = csr_array(
            (ones, (rows, np.arange(len(rows)))), (len(counts), len(rows))
        )
        return where @ vectors / np.maximum(where.sum(axis=1), 1)[:, None]
    found = np.full((len(counts), vectors.shape[1]), -np.inf, np.float32)
    np.maximum.at(found, rows, vectors)
    return np.where(np.isinf(found), 0, found)
