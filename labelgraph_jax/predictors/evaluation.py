"""What selects a checkpoint, and metrics on the test split: the one evaluation path.

`fit` ends with it and `labelgraph evaluate` is nothing else, so the numbers that a
training run printed are the numbers that its work directory gives back.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from labelgraph_jax.config import SELECTION_METRICS
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.functional.decisions.thresholds import fit_global_threshold
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.predictors.decision import HALF, Decision
from labelgraph_jax.predictors.documents import fingerprint
from labelgraph_jax.predictors.hierarchy import hierarchical_metrics
from labelgraph_jax.predictors.loss_choice import annotated_documents
from labelgraph_jax.predictors.workdir import LabelGraphArrays
from labelgraph_jax.training.evaluate import ProbabilityFn, predict_probabilities
from labelgraph_jax.training.local_batches import own_batches

KS = (1, 3, 5)


def score_examples(
    run: ProbabilityFn, params: Any, examples: Examples, batch_size: int
) -> np.ndarray:
    """Probabilities of every document, float32 `[M, N]`, in document order."""
    return predict_probabilities(
        run, params, own_batches(examples, batch_size=batch_size)
    )


def validation_metrics(
    probabilities: np.ndarray,
    targets: np.ndarray,
    target_mask: np.ndarray | None = None,
) -> dict[str, float]:
    """What selects a checkpoint: F1 at the best single threshold, ranking metrics."""
    threshold = fit_global_threshold(probabilities, targets, target_mask=target_mask)
    thresholds = np.full(targets.shape[1], threshold)
    scores = evaluate_scores(
        probabilities, targets, thresholds, target_mask=target_mask, ks=(1, 5)
    )
    chosen = {name: scores[name] for name in SELECTION_METRICS}
    return chosen | {"threshold": float(threshold)}


def measure(
    probabilities: np.ndarray,
    targets: np.ndarray,
    decisions: np.ndarray,
    graph: LabelGraphArrays,
    target_mask: np.ndarray | None = None,
    ancestors: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Every metric of the decisions, bool `[M, N]`, and of those at 0.5.

    Propensities count the labels of the training split, among the documents that are
    annotated for them. With the labels' `ancestors` also the hierarchical metrics.
    """
    documents = annotated_documents(graph).astype(int)
    return {
        name: evaluate_scores(
            probabilities,
            targets,
            predictions=decided,
            target_mask=target_mask,
            train_label_counts=graph.counts,
            train_documents=documents,
            ks=KS,
        )
        | hierarchical_metrics(decided, targets, ancestors, target_mask)
        for name, decided in (("tuned", decisions), ("half", probabilities >= HALF))
    }


def measure_tasks(
    labels: LabelSpace,
    probabilities: np.ndarray,
    targets: np.ndarray,
    decisions: np.ndarray,
    graph: LabelGraphArrays,
    target_mask: np.ndarray | None = None,
    ancestors: np.ndarray | None = None,
) -> dict[str, dict[str, Any]]:
    """The metrics of each label set, over the documents that are annotated for it.

    Returns:
        Per task how many documents and labels there are, and what `measure` gives:
        None for a task without labels or annotated documents. Empty for a single task.
    """
    found: dict[str, dict[str, Any]] = {}
    for task, columns in labels.task_columns.items():
        mask = None if target_mask is None else target_mask[:, columns]
        annotated = len(targets) if mask is None else int(mask.any(axis=1).sum())
        metrics: dict[str, Any] = {"tuned": None, "half": None}
        if annotated and len(columns):
            metrics = measure(
                probabilities[:, columns],
                targets[:, columns],
                decisions[:, columns],
                dataclasses.replace(
                    graph, counts=graph.counts[columns], prior=graph.prior[columns]
                ),
                mask,
                None if ancestors is None else ancestors[np.ix_(columns, columns)],
            )
        found[task] = {
            "documents": annotated,
            "labels": len(columns),
            "metrics": metrics["tuned"],
            "metrics_at_half": metrics["half"],
        }
    return found


def summary(
    documents: Sequence[Document],
    truncated: int,
    unseen: Counter[str],
    metrics: dict[str, dict[str, float]],
    tasks: dict[str, dict[str, Any]],
    decision: Decision,
    absent: int,
) -> dict[str, Any]:
    """The evaluation of one set of documents as JSON values.

    `absent` is how many labels of the model no document carries, of those that some
    document is annotated for: they count as 0 in macro_f1, and macro_f1_present leaves
    them out.
    """
    return {
        "documents": len(documents),
        "fingerprint": fingerprint(documents),
        "truncated_documents": truncated,
        "unseen_labels": dict(sorted(unseen.items())),
        "absent_labels": absent,
        "threshold": decision.asked or decision.kind,
        "decision": decision.summary(),
        "metrics": metrics["tuned"],
        "metrics_at_half": metrics["half"],
        "tasks": tasks,
    }
