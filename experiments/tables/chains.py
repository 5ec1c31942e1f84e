"""Classifier chains over TF-IDF: the classical way to let labels see each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.multioutput import ClassifierChain
from sklearn.svm import LinearSVC

from labelgraph_jax.runs.baseline import CONSTANT_SCORE, BaselineResult, fit_on_tfidf


def tfidf_chain_baseline(
    train_texts: Sequence[str],
    train_targets: np.ndarray,
    test_texts: Sequence[str],
    *,
    chains: int = 1,
    c_choices: Sequence[float] = (1.0, 2.0, 4.0, 8.0),
    seed: int = 0,
    **options: Any,
) -> BaselineResult:
    """Fit a chain of linear SVMs on TF-IDF and score the test documents.

    The features are those of `tfidf_svm_baseline`, and so are the choice of C and the
    two rows. The SVM of the k-th label of a chain also reads the k - 1 labels before
    it, as 0 or 1 beside the text's vector: the truth in training, its own decisions
    afterwards. The first chain goes from the most frequent label to the rarest, any
    further one through the labels in random order; the score of a label is the mean of
    its signed distances in all chains. Labels that no or every training document
    carries stand outside the chains.

    Args:
        train_texts: the training documents, as `tfidf_svm_baseline`.
        train_targets: their labels `[M, N]`, positive where > 0.
        test_texts: the documents to score.
        chains: how many chains; above 1 an ensemble.
        c_choices: regularisation strengths to try, small is strong.
        seed: of the random orders and of the solver.
        **options: those of `tfidf_svm_baseline`, from `validation_texts` on.

    Raises:
        ValueError: chains is below 1, an annotation of a training document is missing,
            or as `tfidf_svm_baseline`.

    Reference: Read, Pfahringer, Holmes and Frank, "Classifier chains for multi-label
    classification", Machine Learning 85, 2011, by `sklearn.multioutput`. Their
    ensemble draws a part of the documents for every chain and counts votes; ours gives
    every chain all documents and averages distances.
    """
    if chains < 1:
        raise ValueError(f"chains must be at least 1, got {chains}")

    def scorer(
        train: sparse.csr_matrix,
        targets: np.ndarray,
        others: Sequence[sparse.csr_matrix],
        c: float,
        mask: np.ndarray | None,
    ) -> list[np.ndarray]:
        require_annotated("a classifier chain", mask)
        scores = _chain_scores(train, targets, sparse.vstack(others), c, chains, seed)
        return np.split(scores, np.cumsum([other.shape[0] for other in others])[:-1])

    return fit_on_tfidf(
        scorer, train_texts, train_targets, test_texts, c_choices=c_choices, **options
    )


def require_annotated(what: str, mask: np.ndarray | None) -> None:
    """Refuse training documents of which an annotation is missing.

    Raises:
        ValueError: says how many cells are not annotated.
    """
    if mask is not None and not mask.all():
        raise ValueError(
            f"{what} reads every label of a training document; "
            f"{np.count_nonzero(~mask):,} of them are not annotated"
        )


def label_orders(targets: np.ndarray, chains: int, seed: int) -> list[np.ndarray]:
    """The order of the labels in every chain: by frequency, then at random."""
    generator = np.random.default_rng(seed)
    by_frequency = np.argsort(-targets.sum(axis=0), kind="stable")
    drawn = [generator.permutation(targets.shape[1]) for _ in range(chains - 1)]
    return [by_frequency, *drawn]


def _chain_scores(
    train: sparse.csr_matrix,
    targets: np.ndarray,
    documents: sparse.csr_matrix,
    c: float,
    chains: int,
    seed: int,
) -> np.ndarray:
    """Scores of `documents` by chains fitted on train, float32 `[M, N]`."""
    positives = targets.sum(axis=0)
    constant = np.where(positives > 0, CONSTANT_SCORE, -CONSTANT_SCORE)
    scores = np.tile(constant.astype(np.float32), (documents.shape[0], 1))
    varied = np.flatnonzero((positives > 0) & (positives < len(targets)))
    if not len(varied) or not len(scores):
        return scores
    targets = targets[:, varied].astype(np.float32)
    total = np.zeros((len(scores), len(varied)))
    # A chain's features are no longer of unit length: some take liblinear longer.
    svm = LinearSVC(C=c, random_state=seed, max_iter=4000)
    for order in label_orders(targets, chains, seed):
        chain = ClassifierChain(svm, order=order)
        total += chain.fit(train, targets).decision_function(documents)
    scores[:, varied] = total / chains
    return scores
