"""Labels from functions that vote, or from a model: a file that `train` reads."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import beta

from labelgraph_jax.config import ConfigError
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.labels.labelling_functions import Cast, Votes
from labelgraph_jax.functional.few_labels.votes import FEWEST, VoteModel, vote_model
from labelgraph_jax.functional.metrics.counts import label_counts
from labelgraph_jax.functional.metrics.label_errors import label_f1
from labelgraph_jax.predictors.model import Model

SURE = 0.5
"""A label is given where its probability is above."""
TOLD = 0.01
"""Probabilities below are not written."""
LEAST = 0.05
"""Targets below are 0 to who learns from a model."""


@dataclasses.dataclass(frozen=True)
class Shares:
    """A share of counted cases with its exact 95 % interval."""

    hits: int
    cases: int
    value: float | None
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class FunctionReport:
    """Statistics of one labelling function.

    Attributes:
        name, label: of the function, and what it votes on.
        votes_for, votes_against: documents.
        coverage: share of the documents that it votes on.
        overlap: share of them on which another function of the label votes too.
        conflict: share of them on which another one votes otherwise.
        accuracy: that all votes together give its votes.
        precision: of its votes for the label, on the labelled documents.
        recall: share of the labelled documents with the label that it votes for.
    """

    name: str
    label: str
    votes_for: int
    votes_against: int
    coverage: float
    overlap: float
    conflict: float
    accuracy: float | None
    precision: Shares | None
    recall: Shares | None


@dataclasses.dataclass(frozen=True)
class WeakLabelReport:
    """Result of the votes for one label.

    Attributes:
        name: of the label.
        functions: that vote on it.
        method: majority or em, as it was used.
        voted: documents with a vote.
        given: documents that get the label.
        denied: documents of which it is known that they lack it.
        prior: share of all documents with it.
        f1: of the votes on the labelled documents; `majority_f1` of a majority there.
    """

    name: str
    functions: int
    method: str
    voted: int
    given: int
    denied: int
    prior: float
    f1: float | None
    majority_f1: float | None


@dataclasses.dataclass(frozen=True)
class WeakReport:
    """Result of votes on some documents.

    Attributes:
        documents: all, and those with a vote, which were written.
        functions, labels: in the order of the file.
        macro_f1, majority_macro_f1: on the labelled documents.
    """

    documents: tuple[int, int]
    functions: tuple[FunctionReport, ...]
    labels: tuple[WeakLabelReport, ...]
    macro_f1: float | None
    majority_macro_f1: float | None


def label_by_votes(
    cast: Cast,
    documents: Sequence[Document],
    *,
    method: str = "majority",
    labelled: Sequence[Document] = (),
) -> tuple[list[Document], WeakReport]:
    """Label documents by the votes of labelling functions.

    A label gets the probability that `vote_model` gives it. It is given above a half;
    without a vote, or at exactly a half, nothing is known of it. Documents without any
    vote are left out.

    Args:
        cast: from `read_rules`.
        documents: to label.
        method: majority, or em for each label.
        labelled: documents with labels, on which functions are judged and nothing is
            fitted.

    Raises:
        DataError: no function votes on any document.
    """
    # The votes, a model for every label, and the labels they give.
    found = cast(documents)
    names = tuple(dict.fromkeys(found.labels))
    models = _fitted(found, names, method)
    given, known, written = _labelled(documents, names, models)
    if not written:
        raise DataError(
            f"a labelling function must vote on one of the {len(documents):,} documents"
            f"; all {len(found.names):,} abstain on all"
        )
    # The truth, where there are labelled documents.
    judged = cast(labelled) if labelled else None
    truth = None
    if labelled:
        space = LabelSpace(names)
        targets, mask = space.targets(labelled)[0] > 0, space.target_mask(labelled)
        truth = targets, np.ones(targets.shape, bool) if mask is None else mask
    # What every function and every label is worth.
    functions = tuple(_function_reports(found, names, models, judged, truth))
    f1 = {kind: _f1(names, judged, truth, found, kind) for kind in ("majority", method)}
    labels = tuple(
        WeakLabelReport(
            name,
            found.labels.count(name),
            _used(method, found.labels.count(name)),
            int(models[n].voted.sum()),
            int(given[:, n].sum()),
            int((known[:, n] & ~given[:, n]).sum()),
            models[n].prior,
            _at(f1[method], n),
            _at(f1["majority"], n),
        )
        for n, name in enumerate(names)
    )
    report = WeakReport(
        (len(documents), len(written)),
        functions,
        labels,
        _mean(f1[method]),
        _mean(f1["majority"]),
    )
    return written, report


def label_by_model(model: Model, documents: Sequence[Document]) -> list[Document]:
    """Label documents by a model: as it decides, with its probabilities."""
    texts = [document.text for document in documents]
    _, scored = model.predict_documents(model.documents(texts))
    labels = model.labels
    written = []
    rows = scored.decide(model.decision).best_first()
    for document, (ids, scores, decided) in zip(documents, rows, strict=True):
        names = tuple(labels[i] for i in ids[decided])
        sure = {
            labels[i]: round(float(p), 4)
            for i, p in zip(ids, scores, strict=True)
            if p >= TOLD
        }
        written.append(
            dataclasses.replace(document, labels=names, probabilities=sure, tasks=None)
        )
    return written


def mix_labels(
    model: Model, documents: Sequence[Document], weight: float
) -> list[Document]:
    """Mix the labels of documents with what a model says: targets to learn from.

        y' = (1 - weight) y + weight p

    Args:
        model: the teacher, which may have learned from these documents.
        documents: with their labels; what is not annotated stays so.
        weight: of the model's probabilities p, in 0..1.

    Returns:
        Documents of which `labels` are all whose target is at least 0.05, and every
        given one, and `probabilities` these targets.

    Raises:
        ConfigError: the weight lies outside 0..1.
        DataError: a document has none, which is not the same as an empty list.

    Reference: Hinton et al., "Distilling the knowledge in a neural network", 2015, at
        temperature 1.
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"--mix must lie in 0..1, got {weight:g}")
    for document in documents:
        if not document.labelled:
            raise DataError(f"{document.id}: --mix needs labels, or []; got null")
    _, scored = model.predict_documents(documents, every_label=True)
    written = []
    for document, row in zip(documents, scored.probabilities, strict=True):
        targets = dict(zip(model.labels, (weight * row).tolist(), strict=True))
        for name in document.labels:
            own = (document.probabilities or {}).get(name, 1.0)
            targets[name] = (1 - weight) * own + targets.get(name, weight * own)
        left_out = set(document.unannotated)
        targets = {
            name: max(round(target, 4), 1e-4)
            for name, target in targets.items()
            if (target >= LEAST or name in document.labels) and name not in left_out
        }
        given = dict.fromkeys((*document.labels, *targets))
        written.append(
            dataclasses.replace(document, labels=tuple(given), probabilities=targets)
        )
    return written


