"""Counts of hits and misses, additive over batches, and the ratios made of them.

The conventions stand at the top of `labels.py`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets, is_positive

Host = np.ndarray


class LabelCounts(NamedTuple):
    """Per label: true and false positives, false negatives, positives in truth.

    `a + b` adds the counts of two batches.
    """

    tp: Int[Array | Host, " N"]
    fp: Int[Array | Host, " N"]
    fn: Int[Array | Host, " N"]
    support: Int[Array | Host, " N"]

    def __add__(self, other: "LabelCounts") -> "LabelCounts":  # type: ignore[override]
        return LabelCounts(*(a + b for a, b in zip(self, other, strict=True)))


class DocumentCounts(NamedTuple):
    """Per document: labels rightly predicted, predicted, and true."""

    tp: Int[Array | Host, " B"]
    predicted: Int[Array | Host, " B"]
    positives: Int[Array | Host, " B"]


def label_counts(
    predictions: Bool[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    example_mask: Bool[ArrayLike, " B"] | None = None,
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> LabelCounts:
    """Count hits and misses of every label over the documents of a batch.

    Example:
        >>> import labelgraph_jax as lg
        >>> import numpy as np
        >>> decided = np.array([[True, False], [True, True]])
        >>> counts = lg.functional.label_counts(decided, np.array([[1, 0], [0, 1]]))
        >>> counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()
        ([1, 1], [1, 0], [0, 0])

    Args:
        predictions: True where the label is predicted.
        targets: positive where > 0.
        example_mask: True where the document is real, False where it is padding.
        target_mask: True where the label of the document is annotated.

    Returns:
        Integer counts [N], which add over batches and devices.

    Raises:
        ValueError: shapes do not fit together; or a target that counts is NaN or
            outside 0..1 (seen only where it is known, so not under `jit`).
    """
    predicted, positive = _counted(predictions, targets, example_mask, target_mask)
    return LabelCounts(
        tp=(predicted & positive).sum(0),
        fp=(predicted & ~positive).sum(0),
        fn=(~predicted & positive).sum(0),
        support=positive.sum(0),
    )


def document_counts(
    predictions: Bool[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    target_mask: Bool[ArrayLike, "B N"] | None = None,
) -> DocumentCounts:
    """Count hits, predictions and positives of every document, where annotated.

    They hold all that the samples metrics need: precision tp / predicted, recall
    tp / positives, F1 2 tp / (predicted + positives), the wrong cells of the Hamming
    loss predicted + positives - 2 tp, and an exact match where all three are equal.
    """
    predicted, positive = _counted(predictions, targets, None, target_mask)
    return DocumentCounts(
        tp=(predicted & positive).sum(1),
        predicted=predicted.sum(1),
        positives=positive.sum(1),
    )


def _counted(
    predictions: Bool[ArrayLike, "B N"],
    targets: Shaped[ArrayLike, "B N"],
    example_mask: Bool[ArrayLike, " B"] | None,
    target_mask: Bool[ArrayLike, "B N"] | None,
) -> tuple[Bool[Array, "B N"], Bool[Array, "B N"]]:
    """Predictions and truth, both false where a cell counts nowhere."""
    check_axes(
        predictions=(predictions, "B N"),
        targets=(targets, "B N"),
        example_mask=(example_mask, "B"),
        target_mask=(target_mask, "B N"),
    )
    check_targets(targets, target_mask, example_mask)
    predicted, positive = jnp.asarray(predictions, bool), is_positive(targets)
    rows = None if example_mask is None else jnp.asarray(example_mask)[:, None]
    for mask in (rows, target_mask):
        if mask is not None:
            kept = jnp.asarray(mask, bool)
            predicted, positive = predicted & kept, positive & kept
    return predicted, positive


def summarise_label_counts(
    counts: LabelCounts, label_mask: Bool[Host, " N"] | None = None
) -> dict[str, float]:
    """Micro and macro precision, recall and F1 from counts, in float64.

    Micro pools the counts of all labels. Macro is the mean of the labels' own
    ratios (macro F1 is the mean F1, not the F1 of the means) over all labels.

    Args:
        counts: of all documents.
        label_mask: True where some document is annotated for the label; others are
            no part of the macro averages.

    Returns:
        micro_f1, micro_precision, micro_recall, and the same for macro; and
        macro_f1_present, the mean F1 of the labels with positives (0 without any).
    """
    of_labels = [np.asarray(count, np.int64) for count in counts[:3]]
    tp, fp, fn = of_labels
    check_axes(tp=(tp, "N"), fp=(fp, "N"), fn=(fn, "N"), label_mask=(label_mask, "N"))
    if label_mask is not None:
        of_labels = [count[label_mask] for count in of_labels]
    pooled = [count.sum(keepdims=True) for count in of_labels]
    summary = {}
    for average, (tp, fp, fn) in (("micro", pooled), ("macro", of_labels)):
        precision, recall, f1 = _precision_recall_f1(tp, tp + fp, tp + fn)
        summary[f"{average}_precision"] = _mean(precision)
        summary[f"{average}_recall"] = _mean(recall)
        summary[f"{average}_f1"] = _mean(f1)
    present = of_labels[0] + of_labels[2] > 0
    summary["macro_f1_present"] = _mean(f1[present])
    return summary


def samples_metrics(documents: DocumentCounts, cells: int) -> dict[str, float]:
    """Means over documents from their counts, and over `cells`, the annotated ones."""
    tp, predicted, positives = map(np.asarray, documents)
    check_axes(tp=(tp, "M"), predicted=(predicted, "M"), positives=(positives, "M"))
    precision, recall, f1 = _precision_recall_f1(tp, predicted, positives)
    wrong = predicted + positives - 2 * tp
    return {
        "samples_precision": _mean(precision),
        "samples_recall": _mean(recall),
        "samples_f1": _mean(f1),
        "hamming_loss": wrong.sum(dtype=np.int64) / max(cells, 1),
        "subset_accuracy": _mean(wrong == 0),
    }


def f1_from_counts(
    true_positives: Int[Host, " N"],
    predicted: Int[Host, " N"],
    positives: Int[Host, " N"],
    documents: DocumentCounts | None = None,
) -> dict[str, float]:
    """F1 and the like of decisions that were only counted, as of `decision_counts`.

    Args:
        true_positives: of every label, over all documents.
        predicted: documents that each label was predicted for.
        positives: documents that carry each label.
        documents: the same of every document, for the metrics that are means over
            documents.

    Returns:
        What `summarise_label_counts` gives; with `documents` also samples_f1,
        samples_precision, samples_recall, hamming_loss and subset_accuracy.

    Raises:
        ValueError: a label is predicted or true less often than it is both, or shapes
            differ.
    """
    right, chosen, true = (
        np.asarray(count, np.int64) for count in (true_positives, predicted, positives)
    )
    check_axes(
        true_positives=(right, "N"), predicted=(chosen, "N"), positives=(true, "N")
    )
    impossible = (right > chosen) | (right > true) | (right < 0)
    if impossible.any():
        label = int(impossible.argmax())
        raise ValueError(
            "a label is rightly predicted at most as often as it is predicted and as "
            f"it is true; label {label}: {right[label]} of {chosen[label]} and "
            f"{true[label]}"
        )
    found = summarise_label_counts(
        LabelCounts(right, chosen - right, true - right, true)
    )
    if documents is not None:
        cells = len(right) * len(documents.tp)
        found |= samples_metrics(documents, cells)
    return {name: float(value) for name, value in found.items()}


def _mean(values: Shaped[Host, " n"]) -> float:
    """The mean; 0 of nothing."""
    return float(values.mean()) if values.size else 0.0


def _precision_recall_f1(
    tp: Int[Host, "*n"], predicted: Int[Host, "*n"], positives: Int[Host, "*n"]
) -> tuple[Float[Host, "*n"], Float[Host, "*n"], Float[Host, "*n"]]:
    """Return precision, recall and F1, where 0 / 0 is 0.

    They are tp / predicted, tp / positives, and 2 tp / (predicted + positives).
    """
    return (
        tp / predicted.clip(1),
        tp / positives.clip(1),
        2 * tp / (predicted + positives).clip(1),
    )
