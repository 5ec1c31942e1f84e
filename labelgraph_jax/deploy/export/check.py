"""Comparison of an exported program with `predict`, document by document."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.batches.batches import Examples, evaluation_batches
from labelgraph_jax.data.documents import Document
from labelgraph_jax.deploy.export.program import PRECISION, Arrays, ExportError
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    f1_of_counts,
)
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.training.progress import track

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

TOLERANCE = 1e-5
ROUNDED_TOLERANCE = 2e-4
"""Over frozen layers, whose vectors are rounded to float16 as the cache keeps them: a
difference in the last digit before it is one of 5e-4 of a value behind it. Seen: 4.5e-5
over 3,019 documents of Reuters."""
RESAMPLES = 1000
_AT_ONCE = 25

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Check:
    """Difference between an exported program and `predict`.

    Attributes:
        documents: how many were compared.
        of: how many there are in the split or file.
        where: `test`, or the name of a file.
        difference: the largest of any probability.
        intervals: F1 with the range of 95 of 100 resamples of the documents, where
            they are labelled: name -> (value, low, high).
    """

    documents: int
    of: int
    where: str
    difference: float
    intervals: dict[str, tuple[float, float, float]]


def check_program(
    model: "Model",
    call: Callable[[Arrays], Arrays],
    documents: Sequence[Document],
    *,
    where: str,
    limit: int = 0,
) -> Check:
    """Compare an exported program with the model it was made from.

    Both compute products in full precision, which is what the program does anywhere.

    Args:
        model: what was exported.
        call: inputs -> outputs of the program, with its weights.
        documents: to compare on.
        where: they come from.
        limit: compare so many of them, spread evenly; all, if 0.

    Raises:
        ExportError: a probability differs by more than `tolerance` allows.
    """
    whole = len(documents)
    if limit and limit < whole:
        chosen = np.linspace(0, whole - 1, limit).astype(int)
        documents = [documents[i] for i in chosen]
    with jax.default_matmul_precision(PRECISION):
        encoded, predictions = model.predict_documents(documents)
    examples = dataclasses.replace(encoded.examples, token_vectors=None)
    found = exported_outputs(model, call, examples)
    difference = largest_difference(found, predictions)
    allowed = tolerance(model)
    if not difference <= allowed:
        raise ExportError(
            f"the exported program differs from predict by {difference:.1e} on "
            f"{len(documents)} documents, more than {allowed}: nothing was written"
        )
    decided = predictions.with_truth(examples.targets, examples.target_mask)
    intervals = f1_intervals(decided.decide(model.decision))
    return Check(len(documents), whole, where, difference, intervals)


def tolerance(model: "Model") -> float:
    """The largest difference of a probability that an export is left with."""
    return TOLERANCE if model.encoder is None else ROUNDED_TOLERANCE


def exported_outputs(
    model: "Model", call: Callable[[Arrays], Arrays], examples: Examples
) -> Outputs:
    """Return a program's outputs for documents, in their order."""
    size = max(1, min(model.config.training.evaluation_batch_size, len(examples)))
    rows: dict[str, list[np.ndarray]] = {}
    places = []
    for inputs, index, real in _inputs(model, examples, size):
        for name, value in call(inputs).items():
            rows.setdefault(name, []).append(np.asarray(value)[real])
        places.append(index[real])
    order = np.argsort(np.concatenate(places))
    return {name: np.concatenate(parts)[order] for name, parts in rows.items()}


def _inputs(
    model: "Model", examples: Examples, size: int
) -> Iterator[tuple[Arrays, np.ndarray, np.ndarray]]:
    """Batches as the program takes them, and which documents their rows are."""
    windowed = reads_windows(model)
    batches = evaluation_batches(examples, batch_size=size)
    for batch in track(batches, total=len(examples), what="running the export"):
        names = ("token_ids", "token_mask", "token_values")
        inputs: Arrays = {name: batch[name] for name in names if name in batch}
        if windowed and inputs["token_ids"].ndim == 2:
            inputs = {name: value[:, None] for name, value in inputs.items()}
        yield inputs, batch["example_index"], batch["example_mask"]


def reads_windows(model: "Model") -> bool:
    """Return True if documents have an axis of windows."""
    text = model.config.text
    return text.long_documents == "windows" and text.max_windows > 1


def largest_difference(found: Outputs, expected: Predictions) -> float:
    """The largest difference of any probability.

    In lists of labels, those that stand in one list alone count too, by their
    difference from the last probability of the other.
    """
    ours, theirs = found["probabilities"], expected.probabilities
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        return float("inf")
    difference = float(np.abs(ours - theirs).max(initial=0))
    if expected.ids is None:
        return difference
    lists = zip(found["label_ids"], ours, expected.ids, theirs, strict=True)
    for own_ids, own, other_ids, other in lists:
        own_scores = dict(zip(own_ids.tolist(), own.tolist(), strict=True))
        other_scores = dict(zip(other_ids.tolist(), other.tolist(), strict=True))
        for label in own_scores.keys() | other_scores.keys():
            one = own_scores.get(label, float(own[-1]))
            two = other_scores.get(label, float(other[-1]))
            difference = max(difference, abs(one - two))
    return difference


def f1_intervals(predictions: Predictions) -> dict[str, tuple[float, float, float]]:
    """Micro- and macro-F1 with the middle 95 of 100 resamples of the documents.

    Nothing where no document carries a label.

    Args:
        predictions: with truth and decisions.
    """
    truth, known, decided = predictions.truth, predictions.known, predictions.decided
    assert truth is not None and decided is not None
    positives = csr_array((truth > 0).astype(np.float32))
    if known is not None:
        decided, positives = decided & known, csr_array(positives.multiply(known))
        positives.eliminate_zeros()
    if not positives.nnz:
        return {}
    rows = np.repeat(np.arange(len(decided)), decided.sum(axis=1))
    ones = np.ones(len(rows), np.float32)
    cells = rows, predictions.columns[decided]
    predicted = csr_array((ones, cells), shape=truth.shape)
    hits, either = predicted.multiply(positives), predicted + positives

    def resampled(draws: np.ndarray) -> dict[str, np.ndarray]:
        weights = draws.astype(np.float32)
        return f1_of_counts(weights @ hits, weights @ either)

    return _intervals(truth.shape[0], resampled)


def _intervals(
    documents: int, resampled: Callable[[np.ndarray], dict[str, np.ndarray]]
) -> dict[str, tuple[float, float, float]]:
    """Value and the middle 95 of 100 resamples of what `resampled` makes of draws."""
    plain = resampled(np.ones((1, documents), np.int64))
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in plain}
    for part in range(RESAMPLES // _AT_ONCE):
        draws = document_draws(documents, _AT_ONCE, seed=part)
        for name, values in resampled(draws).items():
            drawn[name].append(values)
    found = {}
    for name, parts in drawn.items():
        low, high = np.quantile(np.concatenate(parts), [0.025, 0.975])
        found[name] = (float(plain[name][0]), float(low), float(high))
    return found
