"""Text vectors x label vectors -> logits: the whole MAGNET classifier."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from labelgraph_jax.functional.graph.edges import Edges
from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.mixture import Mixture, Stack
from labelgraph_jax.modules.parameters import log_odds
from labelgraph_jax.modules.text_encoder import TextEncoder

Adjacency = Float[Array, "N N"] | Edges | None
"""Input of `LabelGraph`: a matrix `[N, N]`, `Edges`, or None."""


class Factors(NamedTuple):
    """Factors of the logits: `documents @ labels.T + bias`, float32.

    Attributes:
        documents: one vector per document `[B, D]`.
        labels: one vector per label `[N, D]`.
        bias: one number per label `[N]`.
    """

    documents: Float[Array, "B D"]
    labels: Float[Array, "N D"]
    bias: Float[Array, "N"]


class Magnet(nn.Module):
    """Document vectors times label vectors, plus a bias per label: the logits.

        logits[b, n] = sum_d document_vector[b, d] label_vector[n, d] + label_bias[n]

    Attributes:
        text_encoder: token ids or token vectors -> document vectors `[B, D]`.
        label_graph: label features and adjacency -> label vectors `[N, D]`.
        dropout_rate: dropout on the document vector.

    Reference: Pal et al., MAGNET, ICAART 2020. The label bias is ours: it starts at
    the log-odds of each label in training, so that the first steps are not spent on
    learning how rare labels are.
    """

    text_encoder: TextEncoder
    label_graph: LabelGraph
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(
        self,
        label_features: Float[Array, "N F"],
        adjacency: Adjacency,
        label_prior: Float[Array, "N"],
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        *,
        token_vectors: Float[Array, "B *W S D"] | None = None,
        token_values: Float[Array, "B *W S"] | None = None,
        deterministic: bool = True,
        factored: bool = False,
    ) -> Float[Array, "B N"] | Factors:
        """Logits of every label for every document, float32.

        Args:
            label_features: initial label features `[N, F]`.
            adjacency: label adjacency `[N, N]`, or what else `LabelGraph` takes.
            label_prior: share of the training documents with each label `[N]`.
            token_mask: true where there is a token.
            token_ids: token ids, or
            token_vectors: token vectors in their place.
            token_values: what each id weighs in a bag, in place of its count.
            deterministic: no dropout.
            factored: give the factors of the logits in their place, for labels so
                many that their logits are made in parts.
        """
        documents = self.text_encoder(
            token_ids,
            token_mask,
            token_vectors=token_vectors,
            token_values=token_values,
            deterministic=deterministic,
        )
        documents = nn.Dropout(self.dropout_rate)(
            documents, deterministic=deterministic
        )
        labels = self.label_graph(
            label_features, adjacency, deterministic=deterministic
        )
        bias = self.param("label_bias", lambda _: log_odds(label_prior))
        documents = documents.astype(jnp.float32)
        if factored:
            return Factors(documents, labels, bias)
        return documents @ labels.T + bias

    def label_vectors(
        self, label_features: Float[Array, "N F"], adjacency: Adjacency
    ) -> Float[Array, "N D"]:
        """The label vectors alone: the same for all documents, without dropout."""
        return self.label_graph(label_features, adjacency)

    def document_vectors(
        self,
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        *,
        token_vectors: Float[Array, "B *W S D"] | None = None,
        token_values: Float[Array, "B *W S"] | None = None,
    ) -> Float[Array, "B D"]:
        """The document vectors alone, float32, without dropout."""
        documents = self.text_encoder(
            token_ids,
            token_mask,
            token_vectors=token_vectors,
            token_values=token_values,
        )
        return documents.astype(jnp.float32)


class TaskMagnet(nn.Module):
    """MAGNET for several label sets that share an encoder through a mixture.

        logits[b, n] = task_vector[b, t(n)] . label_vector[n] + label_bias[n]

    Every label set t has its own document vector, from the mixture, and its own label
    graph, over the labels of the set alone.

    Attributes:
        text_encoder: token ids or token vectors -> document vectors `[B, D]`.
        mixture: document vectors -> one vector per label set `[B, T, F]`.
        label_graphs: T of them, with output_dim F.
        columns: which of the N labels each set has; together all of them, each once.
        towers: units of each layer of a tower between mixture and label vectors.
        learn_weights: also own the log-variances `[T]` that weigh the sets' losses.

    Reference: Pal et al., MAGNET, ICAART 2020; Ma et al., MMoE, KDD 2018; Kendall et
    al., CVPR 2018. Their union is ours.
    """

    text_encoder: TextEncoder
    mixture: Mixture
    label_graphs: tuple[LabelGraph, ...]
    columns: tuple[tuple[int, ...], ...]
    towers: tuple[int, ...] = ()
    learn_weights: bool = False

    @nn.compact
    def __call__(
        self,
        label_features: Float[Array, "N F"],
        adjacency: Float[Array, "N N"],
        label_prior: Float[Array, "N"],
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        *,
        token_vectors: Float[Array, "B *W S D"] | None = None,
        token_values: Float[Array, "B *W S"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B N"]:
        """Logits of every label for every document, float32; arguments as `Magnet`."""
        documents = self.text_encoder(
            token_ids,
            token_mask,
            token_vectors=token_vectors,
            token_values=token_values,
            deterministic=deterministic,
        )
        task_vectors = self.mixture(documents, deterministic=deterministic)
        if self.towers:
            task_vectors = Stack(len(self.columns), self.towers, name="towers")(
                task_vectors, deterministic=deterministic
            )
        parts = []
        for task, columns in enumerate(self.columns):
            rows = np.asarray(columns)
            labels = self.label_graphs[task](
                label_features[rows],
                adjacency[rows[:, None], rows],
                deterministic=deterministic,
            )
            parts.append(task_vectors[:, task].astype(jnp.float32) @ labels.T)
        if self.learn_weights:
            self.param(LOG_VARIANCE, nn.initializers.zeros, (len(self.columns),))
        order = np.argsort(np.concatenate(self.columns), kind="stable")
        bias = self.param("label_bias", lambda _: log_odds(label_prior))
        return jnp.concatenate(parts, axis=1)[:, order] + bias
