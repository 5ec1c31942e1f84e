"""A run's test documents scored: arrays that figures and own analyses start from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.functional.metrics.counts import label_counts
from labelgraph_jax.functional.metrics.label_errors import confused_with, label_f1
from labelgraph_jax.predictors.documents import require_annotations
from labelgraph_jax.predictors.many_labels import require_room
from labelgraph_jax.predictors.measure import with_unknown_labels
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.runs.records import documents_of_run
from labelgraph_jax.runs.restore import require_model


@dataclass(frozen=True)
class ScoredDocuments:
    """Documents, their truth, and what a model says of them; M documents, N labels.

    Attributes:
        name: what reports call the documents.
        documents: M of them.
        labels: N names.
        probabilities: float32 `[M, N]`.
        targets: 1 where the document has the label, float32 `[M, N]`.
        target_mask: true where annotated, bool `[M, N]`; None where everything is.
        decided: what the model predicts, bool `[M, N]`.
        train_counts: training documents with each label `[N]`.
    """

    name: str
    documents: tuple[Document, ...]
    labels: tuple[str, ...]
    probabilities: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray | None
    decided: np.ndarray
    train_counts: np.ndarray

    def __repr__(self) -> str:
        shape = ", ".join(
            [
                counted(len(self.documents), "document"),
                counted(len(self.labels), "label"),
            ]
        )
        return f"ScoredDocuments({self.name!r}: {shape})"

    @cached_property
    def label_f1(self) -> np.ndarray:
        """F1 of each label, NaN where no document carries it, float64 `[N]`."""
        counts = label_counts(self.decided, self.targets, target_mask=self.target_mask)
        return np.asarray(label_f1(counts))

    def most_confused(self, count: int = 20) -> tuple[np.ndarray, list[str]]:
        """Count how often labels are missed where others are wrongly predicted.

        Args:
            count: the labels with most such documents, at most.

        Returns:
            The counts `[n, n]`, see `functional.confused_with`, and the n names.

        Raises:
            ValueError: the count is below 1.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        pairs = confused_with(self.decided, self.targets, self.target_mask)
        matrix = np.asarray(pairs)
        total = matrix.sum(0) + matrix.sum(1)
        best = np.argsort(-total, kind="stable")[:count]
        return matrix[np.ix_(best, best)], [self.labels[i] for i in best]


def score_test(
    model: Model,
    *,
    data: str = "",
    data_dir: str = "",
    reading: ReadingConfig | None = None,
) -> ScoredDocuments:
    """Scores the test documents that a run was measured on, or those of a file.

        scored = lg.score_test(lg.load("workdirs/mine"))
        lg.figures.reliability_diagram(scored.probabilities, scored.targets)

    Args:
        model: from `lg.load`.
        data: a labelled file in any format that training reads.
        data_dir: where the local corpus copies lie now, if they have moved.
        reading: how `data` is read, where the run's files were read otherwise.

    Raises:
        DataError: it is no model of texts, there is no document, or a file is
            malformed.
        ConfigError: the arrays have no room in memory.
    """
    require_model(model, "score_test")
    name, documents = documents_of_run(
        model, data=data, data_dir=data_dir, reading=reading
    )
    if not documents:
        raise DataError(f"{name}: there is no test document; name a file with data=")
    require_annotations(documents, model.label_space)
    # Where labels are scored in chunks, targets are sparse too.
    require_room(
        2 * len(documents),
        len(model.labels),
        "probabilities and targets, arrays",
        "give a part of the documents with data=",
    )
    encoded, probabilities = model.score_documents(documents)
    graph = with_unknown_labels(model.classifier.graph, len(model.labels))
    return ScoredDocuments(
        name,
        tuple(documents),
        model.labels,
        probabilities,
        encoded.examples.multi_hot,
        encoded.examples.target_mask,
        model.decision.decide(probabilities),
        np.asarray(graph.counts),
    )
