"""A model with a memory beside it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document
from labelgraph_jax.predictors.documents import Encoded
from labelgraph_jax.predictors.hierarchy import label_ancestors
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.memory.files import with_added_labels
from labelgraph_jax.predictors.memory.memory import Memory
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions


@dataclass(frozen=True, repr=False)
class MemoryModel(Model):
    """A model that looks documents and labels up beside another one, see `Model`.

    Attributes:
        inner: the model whose predictions the memory is mixed with.
    """

    inner: LabelModel = field(kw_only=True)

    @property
    def network(self) -> LabelModel:
        """The network whose predictions the memory is mixed with."""
        return self.inner

    def encode(self, documents: Sequence[Document]) -> Encoded:
        """Encode documents as the inner model, with targets of added labels too."""
        # The targets have a column for every label, added ones too.
        other = dataclasses.replace(self.inner, label_space=self.label_space)
        return other.encode(documents)

    def predict_examples(
        self,
        documents: Sequence[Document],
        examples: Examples,
        *,
        batch_size: int | None = None,
        every_label: bool = False,
    ) -> Predictions:
        """Return the inner model's predictions, mixed with what the memory finds."""
        predictions = self.inner.predict_examples(
            documents, examples, batch_size=batch_size, every_label=every_label
        )
        return self.mix(documents, examples, predictions)

    def mix(
        self,
        documents: Sequence[Document],
        examples: Examples,
        predictions: Predictions,
    ) -> Predictions:
        """The inner model's predictions with the memory's beside them.

        Labels that were added after training stand behind its N.

        Args:
            documents: as they are written.
            examples: the same ones, encoded.
            predictions: of the inner model.
        """
        assert self.memory is not None
        if not len(documents):
            return self.memory.mix(predictions, np.zeros((0, 0), np.float32))
        return self.memory.mix(predictions, self.memory.queries(documents, examples))


def with_memory(model: Model, memory: Memory) -> MemoryModel:
    """A model with a memory beside it, and the labels that were added.

    Every added label is decided at the memory's threshold for labels of which only
    their text is known.

    Args:
        model: a `LabelModel`, or one that has another memory.
        memory: what is looked up.
    """
    inner = model.inner if isinstance(model, MemoryModel) else model
    assert isinstance(inner, LabelModel)
    trained = len(memory.keys.seen)
    labels = with_added_labels(inner.label_space, memory.added)
    consistent = model.decision.consistent
    above = label_ancestors(labels) if consistent and not inner.label_chunk else None
    added = np.full(len(memory.added), memory.text_rule.threshold)
    decision = dataclasses.replace(
        model.decision,
        thresholds=np.concatenate([model.decision.thresholds[:trained], added]),
        ancestors=above,
    )
    own = {
        f.name: getattr(inner, f.name)
        for f in dataclasses.fields(Model)
        if f.name not in ("label_space", "decision", "memory")
    }
    return MemoryModel(
        **own, label_space=labels, decision=decision, memory=memory, inner=inner
    )
