"""CNN-RNN: a document vector starts a recurrent decoder that writes the labels."""

from typing import TypedDict, Unpack

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.losses.elementwise import LossSum
from labelgraph_jax.functional.text.label_decoder import (
    DecoderWeights,
    greedy_decode,
    label_sequence_loss,
    label_sequences,
)
from labelgraph_jax.functional.text.recurrent import LstmWeights
from labelgraph_jax.functional.text.transformer import dense
from labelgraph_jax.modules.parameters import Dense, Lstm, Table
from labelgraph_jax.modules.text_encoder import TextEncoder


class TokenOptions(TypedDict, total=False):
    """Further inputs of a text encoder."""

    token_vectors: Float[Array, "B *W S D"] | None
    token_values: Float[Array, "B *W S"] | None
    deterministic: bool


class LabelDecoder(nn.Module):
    """An LSTM, started by the document, writes its labels: the most frequent first.

        [h_0 ; c_0] = tanh(document W + b)

    It has an objective of its own, the cross-entropy of the sequence (`loss`). Called,
    it decodes greedily and gives every label the log-odds of being written, so that
    thresholds and metrics read it as they read any other model. It knows no label
    graph: what it learns about labels that go together, it learns from the sequences.

    Attributes:
        text_encoder: token ids or token vectors -> document vectors.
        hidden_features: units of the LSTM, and width of its label vectors.
        max_labels: the longest sequence; what a document has beyond is not learned.

    Reference: Chen, Ye, Xing, Chen and Cambria, "Ensemble Application of Convolutional
    and Recurrent Neural Networks for Multi-label Text Categorization", IJCNN 2017. Ours
    may have any text encoder, is trained whole from the start, decodes greedily, and
    removes what was written from the choice, in training and after.
    """

    text_encoder: TextEncoder
    hidden_features: int = 256
    max_labels: int = 12

    def __call__(
        self,
        label_features: Float[Array, "N F"],
        adjacency: Float[Array, "N N"],
        label_prior: Float[Array, "N"],
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        **options: Unpack[TokenOptions],
    ) -> Float[Array, "B N"]:
        """Log-odds that greedy decoding writes a label, see `greedy_decode`.

        Args:
            label_features: not read.
            adjacency: not read.
            label_prior: share of the training documents with each label; the scores
                of the symbols start there.
            token_mask: as `Magnet`.
            token_ids: as `Magnet`.
            **options: as `Magnet`.
        """
        started = self._start(label_prior, token_mask, token_ids, **options)
        return greedy_decode(*started, max_labels=self.max_labels).logits

    def loss(
        self,
        label_features: Float[Array, "N F"],
        adjacency: Float[Array, "N N"],
        label_prior: Float[Array, "N"],
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        *,
        label_counts: Float[Array, "N"],
        targets: Shaped[Array, "B N"],
        target_mask: Bool[Array, "B N"] | None = None,
        example_mask: Bool[Array, " B"] | None = None,
        **options: Unpack[TokenOptions],
    ) -> LossSum:
        """Cross-entropy of the label sequences, see `label_sequence_loss`.

        Args:
            label_features: not read.
            adjacency: not read.
            label_prior: share of the training documents with each label.
            token_mask: as `Magnet`.
            token_ids: as `Magnet`.
            label_counts: training documents with each label; they order the sequences.
            targets: as any loss of `functional.losses`.
            target_mask: as any loss of `functional.losses`.
            example_mask: as any loss of `functional.losses`.
            **options: as `Magnet`.
        """
        started = self._start(label_prior, token_mask, token_ids, **options)
        sequences = label_sequences(
            targets,
            label_counts,
            max_labels=self.max_labels,
            target_mask=target_mask,
        )
        return label_sequence_loss(*started, sequences, example_mask)

    @nn.compact
    def _start(
        self,
        label_prior: Float[Array, "N"],
        token_mask: Bool[Array, "B *W S"],
        token_ids: Int[Array, "B *W S"] | None = None,
        *,
        token_vectors: Float[Array, "B *W S D"] | None = None,
        token_values: Float[Array, "B *W S"] | None = None,
        deterministic: bool = True,
    ) -> tuple[DecoderWeights, Float[Array, "B H"], Float[Array, "B H"]]:
        """The decoder, and its state before the first symbol."""
        documents = self.text_encoder(
            token_ids,
            token_mask,
            token_vectors=token_vectors,
            token_values=token_values,
            deterministic=deterministic,
        )
        size, symbols = self.hidden_features, len(label_prior) + 1

        def shares(_: Array) -> Float[Array, " M"]:
            """Every document stops once and writes each label `prior` times."""
            written = jnp.append(jnp.asarray(label_prior, jnp.float32), 1.0)
            return jnp.log(jnp.maximum(written / written.sum(), 1e-6))

        glorot = nn.initializers.glorot_uniform()
        weights = DecoderWeights(
            Table(symbols, size, size**-0.5, name="label_embedding")(),
            LstmWeights(*Lstm(size, size, name="cell")()),
            self.param("output_kernel", glorot, (size, symbols)),
            self.param("output_bias", shares),
        )
        kernel, bias = Dense((documents.shape[-1],), 2 * size, name="start")()
        hidden, cell = jnp.split(jnp.tanh(dense(documents, kernel, bias)), 2, axis=-1)
        return weights, hidden, cell