def _used(method: str, functions: int) -> str:
    return method if functions >= FEWEST else "majority"


def _fitted(found: Votes, names: Sequence[str], method: str) -> list[VoteModel]:
    labels = np.array(found.labels)
    return [
        vote_model(found.votes[:, labels == name].astype(np.int64), method=method)
        for name in names
    ]


def _labelled(
    documents: Sequence[Document], names: Sequence[str], models: Sequence[VoteModel]
) -> tuple[Bool[np.ndarray, "M N"], Bool[np.ndarray, "M N"], list[Document]]:
    shape = (len(documents), len(names))
    p, voted = np.zeros(shape), np.zeros(shape, bool)
    for n, model in enumerate(models):
        p[:, n], voted[:, n] = model.probabilities, model.voted
    known = voted & (p != SURE)
    given = known & (p > SURE)
    written = [
        dataclasses.replace(
            document,
            labels=tuple(names[n] for n in np.flatnonzero(has).tolist()),
            unannotated=tuple(names[n] for n in np.flatnonzero(~is_known).tolist()),
            probabilities={
                names[n]: round(float(row[n]), 4)
                for n in np.flatnonzero(is_known & (row >= TOLD)).tolist()
            },
            tasks=None,
        )
        for document, has, is_known, row in zip(documents, given, known, p, strict=True)
        if is_known.any()
    ]
    return given, known, written


