"""Rivals of a model on the same test documents, and the differences to them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import Corpus, Document, LabelSpace
from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    f1_of_counts,
    paired_interval,
)
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.predictors.kept import read_kept
from labelgraph_jax.predictors.many_labels import require_room
from labelgraph_jax.predictors.measure import KS
from labelgraph_jax.predictors.predictions import KeptPredictions
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.problem import Say
from labelgraph_jax.runs.restore import load_model

RESAMPLES = 1_000
METRICS = ("micro_f1", "macro_f1")


def svm_baseline(
    corpus: Corpus, labels: LabelSpace, config: Config, say: Say
) -> tuple[dict[str, Any], dict[str, csr_array]]:
    """TF-IDF + one-vs-rest linear SVM on the same splits, at 0 and tuned.

    Returns:
        What results.json holds, and what each row predicts, bool `[M, N]`.
    """
    from labelgraph_jax.runs.baseline import tfidf_svm_baseline

    say("training the baseline: TF-IDF + one-vs-rest linear SVM")
    # Of documents of features their rows.
    texts: dict[str, list[Any]] = {
        name: [d.text if d.features is None else d.features for d in documents]
        for name, documents in corpus.splits.items()
    }
    # Targets of all splits, and what is annotated.
    require_room(
        len(corpus.train),
        len(labels),
        "the baseline's targets, an array",
        "leave --baseline out",
    )
    targets = {
        name: labels.targets(documents)[0] for name, documents in corpus.splits.items()
    }
    masks = {
        name: labels.target_mask(documents) for name, documents in corpus.splits.items()
    }
    # Fit, and measure on the test split.
    fitted = tfidf_svm_baseline(
        texts["train"],
        targets["train"],
        texts["test"],
        validation_texts=texts["validation"],
        validation_targets=targets["validation"],
        train_target_mask=masks["train"],
        validation_target_mask=masks["validation"],
        threshold_shrinkage=config.threshold.shrinkage,
    )
    counts = targets["train"].sum(axis=0)
    documents = np.full(len(counts), len(texts["train"]))
    if masks["train"] is not None:
        documents = masks["train"].sum(axis=0)
    rows = {"SVM, tuned": fitted.tuned, "SVM, at 0": fitted.at_zero}
    found = {
        "c": {name: row.c for name, row in rows.items()},
        "reads": {name: row.reads for name, row in rows.items()},
        "features": fitted.features,
        "seconds": round(fitted.seconds, 1),
        "metrics": {
            name: evaluate_scores(
                row.test_scores,
                targets["test"],
                row.thresholds,
                target_mask=masks["test"],
                train_label_counts=counts,
                train_documents=documents,
                ks=KS,
            )
            for name, row in rows.items()
        },
    }
    return found, {
        name: csr_array(row.test_scores >= row.thresholds) for name, row in rows.items()
    }


def decided_by(place: Workdir, documents: Sequence[Document]) -> csr_array:
    """Return a run's predictions of its test documents, 1 in a sparse `[M, N]`."""
    kept = read_kept(place)
    if kept is None:
        made: list[KeptPredictions] = []
        load_model(place.path).evaluate(documents, keep=made.append)
        kept = made[0]
    # Labels that were added later stand behind those of the run.
    return kept.decided_cells[:, : len(place.labels())]


def label_f1(
    cells: csr_array, truth: csr_array, known: Bool[np.ndarray, "M N"] | None = None
) -> list[float | None]:
    """F1 of each label to four digits, None where no document carries it.

    Args:
        cells: what is predicted, `[M, N]`.
        truth: the documents' labels `[M, N]`.
        known: True where a document is annotated for a label; None for everywhere.
    """
    once = np.ones((1, truth.shape[0]), np.float32)
    hits, either = _hits(cells, truth, known, once)
    carried = _annotated(truth, known).sum(axis=0) > 0
    f1 = 2 * hits[0] / either[0].clip(1)
    return [
        round(float(x), 4) if is_there else None
        for x, is_there in zip(f1, carried, strict=True)
    ]


def differences(
    decided: csr_array,
    rivals: Mapping[str, csr_array],
    truth: csr_array,
    known: Bool[np.ndarray, "M N"] | None = None,
    *,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """F1 of a model minus that of each rival, with paired bootstrap intervals.

    Args:
        decided: what the model predicts of M test documents, bool `[M, N]`.
        rivals: what others predict of the same documents.
        truth: the documents' labels `[M, N]`.
        known: True where a document is annotated for a label; None for everywhere.
        seed: of the resamples, which are the same for all.

    Returns:
        For each rival and metric `difference`, `low` and `high`: the difference on
        these documents, and where 95 of 100 resamples of them lie. What another seed
        of the training would change is not in it.
    """
    documents, labels = truth.shape
    columns = np.ones(labels, bool) if known is None else known.any(axis=0)
    # The first row counts every document once: the figures of the documents themselves.
    once = np.ones((1, documents), np.int64)
    draws = np.concatenate([once, document_draws(documents, RESAMPLES, seed=seed)])
    weights = draws.astype(np.float32)

    def f1(cells: csr_array) -> dict[str, Float[np.ndarray, " R"]]:
        hits, either = _hits(cells, truth, known, weights)
        return f1_of_counts(hits[:, columns], either[:, columns])

    own, alone = f1(decided), np.zeros((RESAMPLES, 1), np.int64)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, cells in rivals.items():
        other = f1(cells)
        found[name] = {
            metric: paired_interval(
                own[metric][1:, None],
                other[metric][1:, None],
                alone,
                difference=float(own[metric][0] - other[metric][0]),
            )._asdict()
            for metric in METRICS
        }
    return found


def _annotated(cells: csr_array, known: np.ndarray | None) -> csr_array:
    kept = cells if known is None else csr_array(cells.multiply(known))
    return kept.astype(np.float32)


def _hits(
    cells: csr_array,
    truth: csr_array,
    known: np.ndarray | None,
    weights: Float[np.ndarray, "R M"],
) -> tuple[Float[np.ndarray, "R N"], Float[np.ndarray, "R N"]]:
    """Return the arguments of `f1_of_counts`, of documents weighed by `weights`."""
    predicted, own = _annotated(cells, known), _annotated(truth, known)
    hits, either = csr_array(predicted.multiply(own)), predicted + own
    return np.asarray(weights @ hits), np.asarray(weights @ either)
