"""Metrics of predictions: the one evaluation path.

What selects a checkpoint, what a test split is measured by, and what groups of labels
fare like. Metrics that need the probabilities of all labels (LRAP, mAP, macro-F1 at
every threshold) are given where these are there; of the best labels alone come those
that they are enough for.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from labelgraph_jax.config import SELECTION_METRICS
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.functional.metrics.counts import label_counts
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.functional.metrics.ranked import ranked_metrics
from labelgraph_jax.predictors.choosing import global_threshold
from labelgraph_jax.predictors.decision import Decision, at_half
from labelgraph_jax.predictors.documents import Encoded, fingerprint
from labelgraph_jax.predictors.groups import (
    SELECTION_KS,
    measure_groups,
    ranked_groups,
    seen_and_unseen,
)
from labelgraph_jax.predictors.hierarchy import hierarchical_metrics
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.loss_choice import annotated_documents
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.rules import structure_results

KS = (1, 3, 5)
"""Ranks of the metrics of a test split."""
RANKED = ("P@", "R@", "RP@", "nDCG@")
MOST_LISTED = 5_000
"""Labels up to which results hold the metrics of each one."""


def label_metrics(
    predictions: Predictions,
    *,
    ks: tuple[int, ...] = KS,
    train_label_counts: np.ndarray | None = None,
    train_documents: int | np.ndarray | None = None,
) -> dict[str, float]:
    """Every metric that decided predictions are enough for.

    Args:
        predictions: with truth and decisions.
        ks: ranks of the ranking metrics.
        train_label_counts: training documents of each label, for propensities.
        train_documents: all of them, or `[N]` those annotated for each label.
    """
    truth, decided = predictions.truth, predictions.decided
    assert truth is not None and decided is not None
    if predictions.ids is None:
        return evaluate_scores(
            predictions.probabilities,
            predictions.targets,
            predictions=decided,
            target_mask=predictions.known,
            ks=ks,
            train_label_counts=train_label_counts,
            train_documents=train_documents,
        )
    return ranked_metrics(
        predictions.ids,
        truth.indptr,
        truth.indices,
        labels=predictions.labels,
        decided=decided,
        ks=ks,
        train_label_counts=train_label_counts,
        train_documents=train_documents,
    )


def validation_metrics(predictions: Predictions) -> dict[str, float]:
    """Return what selects a checkpoint: F1 of the rule `global`, rankings.

    The threshold is that of `global_threshold`, fitted on the same predictions, so that
    a decision that `auto` chooses is no worse on them than what is said here.

    Args:
        predictions: with their truth.
    """
    threshold = global_threshold(predictions)
    thresholds = np.full(predictions.labels, threshold)
    decided = predictions.decide(Decision(kind="global", thresholds=thresholds))
    metrics = label_metrics(decided, ks=SELECTION_KS)
    if predictions.ids is None:
        metrics = {name: metrics[name] for name in SELECTION_METRICS}
    return metrics | {"threshold": threshold}


def measure(
    predictions: Predictions,
    decision: Decision,
    graph: LabelGraphArrays,
    ancestors: np.ndarray | None = None,
) -> dict[str, dict[str, float]]:
    """Every metric of a decision, `tuned`, and of all labels at 0.5, `half`.

    Propensities count the labels of the training split, among the documents that are
    annotated for them. With the labels' `ancestors` also the hierarchical metrics.

    Args:
        predictions: with truth, and with what `decision` decides.
        decision: what decided.
        graph: counts and priors of the training split.
        ancestors: see `Decision`.
    """
    documents = annotated_documents(graph).astype(int)
    half = predictions.decide(at_half(predictions.labels))
    found = {}
    for name, decided in (("tuned", predictions), ("half", half)):
        found[name] = label_metrics(
            decided, train_label_counts=graph.counts, train_documents=documents
        )
        if predictions.ids is None and ancestors is not None:
            assert decided.decided is not None
            found[name] |= hierarchical_metrics(
                decided.decided, predictions.targets, ancestors, predictions.known
            )
    return found


def measure_tasks(
    labels: LabelSpace,
    predictions: Predictions,
    decision: Decision,
    graph: LabelGraphArrays,
    ancestors: np.ndarray | None = None,
) -> dict[str, dict[str, object]]:
    """The metrics of each label set, over the documents that are annotated for it.

    Returns:
        Per task how many documents and labels there are, and what `measure` gives:
        None for a task without labels or annotated documents. Empty for a single task,
        and where the best labels of all sets stand in one list.
    """
    if predictions.ids is not None:
        return {}
    tasks: dict[str, dict[str, object]] = {}
    for task, columns in labels.task_columns.items():
        own = _of_columns(predictions, columns)
        annotated = len(own) if own.known is None else int(own.known.any(axis=1).sum())
        metrics: dict[str, Any] = {"tuned": None, "half": None}
        if annotated and len(columns):
            metrics = measure(
                own,
                decision,
                dataclasses.replace(
                    graph, counts=graph.counts[columns], prior=graph.prior[columns]
                ),
                None if ancestors is None else ancestors[np.ix_(columns, columns)],
            )
        tasks[task] = {
            "documents": annotated,
            "labels": len(columns),
            "metrics": metrics["tuned"],
            "metrics_at_half": metrics["half"],
        }
    return tasks


def _of_columns(predictions: Predictions, columns: np.ndarray | slice) -> Predictions:
    """Predictions of some labels alone, of those whose labels all have a column."""
    truth, known, decided = predictions.truth, predictions.known, predictions.decided
    probabilities = predictions.probabilities[:, columns]
    return dataclasses.replace(
        predictions,
        probabilities=probabilities,
        labels=probabilities.shape[1],
        truth=None if truth is None else truth[:, columns],
        known=None if known is None else known[:, columns],
        decided=None if decided is None else decided[:, columns],
    )


def measure_labels(
    predictions: Predictions, decision: Decision, names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """The metrics of every label by its name, 0 / 0 = 0: macro_f1 is the mean of f1.

    Args:
        predictions: with truth and decisions.
        decision: what decided; of top_k the threshold of a label is None.
        names: of the labels, `[N]`.
    """
    truth, decided = predictions.truth, predictions.decided
    assert truth is not None and decided is not None
    if predictions.ids is None:
        tp, fp, fn, support = map(
            np.asarray,
            label_counts(decided, predictions.targets, target_mask=predictions.known),
        )
    else:
        columns, size = predictions.columns, predictions.labels
        tp = np.bincount(columns[decided & predictions.hits], minlength=size)
        fp = np.bincount(columns[decided], minlength=size) - tp
        support = np.bincount(truth.indices, minlength=size)
        fn = support - tp
    cut = None if decision.kind == "top_k" else decision.thresholds
    return {
        name: {
            "precision": float(tp[i] / max(tp[i] + fp[i], 1)),
            "recall": float(tp[i] / max(support[i], 1)),
            "f1": float(2 * tp[i] / max(2 * tp[i] + fp[i] + fn[i], 1)),
            "support": int(support[i]),
            "true_positives": int(tp[i]),
            "false_positives": int(fp[i]),
            "false_negatives": int(fn[i]),
            "threshold": None if cut is None else float(cut[i]),
        }
        for i, name in enumerate(names)
    }


def with_unknown_labels(graph: LabelGraphArrays, labels: int) -> LabelGraphArrays:
    """Counts and priors with zeros behind them, for labels that training never saw."""
    more = (0, labels - len(graph.counts))
    if not more[1]:
        return graph
    return dataclasses.replace(
        graph, counts=np.pad(graph.counts, more), prior=np.pad(graph.prior, more)
    )


def added_label_metrics(predictions: Predictions, trained: int) -> dict[str, object]:
    """The metrics of the labels that were added after training, among themselves.

    Args:
        predictions: with truth and decisions, of all labels.
        trained: how many labels come before them.

    Returns:
        How many labels there are and how many documents carry one; F1 over all
        documents (of the best labels alone, micro-F1); and the ranking metrics over
        the documents that carry one, with no other label in the ranking, as Chalkidis
        et al. (ACL 2019) measure zero-shot labels. Where a list of best labels ran out
        of added ones, these are lower bounds, and `complete@k` is below 1. None for the
        metrics where no document carries one.
    """
    added = predictions.labels - trained
    if predictions.ids is not None:
        return _added_among_best(predictions, trained)
    own = _of_columns(predictions, slice(trained, None))
    positive = own.targets > 0 if own.known is None else (own.targets > 0) & own.known
    carrying = np.asarray(positive.any(axis=1))
    found = {"labels": added, "documents": int(carrying.sum())}
    if not carrying.any():
        return {**found, "metrics": None}
    every, some = label_metrics(own), label_metrics(own.rows(carrying))
    ranked = {name: some[name] for name in some if name.startswith(RANKED)}
    f1 = {name: value for name, value in every.items() if "f1" in name}
    return {**found, "metrics": {**f1, **ranked}}


def _added_among_best(predictions: Predictions, trained: int) -> dict[str, object]:
    ids, decided, truth = predictions.ids, predictions.decided, predictions.truth
    assert ids is not None and decided is not None and truth is not None
    columns = np.arange(trained, predictions.labels)
    group = ranked_groups(predictions, {"added": columns}, KS)["added"]
    found = {"labels": len(columns), "documents": int(group.pop("documents"))}
    if not found["documents"]:
        return {**found, "metrics": None}
    chosen = decided & (ids >= trained)
    positives = int((truth.indices >= trained).sum())
    hits = int((predictions.hits & chosen).sum())
    f1 = 2.0 * hits / (int(chosen.sum()) + positives)
    del group["labels"]
    return {**found, "metrics": {"micro_f1": f1, **group}}


def evaluation(
    documents: Sequence[Document],
    encoded: Encoded,
    predictions: Predictions,
    *,
    decision: Decision,
    labels: LabelSpace,
    graph: LabelGraphArrays,
    ancestors: np.ndarray | None = None,
) -> dict[str, Any]:
    """The evaluation of one set of documents as JSON values.

    `absent_labels` is how many labels of the model no document carries, of those that
    some document is annotated for: they count as 0 in macro_f1, and macro_f1_present
    leaves them out. `differ_in_case` are unseen labels, and the labels of the model
    that are spelled so but for capitals, where there are any.

    Args:
        documents: M of them.
        encoded: as the model reads them.
        predictions: of them, with truth and decisions.
        decision: what decided.
        labels: the model's, added ones last.
        graph: counts and priors of the labels that were trained.
        ancestors: see `Decision`.
    """
    # What every evaluation says.
    trained = len(graph.counts)
    graph = with_unknown_labels(graph, len(labels))
    metrics = measure(predictions, decision, graph, ancestors)
    found: dict[str, Any] = {
        "documents": len(documents),
        "fingerprint": fingerprint(documents),
        "truncated_documents": encoded.truncated,
        "unseen_labels": dict(sorted(encoded.unseen.items())),
        "absent_labels": _absent(predictions),
        "threshold": decision.asked or decision.kind,
        "decision": decision.summary(),
        "metrics": metrics["tuned"],
        "metrics_at_half": metrics["half"],
        "tasks": measure_tasks(labels, predictions, decision, graph, ancestors),
    }
    # Unseen labels that differ from a trained one in case alone.
    trained_as = {name.casefold(): name for name in labels.names}
    alike = {n: trained_as.get(n.casefold()) for n in found["unseen_labels"]}
    if alike := {name: label for name, label in alike.items() if label}:
        found["differ_in_case"] = alike
    # What depends on structure, on annotations, and on how many labels there are.
    found |= structure_results(predictions, decision, ancestors)
    if predictions.known is None:
        found["groups"] = measure_groups(predictions, graph.counts)
        if compared := seen_and_unseen(predictions, graph.counts):
            found["seen_and_unseen"] = compared
    if len(labels) <= MOST_LISTED:
        found["per_label"] = measure_labels(predictions, decision, labels.names)
    if len(labels) > trained:
        found["added_labels"] = added_label_metrics(predictions, trained)
    if predictions.ids is not None:
        found["kept_labels"] = predictions.ids.shape[1]
        found["cut_documents"] = cut_documents(predictions, decision)
    return found


def _absent(predictions: Predictions) -> int:
    """Return the number of annotated labels that no document carries.

    Labels without any annotation here are not part of the averages.
    """
    truth, known = predictions.truth, predictions.known
    assert truth is not None
    if known is None:
        present = np.zeros(predictions.labels, bool)
        present[truth.indices[truth.data > 0]] = True
        return int((~present).sum())
    positive = (predictions.targets > 0) & known
    return int((~positive.any(axis=0) & known.any(axis=0)).sum())


def cut_documents(predictions: Predictions, decision: Decision) -> int:
    """Return the number of documents that may have more labels than the K kept ones."""
    if decision.kind == "top_k" or predictions.is_whole:
        return 0
    last = predictions.probabilities[:, -1]
    return int((last >= decision.thresholds.min()).sum())
