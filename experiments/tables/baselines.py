"""Cells without a neural network: deterministic, so one run each."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.tables.chains import tfidf_chain_baseline
from experiments.tables.corpus import TableCorpus
from experiments.tables.store import SeedRun
from experiments.tables.topdown import tfidf_top_down_baseline
from labelgraph_jax.runs.baseline import tfidf_svm_baseline

FITS: dict[str, Callable[..., Any]] = {
    "svm": tfidf_svm_baseline,
    "chains": tfidf_chain_baseline,
    "topdown": tfidf_top_down_baseline,
}


def baseline_run(corpus: TableCorpus, runner: str) -> SeedRun:
    """TF-IDF and linear SVMs, one per label, in a chain or down the taxonomy.

    Validation chooses C.

    Margins are kept as sigmoid(margin), which ranks as they do; a margin of 0 is a
    score of 0.5.
    """
    splits, labels = corpus.prepared.corpus.splits, corpus.prepared.labels
    texts = {n: [d.text for d in documents] for n, documents in splits.items()}
    targets = {n: labels.targets(documents)[0] for n, documents in splits.items()}
    tree = {"names": labels.names, "parents": labels.parents}
    fitted = FITS[runner](
        texts["train"],
        targets["train"],
        texts["test"],
        validation_texts=texts["validation"],
        validation_targets=targets["validation"],
        **tree if runner == "topdown" else {},
    )
    return SeedRun(
        seed=0,
        validation=_scores(fitted.tuned.validation_scores, targets["validation"]),
        test=_scores(fitted.tuned.test_scores, targets["test"]),
        parameters=(fitted.features + 1) * len(labels),
        best_epoch=0,
        best_validation=max((both[1] for both in fitted.tried.values()), default=0.0),
        seconds=fitted.seconds,
        trained_together=1,
        history=[],
    )


def _scores(margins: np.ndarray, targets: np.ndarray) -> np.ndarray:
    margins = np.asarray(margins, np.float64).reshape(targets.shape)
    return (1 / (1 + np.exp(-margins))).astype(np.float32)
