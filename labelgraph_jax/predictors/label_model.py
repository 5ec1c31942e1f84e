"""One trained network: the model that is neither joined nor looked up beside."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Self

import jax
import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.documents import (
    Encoded,
    batch_rows,
    encode_documents,
    prediction_batches,
)
from labelgraph_jax.predictors.host_bag import HostBag, host_bag
from labelgraph_jax.predictors.memory.memory import Reader
from labelgraph_jax.predictors.memory.texts import OwnReader
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.scorers import (
    Scorer,
    compile_scorer,
    scores_of_labels,
)
from labelgraph_jax.training.many_labels import PlacedModel

MADE_ONCE = ("on_host", "_scores", "_scores_all", "placed", "label_side", "read")
"""Attributes that do not depend on the decision."""


class LabelModel(Model):
    """A network with its parameters, see `Model`."""

    def encode(self, documents: Sequence[Document]) -> Encoded:
        """Encode documents with the network's own tokenizer and labels."""
        return encode_documents(
            documents,
            self.label_space,
            self.tokenizer,
            self.config.text,
            self.encoder,
            sparse_targets=self.label_chunk > 0,
        )

    def examples(
        self, windows: Sequence[Sequence[np.ndarray]], padded_to: tuple[int, int]
    ) -> Examples:
        """Texts without labels, from their token ids, as the network reads them.

        Args:
            windows: of each text, token ids.
            padded_to: windows and tokens of a text in a batch.
        """
        shape = (len(windows), len(self.classifier.graph.counts))
        chunked = self.label_chunk > 0
        examples = Examples(
            windows=windows,
            targets=csr_array(shape) if chunked else np.zeros(shape, np.float32),
            pad_id=getattr(self.tokenizer, "pad_id", 0),
            sparse_targets=chunked,
            padded_to=padded_to,
        )
        return self.encoder.encode(examples) if self.encoder else examples

    def predict_examples(
        self,
        documents: Sequence[Document],
        examples: Examples,
        *,
        batch_size: int | None = None,
        every_label: bool = False,
    ) -> Predictions:
        """Predict documents: all labels, or the best where labels come in chunks."""
        if self.on_host is not None and examples.token_vectors is None:
            batch_rows(self.config, batch_size)
            return self.on_host(examples)
        own = self.config, self.tokenizer
        batches = prediction_batches(*own, examples, batch_size)
        if every_label and self.label_chunk:
            return self._scores_all(self.params, batches)
        predictions = self._scores(self.placed, batches)
        if predictions.ids is None:
            return predictions
        vectors: list[np.ndarray] = []

        def elsewhere(rows: slice, ids: np.ndarray) -> np.ndarray:
            # The documents are read once, and only if somebody asks.
            if not vectors:
                vectors.append(self.read(documents, examples))
            return scores_of_labels(self.placed, vectors[0])(rows, ids)

        return dataclasses.replace(predictions, elsewhere=elsewhere)

    def with_decision(self, decision: Decision) -> Self:
        """Return a copy with another decision, which keeps the compiled functions."""
        other = super().with_decision(decision)
        for compiled in MADE_ONCE:
            if compiled in self.__dict__:
                other.__dict__[compiled] = self.__dict__[compiled]
        return other

    @property
    def network(self) -> "LabelModel":
        """The model itself, which is one network."""
        return self

    @cached_property
    def label_side(self) -> tuple[jax.Array, jax.Array]:  # type: ignore[override]
        """Label vectors `[N, D]` and biases `[N]`, where logits are their products."""
        if self.label_chunk:
            return self.placed.labels, self.placed.bias
        return jax.jit(self.classifier.label_side)(self.params)

    @cached_property
    def placed(self) -> Params | PlacedModel:
        """Parameters (and label vectors, of labels in chunks) on the devices."""
        return self._scores.place(self.params)

    @cached_property
    def read(self) -> Reader:
        """Documents -> the network's document vectors."""
        return OwnReader(
            self.classifier,
            self.params,
            self.label_space,
            self.tokenizer,
            self.config,
            self.encoder,
        )

    @cached_property
    def on_host(self) -> HostBag | None:
        """The network without a compiled program, where it is so simple."""
        if self.label_chunk:
            return None
        return host_bag(self.classifier, self.params)

    @cached_property
    def _scores(self) -> Scorer:
        return compile_scorer(self.config, self.classifier)

    @cached_property
    def _scores_all(self) -> Scorer:
        return compile_scorer(self.config, self.classifier, every_label=True)