def _function_reports(
    found: Votes,
    names: Sequence[str],
    models: Sequence[VoteModel],
    judged: Votes | None,
    truth: tuple[Bool[np.ndarray, "M N"], Bool[np.ndarray, "M N"]] | None,
) -> Iterator[FunctionReport]:
    labels = np.array(found.labels)
    for n, name in enumerate(names):
        columns = np.flatnonzero(labels == name)
        votes = found.votes[:, columns]
        plus, minus = (votes > 0).sum(axis=1), (votes < 0).sum(axis=1)
        for place, column in enumerate(columns):
            own = votes[:, place]
            here = own != 0
            others = plus + minus - here
            against = np.where(own > 0, minus, plus)
            count = max(int(here.sum()), 1)
            precision = recall = None
            if judged is not None and truth is not None:
                cast = _column(judged, found.names[column], name)
                has, known = truth[0][:, n], truth[1][:, n]
                hits = int(((cast > 0) & has & known).sum())
                precision = _share(hits, int(((cast > 0) & known).sum()))
                recall = _share(hits, int((has & known).sum()))
            yield FunctionReport(
                found.names[column],
                name,
                int((own > 0).sum()),
                int((own < 0).sum()),
                float(here.mean()) if len(own) else 0.0,
                int((here & (others > 0)).sum()) / count,
                int((here & (against > 0)).sum()) / count,
                _finite(models[n].accuracies[place]),
                precision,
                recall,
            )


def _column(votes: Votes, name: str, label: str) -> Int[np.ndarray, " M"]:
    """The votes of a function, which may never vote on other documents."""
    for column, pair in enumerate(zip(votes.names, votes.labels, strict=True)):
        if pair == (name, label):
            return votes.votes[:, column].astype(np.int64)
    return np.zeros(len(votes.votes), np.int64)


def _f1(
    names: Sequence[str],
    judged: Votes | None,
    truth: tuple[Bool[np.ndarray, "M N"], Bool[np.ndarray, "M N"]] | None,
    found: Votes,
    method: str,
) -> Float[np.ndarray, " N"] | None:
    """F1 of each label on labelled documents, voted on together with all others."""
    if judged is None or truth is None:
        return None
    given = np.zeros(truth[0].shape, bool)
    for n, name in enumerate(names):
        columns = [place for place, label in enumerate(found.labels) if label == name]
        new = np.stack([_column(judged, found.names[c], name) for c in columns], 1)
        both = np.concatenate([found.votes[:, columns].astype(np.int64), new])
        model = vote_model(both, method=method)
        last = slice(len(found.votes), None)
        given[:, n] = model.voted[last] & (model.probabilities[last] > SURE)
    return label_f1(label_counts(given, truth[0], target_mask=truth[1]))


def _share(hits: int, cases: int) -> Shares:
    low = float(beta.ppf(0.025, hits, cases - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, cases - hits)) if hits < cases else 1.0
    return Shares(hits, cases, hits / cases if cases else None, low, high)


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _at(values: Float[np.ndarray, " N"] | None, n: int) -> float | None:
    return None if values is None else _finite(values[n])


def _mean(values: Float[np.ndarray, " N"] | None) -> float | None:
    known = [] if values is None else values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else None


def check_out(path: str, *read: str) -> None:
    """Refuse a file to be written that is no JSONL, or one of those that are read.

    Raises:
        DataError: it has another suffix, or would be written over.
    """
    if not path.lower().endswith((".jsonl", ".jsonl.gz", ".jsonl.xz")):
        raise DataError(
            f"--out must end in .jsonl, .jsonl.gz or .jsonl.xz, got {path!r}"
        )
    if Path(path).exists() and any(
        Path(source).exists() and Path(source).samefile(path) for source in read
    ):
        raise DataError(f"--out must be another file than those read, got {path!r}")
